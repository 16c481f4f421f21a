//! What is in a message, as crate `mail-parser` reads it.

mod attachments;
mod html;
mod text;

use std::{collections::BTreeMap, sync::LazyLock};

use mail_parser::{Addr, Address, HeaderName, Message, MessageParser, PartType};

pub(crate) use attachments::Attachment;
pub(crate) use html::page;

/// Longest line of the header that lists show, in characters.
const LINE: usize = 998;

/// Most addresses of a header that lists show.
const ADDRESSES: usize = 100;

static PARSER: LazyLock<MessageParser> = LazyLock::new(MessageParser::default);

/// What lists show of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
}

/// Reads what lists show. The envelope replaces what the header lacks.
pub(crate) fn head(source: &[u8], sender: &str, recipients: &[String]) -> Head {
    let message = PARSER.parse_headers(source);
    let message = message.as_ref();
    let from = message.and_then(Message::from).and_then(Address::first).and_then(shown);
    let to: Vec<String> = message
        .map(|message| message.all_to().flat_map(Address::iter).filter_map(shown).take(ADDRESSES).collect())
        .unwrap_or_default();
    let bracketed = |address: &str| format!("<{}>", text::line(address, LINE));
    Head {
        from: from.unwrap_or_else(|| bracketed(sender)),
        to: if to.is_empty() { recipients.iter().map(|it| bracketed(it)).collect() } else { to },
        subject: text::line(message.and_then(Message::subject).unwrap_or_default(), LINE),
    }
}

/// An address as Inbucket writes it: `Name <address>`.
fn shown(address: &Addr<'_>) -> Option<String> {
    let mail = address.address().map(|mail| format!("<{mail}>"));
    let parts = [address.name().map(str::to_owned), mail];
    let line = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| text::line(&line, LINE))
}

/// All that is in a message.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The text for people, or the words of the HTML if there is no text.
    pub(crate) text: String,
    /// The HTML; empty if there is none.
    pub(crate) html: String,
    /// The values of the header by their names in their usual spelling, in the order in which they came.
    pub(crate) header: BTreeMap<String, Vec<String>>,
    pub(crate) attachments: Vec<Attachment>,
}

/// Reads a message.
pub(crate) fn content(source: &[u8]) -> Content {
    let Some(message) = PARSER.parse(source) else {
        return Content { text: String::from_utf8_lossy(source).into_owned(), ..Content::default() };
    };
    let texts = (0..message.text_body_count()).filter_map(|index| message.body_text(index));
    let html = message.html_bodies().filter_map(|part| match &part.body {
        PartType::Html(html) => Some(html.as_ref()),
        _ => None,
    });
    let mut header = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in message.headers_raw() {
        header.entry(text::usual(name)).or_default().push(text::unfolded(value));
    }
    Content {
        text: texts.collect::<Vec<_>>().join("\n"),
        html: html.collect::<Vec<_>>().join("\n"),
        header,
        attachments: attachments::of(&message),
    }
}

/// The date of a message as its sender wrote it.
pub(crate) fn date(content: &Content) -> Option<&str> {
    content.header.get(HeaderName::Date.as_str()).and_then(|values| values.first()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALTERNATIVE: &str = "From: =?utf-8?q?J=C3=B6rg?= <j@x.test>\r\n\
        To: a@x.test, \"B, C\" <b@x.test>\r\n\
        Subject: =?utf-8?b?SGVsbG8g4oKs?=\r\n x\r\n\
        message-id: <1@x>\r\n\
        Received: one\r\nReceived: two\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Hello =E2=82=AC\r\n\
        --a\r\nContent-Type: text/html\r\n\r\n<b>Hello</b> <img src=\"cid:logo@x\">\r\n--a--\r\n\
        --m\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\n\
        Content-Disposition: attachment; filename=\"../logo.png\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\niVBORw==\r\n--m--\r\n";

    #[test]
    fn a_head_is_read_with_its_words_decoded() {
        let head = head(ALTERNATIVE.as_bytes(), "s@x.test", &["r@x.test".to_owned()]);
        assert_eq!(head.from, "Jörg <j@x.test>");
        assert_eq!(head.to, ["<a@x.test>", "B, C <b@x.test>"]);
        assert_eq!(head.subject, "Hello € x");
    }

    #[test]
    fn the_envelope_replaces_a_head_that_is_missing() {
        for source in ["", "no header\r\n", "\r\nbody\r\n"] {
            let head = head(source.as_bytes(), "s@x.test", &["r@x.test".to_owned()]);
            assert_eq!(head.from, "<s@x.test>", "{source:?}");
            assert_eq!(head.to, ["<r@x.test>"], "{source:?}");
            assert_eq!(head.subject, "", "{source:?}");
        }
    }

    #[test]
    fn no_word_of_a_head_breaks_out_of_its_line() {
        let source = "From: =?utf-8?q?A=0D=0AX:_y?= <a@x.test>\r\nSubject: =?utf-8?q?a=00=0D=0Ab?=\r\n\r\n";
        let head = head(source.as_bytes(), "", &[]);
        for line in [&head.from, &head.subject] {
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn bodies_header_and_attachments_are_read() {
        let content = content(ALTERNATIVE.as_bytes());
        assert_eq!(content.text.trim_end(), "Hello €");
        assert!(content.html.starts_with("<b>Hello</b>"));
        assert_eq!(content.header["Message-Id"], ["<1@x>"]);
        assert_eq!(content.header["Mime-Version"], ["1.0"]);
        assert_eq!(content.header["Received"], ["one", "two"]);
        assert_eq!(content.header["Subject"], ["=?utf-8?b?SGVsbG8g4oKs?= x"]);
        let [logo] = content.attachments.as_slice() else { panic!("{content:?}") };
        assert_eq!((logo.name.as_str(), logo.kind.as_str()), ("../logo.png", "image/png"));
        assert_eq!((logo.id.as_str(), logo.bytes.as_slice()), ("logo@x", b"\x89PNG".as_slice()));
    }

    #[test]
    fn a_message_of_html_alone_has_its_words_as_text() {
        let content = content(b"Content-Type: text/html\r\n\r\n<p>One</p><p>Two</p>");
        assert!(content.text.contains("One") && !content.text.contains('<'), "{:?}", content.text);
        let content = super::content(b"Subject: x\r\n\r\nplain\r\n");
        assert_eq!((content.text.as_str(), content.html.as_str()), ("plain\r\n", ""));
    }

    proptest! {
        #[test]
        fn no_message_is_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            head(&bytes, "", &[]);
            content(&bytes);
        }

        #[test]
        fn no_mixture_of_a_message_is_unreadable(
            pieces in prop::collection::vec(prop::sample::select(
                ALTERNATIVE.split_inclusive(['\n', ';', ':']).collect::<Vec<_>>(),
            ), 0..60),
        ) {
            let source = pieces.concat();
            head(source.as_bytes(), "", &[]);
            content(source.as_bytes());
        }
    }
}
