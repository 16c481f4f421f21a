//! The pages.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{Html, IntoResponse as _, Redirect, Response},
};
use base::text::{beginning, harmless};
use serde::Deserialize;

use super::{
    failure::Shown,
    shown::{self, Box, Row},
};
use crate::{
    failure::Failure,
    inbox::Inbox,
    links,
    message::{self, Content},
    rest,
    store::{self, Summary},
};

/// Messages and mailboxes that an overview shows.
const OVERVIEW: i64 = 100;

/// Messages that the page of a mailbox shows.
const MESSAGES: i64 = 500;

/// Characters of a text that a page shows: more than anyone reads.
const TEXT: usize = 256 * 1024;

type Shared = State<Arc<Inbox>>;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    boxes: Vec<Box>,
    rows: Vec<Row>,
}

pub(super) async fn home(State(inbox): Shared) -> Result<Response, Shown> {
    let boxes = store::mailboxes(&inbox.database, OVERVIEW).await?;
    let newest = store::newest(&inbox.database, None, OVERVIEW).await?;
    let boxes = boxes.iter().map(Box::of).collect();
    page(&Home { boxes, rows: newest.iter().map(Row::of).collect() })
}

/// The mailbox that a person has typed.
#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    name: String,
}

pub(super) async fn open(State(inbox): Shared, Query(typed): Query<Typed>) -> Result<Response, Shown> {
    let name = typed.name.trim();
    if name.is_empty() {
        return Ok(Redirect::to("/").into_response());
    }
    Ok(Redirect::to(&links::mailbox(&rest::mailbox(&inbox, name)?)).into_response())
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct OneMailbox {
    name: String,
    link: String,
    rows: Vec<Row>,
}

pub(super) async fn mailbox(State(inbox): Shared, Path(name): Path<String>) -> Result<Response, Shown> {
    let name = rest::mailbox(&inbox, &name)?;
    let newest = store::newest(&inbox.database, Some(&name), MESSAGES).await?;
    page(&OneMailbox {
        link: links::mailbox(&name),
        name: harmless(&name).into_owned(),
        rows: newest.iter().map(Row::of).collect(),
    })
}

pub(super) async fn purge(State(inbox): Shared, Path(name): Path<String>) -> Result<Response, Shown> {
    inbox.purge(&rest::mailbox(&inbox, &name)?).await?;
    Ok(Redirect::to("/").into_response())
}

/// Which part of a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum View {
    Html,
    Text,
    Header,
}

#[derive(Deserialize)]
pub(super) struct Wish {
    view: Option<View>,
}

struct File {
    name: String,
    kind: String,
    size: String,
    link: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct OneMessage {
    subject: String,
    mailbox: String,
    mailbox_link: String,
    link: String,
    facts: Vec<(&'static str, String)>,
    view: View,
    has_html: bool,
    text: String,
    header: Vec<(String, String)>,
    files: Vec<File>,
}

impl OneMessage {
    fn is(&self, view: View) -> bool {
        self.view == view
    }
}

pub(super) async fn message(
    State(inbox): Shared,
    Path((name, id)): Path<(String, String)>,
    Query(wish): Query<Wish>,
) -> Result<Response, Shown> {
    let mailbox = rest::mailbox(&inbox, &name)?;
    let (summary, content) = rest::read(&inbox, &mailbox, rest::which(&id)?).await?;
    if !summary.seen {
        store::see(&inbox.database, &mailbox, summary.id).await?;
    }
    let has_html = !content.html.is_empty();
    let view = match wish.view {
        Some(View::Html) | None if has_html => View::Html,
        Some(View::Header) => View::Header,
        _ => View::Text,
    };
    page(&OneMessage {
        subject: shown::subject(&summary),
        mailbox_link: links::mailbox(&mailbox),
        link: links::message(&mailbox, summary.id),
        facts: facts(&summary, &content),
        view,
        has_html,
        text: text(&content),
        header: header(&content),
        files: files(&summary, &content),
        mailbox: harmless(&mailbox).into_owned(),
    })
}

/// What is known of a message, first of its header and then of its envelope.
fn facts(summary: &Summary, content: &Content) -> Vec<(&'static str, String)> {
    let line = |text: &str| harmless(text).into_owned();
    let sender = if summary.sender.is_empty() { "none" } else { &summary.sender };
    let mut facts = vec![("From", line(&summary.from)), ("To", line(&summary.to.join(", ")))];
    if let Some(date) = message::date(content) {
        facts.push(("Date", line(date)));
    }
    facts.push(("Received", shown::time(summary.received)));
    facts.push(("Envelope", format!("from {} to {}", line(sender), line(&summary.recipient))));
    facts.push(("Size", shown::size(summary.size)));
    facts
}

fn text(content: &Content) -> String {
    harmless(&beginning(&content.text, TEXT).replace("\r\n", "\n")).into_owned()
}

fn header(content: &Content) -> Vec<(String, String)> {
    let all = content.header.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    all.map(|(name, value)| (harmless(name).into_owned(), harmless(value).into_owned())).collect()
}

fn files(summary: &Summary, content: &Content) -> Vec<File> {
    let file = |(index, attachment): (usize, &message::Attachment)| File {
        name: harmless(&attachment.name).into_owned(),
        kind: attachment.kind.clone(),
        size: shown::size(i64::try_from(attachment.bytes.len()).unwrap_or(i64::MAX)),
        link: links::attachment(&summary.mailbox, summary.id, index, &attachment.name),
    };
    content.attachments.iter().enumerate().map(file).collect()
}

pub(super) async fn delete(
    State(inbox): Shared,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Shown> {
    let mailbox = rest::mailbox(&inbox, &name)?;
    if let store::Which::Id(id) = rest::which(&id)? {
        // One that is gone already is gone.
        inbox.delete(&mailbox, id).await?;
    }
    Ok(Redirect::to(&links::mailbox(&mailbox)).into_response())
}

fn page(page: &impl Template) -> Result<Response, Shown> {
    let text = page.render().map_err(|_| Failure::Invalid("the page cannot be written"))?;
    Ok(Html(text).into_response())
}
