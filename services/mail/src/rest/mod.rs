//! REST as Inbucket has it: paths, fields and answers of its first version, and both versions of its monitor.

mod model;
mod monitor;

use std::{str::FromStr as _, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    failure::Failure,
    inbox::Inbox,
    message::{self, Content},
    store::{self, Summary, Which},
};

/// The word for the newest message of a mailbox.
const LATEST: &str = "latest";

/// What Inbucket answers where there is nothing to say.
const OK: Json<&str> = Json("OK");

type Shared = State<Arc<Inbox>>;

pub(crate) fn routes() -> Router<Arc<Inbox>> {
    Router::new()
        .route("/api/v1/mailbox/{name}", get(list).delete(purge))
        .route("/api/v1/mailbox/{name}/{id}", get(show).patch(mark).delete(delete))
        .route("/api/v1/mailbox/{name}/{id}/source", get(source))
        .merge(monitor::routes())
}

/// The mailbox that a path names, by itself or by an address.
pub(crate) fn mailbox(inbox: &Inbox, name: &str) -> Result<String, Failure> {
    inbox.settings().naming.mailbox(name).ok_or(Failure::Invalid("invalid name of a mailbox"))
}

/// The message that a path names.
pub(crate) fn which(id: &str) -> Result<Which, Failure> {
    if id == LATEST { Ok(Which::Latest) } else { name(id).map(Which::Id) }
}

fn name(id: &str) -> Result<Uuid, Failure> {
    Uuid::from_str(id).map_err(|_| Failure::NotFound)
}

/// Reads a message with all that is in it. Only a few are read at a time: each may be large.
pub(crate) async fn read(inbox: &Inbox, mailbox: &str, which: Which) -> Result<(Summary, Content), Failure> {
    let _permit = inbox.readers.acquire().await.map_err(|_| Failure::Busy)?;
    let (summary, source) = store::find(&inbox.database, mailbox, which).await?.ok_or(Failure::NotFound)?;
    let content = tokio::task::spawn_blocking(move || message::content(&source)).await;
    Ok((summary, content.map_err(|_| Failure::Invalid("the message cannot be read"))?))
}

async fn list(State(inbox): Shared, Path(name): Path<String>) -> Result<Response, Failure> {
    let mailbox = mailbox(&inbox, &name)?;
    let messages = store::list(&inbox.database, &mailbox).await?;
    Ok(Json(messages.iter().map(model::Header::of).collect::<Vec<_>>()).into_response())
}

async fn purge(State(inbox): Shared, Path(name): Path<String>) -> Result<Response, Failure> {
    inbox.purge(&mailbox(&inbox, &name)?).await?;
    Ok(OK.into_response())
}

async fn show(
    State(inbox): Shared,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mailbox = mailbox(&inbox, &name)?;
    let (summary, content) = read(&inbox, &mailbox, which(&id)?).await?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Ok(Json(model::Message::of(&summary, &content, host)).into_response())
}

/// The part of a message that a program may change.
#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    seen: bool,
}

async fn mark(
    State(inbox): Shared,
    Path((name, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Failure> {
    let (mailbox, id) = (mailbox(&inbox, &name)?, self::name(&id)?);
    let Ok(change) = serde_json::from_slice::<Change>(&body) else {
        return Err(Failure::Invalid("the body is not JSON of the form `{\"seen\": true}`"));
    };
    if change.seen && !store::see(&inbox.database, &mailbox, id).await? {
        return Err(Failure::NotFound);
    }
    Ok(OK.into_response())
}

async fn delete(State(inbox): Shared, Path((name, id)): Path<(String, String)>) -> Result<Response, Failure> {
    if inbox.delete(&mailbox(&inbox, &name)?, self::name(&id)?).await? {
        return Ok(OK.into_response());
    }
    Err(Failure::NotFound)
}

/// The message byte by byte, as text: also for browsers, which must not take it for a page.
pub(crate) async fn source(
    State(inbox): Shared,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let mailbox = mailbox(&inbox, &name)?;
    let _permit = inbox.readers.acquire().await.map_err(|_| Failure::Busy)?;
    let found = store::find(&inbox.database, &mailbox, which(&id)?).await?;
    let (_, source) = found.ok_or(Failure::NotFound)?;
    let kind =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((kind, source).into_response())
}
