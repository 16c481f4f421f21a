//! What REST answers, field by field as Inbucket does.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{events::Event, links, message::Content, store::Summary};

/// A message in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Header<'a> {
    mailbox: &'a str,
    id: String,
    from: &'a str,
    to: &'a [String],
    subject: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    date: OffsetDateTime,
    posix_millis: i128,
    size: i64,
    seen: bool,
}

impl<'a> Header<'a> {
    pub(super) fn of(summary: &'a Summary) -> Self {
        Self {
            mailbox: &summary.mailbox,
            id: id(summary.id),
            from: &summary.from,
            to: &summary.to,
            subject: &summary.subject,
            date: summary.received,
            posix_millis: summary.received.unix_timestamp_nanos() / 1_000_000,
            size: summary.size,
            seen: summary.seen,
        }
    }
}

/// A message with its content.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    #[serde(flatten)]
    head: Header<'a>,
    body: Body<'a>,
    header: &'a BTreeMap<String, Vec<String>>,
    attachments: Vec<Attachment<'a>>,
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    text: &'a str,
    html: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Attachment<'a> {
    #[serde(rename = "filename")]
    name: &'a str,
    content_type: &'a str,
    download_link: String,
    view_link: String,
    md5: String,
}

impl<'a> Message<'a> {
    /// The message as it is answered to a request for `host`.
    pub(super) fn of(summary: &'a Summary, content: &'a Content, host: &str) -> Self {
        let attachments = content.attachments.iter().enumerate().map(|(index, attachment)| {
            let path = links::attachment(&summary.mailbox, summary.id, index, &attachment.name);
            let link = format!("http://{host}{path}");
            Attachment {
                name: &attachment.name,
                content_type: &attachment.kind,
                download_link: format!("{link}?download"),
                view_link: link,
                md5: attachment.md5(),
            }
        });
        Self {
            head: Header::of(summary),
            body: Body { text: &content.text, html: &content.html },
            header: &content.header,
            attachments: attachments.collect(),
        }
    }
}

/// News in the second version of the monitor.
#[derive(Debug, Serialize)]
pub(super) struct News<'a> {
    variant: &'static str,
    identifier: Option<Identifier<'a>>,
    header: Option<Header<'a>>,
}

#[derive(Debug, Serialize)]
struct Identifier<'a> {
    mailbox: &'a str,
    id: String,
}

impl<'a> News<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        match event {
            Event::Stored(summary) => {
                Self { variant: "message-stored", identifier: None, header: Some(Header::of(summary)) }
            }
            Event::Deleted { mailbox, id: name } => Self {
                variant: "message-deleted",
                identifier: Some(Identifier { mailbox, id: id(*name) }),
                header: None,
            },
        }
    }
}

fn id(id: Uuid) -> String {
    id.simple().to_string()
}
