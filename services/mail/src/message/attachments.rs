//! Files that a message carries.

use mail_parser::{Message, MessagePart, MimeHeaders as _, PartType};
use md5::{Digest as _, Md5};

use super::text;

/// Longest name of a file, in characters.
const NAME: usize = 255;

/// What is shown by a browser without doing anything: all others are saved.
const HARMLESS: [&str; 6] =
    ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "text/plain"];

/// The type of what has none.
const UNKNOWN: &str = "application/octet-stream";

/// A file that a message carries.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The name that the sender gave. It may have anything in it.
    pub(crate) name: String,
    /// Its type, of the form `image/png`.
    pub(crate) kind: String,
    /// The name by which the HTML refers to it; empty if it has none.
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Attachment {
    /// The checksum that REST shows, in hexadecimal digits.
    pub(crate) fn md5(&self) -> String {
        hex::encode(Md5::digest(&self.bytes))
    }

    /// Whether a browser may show it beside our pages.
    pub(crate) fn is_harmless(&self) -> bool {
        HARMLESS.contains(&self.kind.as_str())
    }
}

pub(super) fn of(message: &Message<'_>) -> Vec<Attachment> {
    message.attachments().enumerate().map(|(index, part)| read(index, part)).collect()
}

fn read(index: usize, part: &MessagePart<'_>) -> Attachment {
    let is_message = matches!(part.body, PartType::Message(_));
    let name = part.attachment_name().map(|name| text::line(name, NAME)).filter(|name| !name.is_empty());
    let ending = if is_message { ".eml" } else { "" };
    Attachment {
        name: name.unwrap_or_else(|| format!("attachment-{}{ending}", index + 1)),
        kind: kind(part).unwrap_or_else(|| if is_message { "message/rfc822" } else { UNKNOWN }.to_owned()),
        id: part.content_id().unwrap_or_default().trim_matches(['<', '>']).to_owned(),
        bytes: part.contents().to_vec(),
    }
}

/// The type, if it is one: RFC 2045 allows a few characters only.
fn kind(part: &MessagePart<'_>) -> Option<String> {
    let given = part.content_type()?;
    let kind = format!("{}/{}", given.ctype(), given.subtype()?).to_ascii_lowercase();
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-/".contains(&byte);
    (kind.len() <= NAME && kind.bytes().all(is_known)).then_some(kind)
}
