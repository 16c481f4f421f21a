//! One HTTP request to a forwarded port of the loopback interface.
//!
//! One connection per request and no proxy: a proxy from the environment is not for 127.0.0.1, and a
//! pooled connection would outlive what it verifies.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::http::response::Parts;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ports::LOOPBACK;

/// How much of an unsuccessful answer is shown, in characters.
const REASON_LIMIT: usize = 200;

/// Why a request has no answer: what follows the name of a service.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The port is closed.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The answer is not HTTP.
    #[error("gives no valid HTTP answer")]
    Http(#[from] hyper::Error),
    /// The deadline passed.
    #[error("gives no answer within {:.2} s", .0.as_secs_f64())]
    TimedOut(Duration),
}

/// An answer whose body was read as far as it is of interest.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Empty if it is not of interest, or longer than it may be.
    pub(super) body: Bytes,
}

/// What part of an answer is read.
pub(super) struct Reading {
    /// How long the answer may take.
    pub(super) limit: Duration,
    /// Longest body in bytes.
    pub(super) bytes: usize,
    /// Whether the body of an answer with this head is of interest.
    pub(super) wanted: fn(&Parts) -> bool,
}

/// Sends a request to `port`, on a connection of its own.
///
/// # Errors
/// When there is no answer in time.
pub(super) async fn send(
    port: u16,
    request: Request<Full<Bytes>>,
    reading: &Reading,
) -> Result<Answer, Unanswered> {
    let answered = tokio::time::timeout(reading.limit, exchange(port, request, reading)).await;
    answered.unwrap_or(Err(Unanswered::TimedOut(reading.limit)))
}

async fn exchange(
    port: u16,
    mut request: Request<Full<Bytes>>,
    reading: &Reading,
) -> Result<Answer, Unanswered> {
    let host = format!("{LOOPBACK}:{port}").try_into().expect("an address and a number are a header's value");
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    let stream = TcpStream::connect((LOOPBACK, port)).await.map_err(Unanswered::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        if !(reading.wanted)(&head) {
            return Ok(Answer { status: head.status, body: Bytes::new() });
        }
        let body = Limited::new(body, reading.bytes).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Answer { status: head.status, body })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

/// Whether the body is text that can be shown.
pub(super) fn is_textual(head: &Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/plain") || kind.contains("json"))
}

impl Answer {
    /// What an unsuccessful answer says, on one line.
    pub(super) fn refusal(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        if body.is_empty() {
            return format!("answered {}", self.status);
        }
        let shown: String = body.chars().take(REASON_LIMIT).collect();
        format!("answered {}: {shown}", self.status)
    }
}
