//! The storage: another host, signed addresses, ranges and entity tags, and no patience with tokens.

use std::io;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::{Stream, future, stream};

use crate::Shared;
use crate::blob::Content;
use crate::fault::{self, ContentFaults, Fault, Place, empty};

pub(crate) fn routes(shared: Shared) -> Router {
    let routes = Router::new().route("/content/{key}", get(give));
    fault::meets(routes, &shared, Place::Storage).with_state(shared)
}

async fn give(
    State(shared): State<Shared>,
    Path(key): Path<String>,
    Extension(ContentFaults(faults)): Extension<ContentFaults>,
    request: Request,
) -> Response {
    // Real storage refuses two ways to be authorised at once.
    if request.headers().contains_key(AUTHORIZATION) {
        return empty(StatusCode::BAD_REQUEST);
    }
    let content = {
        let mut world = shared.world();
        let Some(signed) = world.signed.get_mut(&key) else { return empty(StatusCode::NOT_FOUND) };
        match &mut signed.uses_left {
            Some(0) => return empty(StatusCode::FORBIDDEN),
            Some(left) => *left -= 1,
            None => {}
        }
        signed.content.clone()
    };
    if faults.iter().any(|fault| matches!(fault, Fault::Expired)) {
        return empty(StatusCode::FORBIDDEN);
    }
    answer(content, request.headers(), faults)
}

fn answer(content: Content, asked: &HeaderMap, faults: Vec<Fault>) -> Response {
    let mut etag = content.etag.clone();
    let mut length = content.length();
    let mut ranges = true;
    for fault in &faults {
        match fault {
            Fault::ETag(other) => etag.clone_from(other),
            Fault::TruncateTo(shorter) => length = *shorter,
            Fault::NoRanges => ranges = false,
            _ => {}
        }
    }
    let asked_for = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let fresh = asked_for(IF_RANGE).is_none_or(|known| known == etag);
    let range = asked_for(RANGE).filter(|_| ranges && fresh).and_then(|text| range(text, length));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value("application/octet-stream"));
    headers.insert(ETAG, value(&etag));
    if ranges {
        headers.insert(ACCEPT_RANGES, value("bytes"));
    }
    let (status, from, to) = match range {
        Some((from, _)) if from >= length => {
            headers.insert(CONTENT_RANGE, value(&format!("bytes */{length}")));
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
        Some((from, to)) => {
            headers.insert(CONTENT_RANGE, value(&format!("bytes {from}-{}/{length}", to - 1)));
            (StatusCode::PARTIAL_CONTENT, from, to)
        }
        None => (StatusCode::OK, 0, length),
    };
    headers.insert(CONTENT_LENGTH, value(&(to - from).to_string()));
    (status, headers, Body::from_stream(body(content, from, to, faults))).into_response()
}

fn value(text: &str) -> HeaderValue {
    text.parse().expect("it is a header's value")
}

/// First byte and the one after the last, of `bytes=5-`, `bytes=5-9` or `bytes=-5`.
fn range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        return Some((length.saturating_sub(count), length));
    }
    let end = if last.is_empty() { length } else { last.parse::<u64>().ok()? + 1 };
    Some((first.parse().ok()?, end.min(length)))
}

/// The bytes, with what goes wrong with them.
fn body(content: Content, from: u64, to: u64, faults: Vec<Fault>) -> impl Stream<Item = io::Result<Bytes>> {
    let spoilt = Spoilt { content, to, faults };
    stream::unfold(Next::Read(from), move |next| {
        let next = match next {
            Next::Read(at) if at == spoilt.to => Next::End,
            Next::Read(at) => {
                let (block, after) = spoilt.read(at);
                return future::Either::Left(future::ready(Some((Ok(block), after))));
            }
            next => next,
        };
        future::Either::Right(stop(next))
    })
}

/// What a body does next.
enum Next {
    /// Gives what is at this byte.
    Read(u64),
    /// Breaks the connection.
    Cut,
    /// Gives nothing more, and keeps the connection.
    Hang,
    /// Is complete.
    End,
}

async fn stop(next: Next) -> Option<(io::Result<Bytes>, Next)> {
    match next {
        Next::Cut => {
            // Gives the server a turn in which it sends what it has.
            tokio::task::yield_now().await;
            Some((Err(io::Error::other("cut, as ordered")), Next::End))
        }
        Next::Hang => future::pending().await,
        Next::Read(_) | Next::End => None,
    }
}

/// A content up to a byte, and what is wrong with it.
struct Spoilt {
    content: Content,
    to: u64,
    faults: Vec<Fault>,
}

impl Spoilt {
    /// The block that begins at `at`, and what comes after it.
    fn read(&self, at: u64) -> (Bytes, Next) {
        let mut block = self.content.read(at, self.to);
        let end = at + block.len() as u64;
        let mut after = Next::Read(end);
        for fault in &self.faults {
            match fault {
                Fault::WrongByte(offset) if (at..end).contains(offset) => {
                    block = flipped(&block, offset - at)
                }
                Fault::CutAt(offset) if (at..end).contains(offset) => {
                    (block, after) = (block.slice(..index(offset - at)), Next::Cut);
                }
                Fault::HangAt(offset) if (at..end).contains(offset) => {
                    (block, after) = (block.slice(..index(offset - at)), Next::Hang);
                }
                _ => {}
            }
        }
        (block, after)
    }
}

fn flipped(block: &Bytes, at: u64) -> Bytes {
    let mut block = block.to_vec();
    block[index(at)] ^= 1;
    block.into()
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a block fits into memory")
}
