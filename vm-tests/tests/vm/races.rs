//! Concurrent changes of data, and invalid data.

use serde_json::{Value, json};
use vm_tests::emulator::{Emulator, Started};
use vm_tests::fuzz_api;
use vm_tests::stack::{FILE_PROJECT, PASSWORD, SIGN_UP, backend};

/// How often each thing is ended.
const ROUNDS: usize = 3;

#[tokio::test]
async fn what_is_used_while_it_ends_is_refused_and_leaves_no_session_behind() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let outcome = fuzz_api::end_everything(&started, 1, ROUNDS).await;
    assert!(outcome.findings.is_empty(), "{}", outcome.findings.join("\n"));
    assert_eq!(outcome.flows.len(), 7, "{:?}", outcome.flows);
    emulator.finish().await;
}

#[tokio::test]
async fn texts_and_addresses_are_limited_as_documented() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    limits(&started).await;
    emulator.finish().await;
}

async fn limits(started: &Started) {
    let sign_up = async |email: &str, name: &str| {
        let body = json!({ "email": email, "password": PASSWORD, "display_name": name });
        seen(&backend(started, "client").post(SIGN_UP, &body).await)
    };
    assert_eq!(sign_up(&address(254), &"n".repeat(1024)).await, (201, Value::Null));
    assert_eq!(sign_up(&address(255), "Ada").await, (400, json!("INVALID_EMAIL")));
    for email in ["Ada <ada@example.com>", "\"ada\"@example.com", "ada@[127.0.0.1]", "a\0da@example.com"] {
        assert_eq!(sign_up(email, "Ada").await, (400, json!("INVALID_EMAIL")), "{email:?}");
    }
    assert_eq!(sign_up("long@example.com", &"n".repeat(1025)).await, (400, json!("TEXT_TOO_LONG")));
    assert_eq!(sign_up("null@example.com", "A\0da").await, (400, json!("SCHEMA_ERROR")));
    assert_eq!(sign_up("large@example.com", &"n".repeat(64 * 1024)).await, (413, json!("BODY_TOO_LARGE")));

    let search = async |query: &str| {
        seen(&backend(started, "server").get(&format!("/api/v1/users?query={query}")).await)
    };
    assert_eq!(search(&"q".repeat(1024)).await, (200, Value::Null));
    assert_eq!(search(&"q".repeat(1025)).await, (400, json!("TEXT_TOO_LONG")));
    assert_eq!(search("%00").await, (400, json!("SCHEMA_ERROR")));

    let project = async |path: &str| {
        let body = json!({ "absolute_file_path": path });
        seen(&backend(started, "client").post(FILE_PROJECT, &body).await)
    };
    assert_eq!(project(&format!("/{}", "p".repeat(2047))).await, (200, Value::Null));
    assert_eq!(project(&format!("/{}", "p".repeat(2048))).await, (400, json!("INVALID_FILE_PATH")));
    assert_eq!(project("/a\0b").await, (400, json!("INVALID_FILE_PATH")));
}

/// An address of so many bytes.
fn address(length: usize) -> String {
    let domain = ["d"; 3].map(|letter| letter.repeat(63)).join(".");
    format!("ada@{domain}.{}", "e".repeat(length - "ada@.".len() - domain.len()))
}

fn seen(answer: &vm_tests::api::Answer) -> (u16, Value) {
    (answer.status, answer.body["code"].clone())
}
