//! What comes from a message itself: its HTML and its attachments. A browser shows them without running or fetching anything.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{Html, IntoResponse as _, Response},
};
use serde::Deserialize;

use super::failure::Shown;
use crate::{
    failure::Failure,
    inbox::Inbox,
    links,
    message::{self, Attachment},
    rest,
};

/// The policy for the HTML of a message: its own styles and pictures, links in new windows, and nothing else.
const HTML_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
);

/// The policy for files.
const FILE_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// A page that is opened from a message learns nothing about where it was opened.
const NO_REFERRER: (HeaderName, &str) = (header::REFERRER_POLICY, "no-referrer");

pub(super) async fn html(
    State(inbox): State<Arc<Inbox>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Shown> {
    let mailbox = rest::mailbox(&inbox, &name)?;
    let (summary, content) = rest::read(&inbox, &mailbox, rest::which(&id)?).await?;
    let link = |index| links::attachment(&mailbox, summary.id, index, "picture");
    let page = Html(message::page(&content, link));
    Ok(([(header::CONTENT_SECURITY_POLICY, HTML_POLICY)], [NO_REFERRER], page).into_response())
}

/// How a file is wanted.
#[derive(Deserialize)]
pub(super) struct Wish {
    /// To be saved, whatever it is.
    download: Option<String>,
}

pub(super) async fn attachment(
    State(inbox): State<Arc<Inbox>>,
    Path((name, id, index, _)): Path<(String, String, usize, String)>,
    Query(wish): Query<Wish>,
) -> Result<Response, Shown> {
    let mailbox = rest::mailbox(&inbox, &name)?;
    let (_, mut content) = rest::read(&inbox, &mailbox, rest::which(&id)?).await?;
    if index >= content.attachments.len() {
        return Err(Failure::NotFound.into());
    }
    let attachment = content.attachments.swap_remove(index);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_SECURITY_POLICY, FILE_POLICY);
    headers.insert(header::CONTENT_TYPE, kind(&attachment));
    let is_saved = wish.download.is_some() || !attachment.is_harmless();
    headers.insert(header::CONTENT_DISPOSITION, disposition(&attachment, is_saved));
    Ok((headers, [NO_REFERRER], attachment.bytes).into_response())
}

fn kind(attachment: &Attachment) -> HeaderValue {
    // Its text was read as what its sender says it is, and is UTF-8 now.
    let charset = if attachment.kind.starts_with("text/") { "; charset=utf-8" } else { "" };
    HeaderValue::try_from(format!("{}{charset}", attachment.kind)).expect("a type has no control characters")
}

/// The name of a file by RFC 6266, escaped as a whole.
fn disposition(attachment: &Attachment, is_saved: bool) -> HeaderValue {
    let word = if is_saved { "attachment" } else { "inline" };
    let value = format!("{word}; filename*=UTF-8''{}", links::escaped(&attachment.name));
    HeaderValue::try_from(value).expect("an escaped name has no control characters")
}
