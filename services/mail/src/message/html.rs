//! The HTML of a message as a page of its own. That it can neither run nor fetch anything is the doing of the policy that it is served
//! with; here its pictures and links are made to work.

use super::Content;

/// The HTML with pictures of the message itself by their addresses here, and links that open outside of the frame. `link` is the
/// address of an attachment by its index.
pub(crate) fn page(content: &Content, link: impl Fn(usize) -> String) -> String {
    let mut html = content.html.clone();
    for (index, attachment) in content.attachments.iter().enumerate() {
        if !attachment.id.is_empty() {
            html = html.replace(&format!("cid:{}", attachment.id), &link(index));
        }
    }
    // Behind the document type: without it at the beginning, browsers lay out as those of the last century did.
    let begin = html.len() - html.trim_start().len();
    let is_typed = html[begin..].get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    let place = if is_typed { html[begin..].find('>').map_or(0, |end| begin + end + 1) } else { 0 };
    html.insert_str(place, "<base target=\"_blank\">");
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::content;

    #[test]
    fn pictures_of_the_message_are_those_of_this_server() {
        let source = "Content-Type: multipart/related; boundary=m\r\n\r\n\
            --m\r\nContent-Type: text/html\r\n\r\n<img src='cid:a@x'><img src='cid:b@x'>\r\n\
            --m\r\nContent-Type: image/png\r\nContent-ID: <a@x>\r\n\r\nx\r\n--m--\r\n";
        let page = page(&content(source.as_bytes()), |index| format!("/files/{index}"));
        assert!(page.contains("<img src='/files/0'><img src='cid:b@x'>"), "{page}");
    }

    #[test]
    fn links_open_outside_and_the_document_type_stays_first() {
        let shown = |html: &str| {
            let content = Content { html: html.to_owned(), ..Content::default() };
            page(&content, |_| String::new())
        };
        assert_eq!(shown("<p>a"), "<base target=\"_blank\"><p>a");
        assert_eq!(shown("\n<!DOCTYPE html><p>"), "\n<!DOCTYPE html><base target=\"_blank\"><p>");
        assert_eq!(shown("<!doctype"), "<base target=\"_blank\"><!doctype");
        assert_eq!(shown("äöüäöü"), "<base target=\"_blank\">äöüäöü");
    }
}
