//! Clients that come at the same time.

use std::collections::BTreeMap;
use std::future::Future;

use reqwest::Result;
use serde_json::json;
use tokio::task::JoinSet;
use vm_tests::api::Answer;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::stack::{PASSWORD, backend, sign_up};

/// Connections at once.
const CONNECTIONS: usize = 200;

/// Sign-ins at once: each costs a hash.
const SIGN_INS: usize = 50;

/// Who signs in.
const USER: &str = "at-once@example.com";

#[tokio::test]
async fn two_hundred_connections_at_once_are_all_answered() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    assert_all_answered(&started).await;
    emulator.finish().await;
    let again = emulator.start(&[]).await.by("suspended");
    assert_all_answered(&again).await;
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn fifty_sign_ins_at_once_succeed_or_are_told_when_to_try_again() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    let client = backend(&started, "client");
    let body = json!({ "email": USER, "password": PASSWORD });
    let answers = at_once(SIGN_INS, || {
        let (client, body) = (client.clone(), body.clone());
        async move { client.attempt_post("/api/v1/auth/password/sign-in", &body).await }
    });
    let answers = answers.await;
    let in_words = |answer: &Result<Answer>| match answer {
        Ok(Answer { status: 200, .. }) => "in".to_owned(),
        Ok(Answer { status: 503, retry_after: Some(1..), .. }) => "later".to_owned(),
        other => format!("{other:?}"),
    };
    let counted = counted(answers.iter().map(in_words));
    assert_eq!(of(&counted, "in") + of(&counted, "later"), SIGN_INS, "{counted:?}");
    assert!(of(&counted, "in") > 0, "{counted:?}");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

/// Through every forward.
async fn assert_all_answered(started: &Started) {
    for (service, path) in [("backend", "/health"), ("dashboard", "/handler/sign-in")] {
        let api = started.api(service);
        let answers = at_once(CONNECTIONS, || {
            let api = api.clone();
            async move { api.attempt_get(path).await }
        });
        let in_words = |answer: Result<Answer>| match answer {
            Ok(answer) => answer.status.to_string(),
            Err(error) => format!("{error:?}"),
        };
        let counted = counted(answers.await.into_iter().map(in_words));
        assert_eq!(counted, BTreeMap::from([("200".to_owned(), CONNECTIONS)]), "{service}");
    }
}

/// The answers to so many requests that begin together, each on a connection of its own.
async fn at_once<F>(count: usize, request: impl Fn() -> F) -> Vec<Result<Answer>>
where
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    let mut requests = JoinSet::new();
    for _ in 0..count {
        requests.spawn(request());
    }
    requests.join_all().await
}

fn counted(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for word in words {
        *counted.entry(word).or_default() += 1;
    }
    counted
}

fn of(counted: &BTreeMap<String, usize>, word: &str) -> usize {
    counted.get(word).copied().unwrap_or_default()
}
