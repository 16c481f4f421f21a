//! `stackd ready`: waits until the services answer the requests that the host will send.
//!
//! systemd knows when a service listens, which is not yet when it works: the first connection to a database that has just started
//! takes as long again. What starts after this leaves the processor to the services until then.

use std::time::Duration;

use anyhow::Context;
use axum::http::Method;
use futures_util::future::try_join_all;
use protocol::services::{Services, WarmUp};

use crate::http_client::{HttpClient, Parts};
use crate::{service, services};

/// How long a single answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long the services may take in all. The recovery of a database after a crash is long over by then.
const LIMIT: Duration = Duration::from_mins(5);

/// Waits for every service.
pub(crate) fn run() -> anyhow::Result<()> {
    let services = services::load()?;
    service::run(services_answer(&services))?
}

/// Waits until every port with a health path has answered with success.
pub(crate) async fn services_answer(services: &Services) -> anyhow::Result<()> {
    let answering = services.ports().filter_map(|port| Some(answers(port.guest, port.health.as_deref()?)));
    try_join_all(answering).await.map(drop)
}

/// Sends the requests that services want once before a capture. Any answer will do: that of a page for which one has to sign in is a
/// redirection.
pub(crate) async fn call_warm_ups(services: &Services) -> anyhow::Result<()> {
    let calls = services.services.iter().flat_map(|service| &service.warm_up);
    try_join_all(calls.map(async |WarmUp { port, path }| {
        let base = format!("http://127.0.0.1:{port}");
        let answer = HttpClient::new(base.clone(), ANSWER_LIMIT).send(Method::GET, path, Parts::new()).await;
        answer.with_context(|| format!("`{base}{path}` does not answer"))
    }))
    .await
    .map(drop)
}

async fn answers(port: u16, path: &str) -> anyhow::Result<()> {
    let base = format!("http://127.0.0.1:{port}");
    let what = format!("{base}{path}");
    let client = HttpClient::new(base, ANSWER_LIMIT);
    let probe = async || {
        let answer = client.send(Method::GET, path, Parts::new()).await;
        answer.is_ok_and(|answer| answer.status.is_success()).then_some(())
    };
    base::wait::until(LIMIT, probe).await.with_context(|| format!("`{what}` does not answer with success"))
}
