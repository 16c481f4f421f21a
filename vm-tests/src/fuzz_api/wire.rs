//! HTTP/1.1 by hand, because no client sends what is wrong.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than every deadline of a service, on a machine that emulates.
const LIMIT: Duration = Duration::from_mins(1);

/// A request, which may be none.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// Whether it is so wrong that a service may close the connection without an answer.
    pub(super) may_be_dropped: bool,
}

impl Request {
    pub(super) fn new(method: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { method: method.into(), target: target.into(), ..Self::default() }
    }

    #[must_use]
    pub(super) fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub(super) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    #[must_use]
    pub(super) fn form(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = [&self.method[..], b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let mut line = |name: &[u8], value: &[u8]| bytes.extend([name, b": ", value, b"\r\n"].concat());
        let given =
            |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name.as_bytes()));
        if !given("host") {
            line(b"host", host.as_bytes());
        }
        if !given("content-length") && !given("transfer-encoding") {
            line(b"content-length", self.body.len().to_string().as_bytes());
        }
        line(b"connection", b"close");
        for (name, value) in &self.headers {
            line(name, value);
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// As a finding shows it: one line, and not all of a large body.
    pub(super) fn shown(&self) -> String {
        let text: String = self.bytes("HOST").escape_ascii().to_string();
        match text.char_indices().nth(1500) {
            Some((end, _)) => format!("{}… ({} bytes of body)", &text[..end], self.body.len()),
            None => text,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lines of the head without the first, names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        // What only asks for the body is not the answer yet.
        if bytes.starts_with(b"HTTP/1.1 100 ") {
            return Self::parse(&bytes[end + 4..]);
        }
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// As a finding shows it.
    pub(super) fn shown(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        format!("{} {body:?}", self.status)
    }
}

/// Sends a request on a connection of its own, and reads all of the answer.
pub(super) async fn exchange(host: &str, request: &Request) -> io::Result<Answer> {
    let exchanged = async {
        let mut stream = TcpStream::connect(host).await?;
        // A service may have answered and closed before it has read everything.
        let _ = stream.write_all(&request.bytes(host)).await;
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).await;
        match Answer::parse(&bytes) {
            Some(answer) => Ok(answer),
            None => Err(end.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    };
    timeout(LIMIT, exchanged).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_it_is_and_its_answer_is_read() {
        let request = Request::new("PUT", "/x").header("a", b"\xff".to_vec()).json(&Value::Null);
        let expected =
            b"PUT /x HTTP/1.1\r\nhost: h:1\r\ncontent-length: 4\r\nconnection: close\r\na: \xff\r\ncontent-type: application/json\r\n\r\nnull";
        assert_eq!(request.bytes("h:1"), expected);
        let answer = Answer::parse(b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\n\r\n{\"code\":1}").unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
        assert_eq!(answer.json()["code"], 1);
        assert!(Answer::parse(b"HTTP/1.1 200").is_none());
        let asked_for_more = Answer::parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n");
        assert_eq!(asked_for_more.unwrap().status, 204);
    }
}
