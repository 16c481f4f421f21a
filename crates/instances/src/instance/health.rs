//! Health as a user would see it: a GET through the forwarded port on the loopback interface.

use std::time::Duration;

use http_body_util::Full;
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use serde::Serialize;

use super::loopback::{self, Answer, Reading, Unanswered};
use crate::ports::PublishedPort;

/// How much of an unhealthy answer's body is read for a reason.
const BODY_LIMIT: usize = 4096;

/// What one health path answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Name of the port in the manifest.
    pub name: String,
    /// What was asked.
    pub url: String,
    /// Whether it answered 200.
    pub healthy: bool,
    /// Why it counts as unhealthy.
    pub reason: Option<String>,
}

/// Asks every port that has a health path, all at once, each within `limit`.
pub async fn check(ports: &[PublishedPort], limit: Duration) -> Vec<Health> {
    futures_util::future::join_all(ports.iter().filter_map(|port| {
        let path = port.health.as_deref()?;
        Some(async move {
            let url = port.health_url().unwrap_or_default();
            let reason = match get(port.host, path, limit).await {
                Ok(Answer { status: StatusCode::OK, .. }) => None,
                Ok(answer) => Some(answer.refusal()),
                Err(error) => Some(error.to_string()),
            };
            Health { name: port.name.clone(), url, healthy: reason.is_none(), reason }
        })
    }))
    .await
}

/// The health of every port with a health path when none can be asked, `because` of one cause.
pub fn unasked(ports: &[PublishedPort], because: &str) -> Vec<Health> {
    let with_path = ports.iter().filter(|port| port.health.is_some());
    let health = |port: &PublishedPort| Health {
        name: port.name.clone(),
        url: port.health_url().unwrap_or_default(),
        healthy: false,
        reason: Some(because.to_owned()),
    };
    with_path.map(health).collect()
}

/// Sends one GET, and reads the start of an unsuccessful answer.
async fn get(port: u16, path: &str, limit: Duration) -> Result<Answer, Unanswered> {
    let wanted = |head: &Parts| head.status != StatusCode::OK && loopback::is_textual(head);
    let request = Request::get(path).body(Full::default());
    let request = request.expect("a path from the manifest starts with a slash");
    loopback::send(port, request, &Reading { limit, bytes: BODY_LIMIT, wanted }).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::ports::LOOPBACK;

    /// Serves one connection with `answer`, and returns the port and the request.
    async fn served(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (port, asked)
    }

    async fn checked(port: u16) -> Health {
        let port = PublishedPort {
            name: "api".into(),
            guest: 1,
            host: port,
            variable: "API_PORT".into(),
            health: Some("/health?db=1".into()),
        };
        check(&[port], Duration::from_secs(5)).await.remove(0)
    }

    #[tokio::test]
    async fn an_answer_of_200_is_healthy_and_the_whole_path_is_asked() {
        let (port, asked) = served("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let health = checked(port).await;
        assert!(health.healthy, "{health:?}");
        assert!(asked.await.unwrap().starts_with("GET /health?db=1 HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn another_status_is_unhealthy_and_the_body_says_why() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
                      content-length: 23\r\n\r\n{\"reason\":  \"database\"}";
        let health = checked(served(answer).await.0).await;
        assert_eq!(health.reason.unwrap(), r#"answered 503 Service Unavailable: {"reason": "database"}"#);
    }

    #[tokio::test]
    async fn a_closed_port_and_a_silent_one_are_unhealthy() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(checked(port).await.reason.unwrap(), "cannot connect");
        let (port, _) = served("").await;
        assert_eq!(checked(port).await.reason.unwrap(), "gives no valid HTTP answer");
    }

    #[tokio::test]
    async fn no_answer_ends_at_the_limit() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = PublishedPort {
            name: "api".into(),
            guest: 1,
            host: listener.local_addr().unwrap().port(),
            variable: "API_PORT".into(),
            health: Some("/".into()),
        };
        let health = check(&[port], Duration::from_millis(20)).await.remove(0);
        assert_eq!(health.reason.unwrap(), "gives no answer within 0.02 s");
    }
}
