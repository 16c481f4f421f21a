//! Addresses of what the service has, as they are in pages and answers.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

/// What needs no escape in one part of a path: RFC 3986, 2.3.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one part of a path.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// The page of a mailbox.
pub(crate) fn mailbox(name: &str) -> String {
    format!("/mailbox/{}", escaped(name))
}

/// The page of a message.
pub(crate) fn message(mailbox: &str, id: Uuid) -> String {
    format!("/mailbox/{}/{}", escaped(mailbox), id.simple())
}

/// An attachment. The name at the end is what a browser saves it as.
pub(crate) fn attachment(mailbox: &str, id: Uuid, index: usize, name: &str) -> String {
    format!("/serve/mailbox/{}/{}/attach/{index}/{}", escaped(mailbox), id.simple(), escaped(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_out_of_its_part_of_a_path() {
        assert_eq!(mailbox("a/b?c#d\"<%"), "/mailbox/a%2Fb%3Fc%23d%22%3C%25");
        let link = attachment("a", Uuid::nil(), 0, "../ä.pdf");
        assert_eq!(link, "/serve/mailbox/a/00000000000000000000000000000000/attach/0/..%2F%C3%A4.pdf");
    }
}
