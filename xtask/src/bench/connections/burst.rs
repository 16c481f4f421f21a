//! Requests that begin together, each on a connection of its own, as browsers and test runners make them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Client, RequestBuilder, StatusCode};
use tokio::task::JoinSet;

/// How long an answer may take; who waits longer has given up.
const LIMIT: Duration = Duration::from_mins(1);

/// How a request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What was asked for.
    Answered,
    /// 503 or 429: try again later.
    Busy,
    /// The connection was refused, reset or ended before a whole answer.
    Reset,
    /// No answer within a minute.
    Hung,
}

/// One request, and after how many seconds it has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) seconds: f64,
}

/// A client whose every request makes a connection.
///
/// # Errors
/// When there can be none.
pub(super) fn client() -> anyhow::Result<Client> {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(LIMIT).build();
    client.context("cannot make a client")
}

/// Sends `request` `count` times at once.
///
/// # Errors
/// When an answer is neither a success nor 503 or 429: something else than what was to be measured.
pub(super) async fn burst(request: &RequestBuilder, count: usize) -> anyhow::Result<Vec<Ended>> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        requests.spawn(ended(request.try_clone().context("a request with a stream cannot be repeated")?));
    }
    let mut all = Vec::new();
    while let Some(ended) = requests.join_next().await {
        all.push(ended??);
    }
    Ok(all)
}

async fn ended(request: RequestBuilder) -> anyhow::Result<Ended> {
    let begun = Instant::now();
    let answered = whole(request).await;
    let seconds = begun.elapsed().as_secs_f64();
    let outcome = match answered {
        Ok(StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => Outcome::Busy,
        Ok(status) => {
            ensure!(status.is_success(), "a service answered {status}");
            Outcome::Answered
        }
        Err(error) if error.is_timeout() => Outcome::Hung,
        Err(_) => Outcome::Reset,
    };
    Ok(Ended { outcome, seconds })
}

async fn whole(request: RequestBuilder) -> reqwest::Result<StatusCode> {
    let response = request.send().await?;
    let status = response.status();
    response.bytes().await?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// A server that gives `answers` to one connection each.
    async fn outcomes(answers: [&'static str; 3]) -> anyhow::Result<Vec<Ended>> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serve = async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = connection.read(&mut [0; 1024]).await.unwrap();
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let server = tokio::spawn(serve);
        let ended = burst(&client().unwrap().get(url), answers.len()).await;
        server.await.unwrap();
        ended
    }

    #[tokio::test]
    async fn an_answer_a_refusal_to_answer_now_and_half_an_answer_are_told_apart() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        let ended = outcomes([OK, busy, "HTTP/1.1 200"]).await.unwrap();
        let count = |outcome| ended.iter().filter(|one| one.outcome == outcome).count();
        assert_eq!(
            [Outcome::Answered, Outcome::Busy, Outcome::Reset, Outcome::Hung].map(count),
            [1, 1, 1, 0]
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_another_one_is_no_figure() {
        let denied = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            outcomes([OK, OK, denied]).await.unwrap_err().to_string(),
            "a service answered 401 Unauthorized"
        );
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_a_reset() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let ended = burst(&client().unwrap().get(url), 2).await.unwrap();
        assert!(ended.iter().all(|one| one.outcome == Outcome::Reset), "{ended:?}");
    }
}
