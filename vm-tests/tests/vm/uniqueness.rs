//! Two machines from one snapshot have nothing random in common.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::guest::Guest;
use vm_tests::ports::START;
use vm_tests::stack::{backend, sign_up};

/// Values of each kind.
const VALUES: usize = 1000;

/// Clients that ask at the same time, over a connection each.
const CLIENTS: usize = 4;

/// Draws of each kind in one script, so that all of them begin at once: 1,000 reads of the kernel's generator, and random values of
/// PostgreSQL's in new processes, in one for all and in one for each.
const DRAW: &str = r#"
sql() { runuser -u postgres -- psql -d stack -qtA; }
cd /run
dd if=/dev/urandom bs=16 count=1000 2>/dev/null | od -An -v -w16 -tx1 | tr -d ' ' > kernel &
echo 'SELECT gen_random_uuid() FROM generate_series(1, 1000)' | sql > uuid &
for i in 1 2 3 4 5; do echo 'SELECT gen_random_uuid() FROM generate_series(1, 200)' | sql > "uuids-$i"; done &
{ i=0; while [ $i -lt 100 ]; do echo 'SELECT random() FROM generate_series(1, 10);'; i=$((i + 1)); done; } | sql > random &
wait
cat uuids-*  > uuids
"#;

#[tokio::test]
async fn two_machines_from_one_snapshot_draw_no_random_value_twice() {
    two_machines(Emulator::for_amd64()).await;
}

pub(crate) async fn two_machines(emulator: Emulator) {
    let snapshot = || emulator.home().snapshots();
    let first = draw(&emulator).await;
    let before = snapshot();
    emulator.run(&["reset", "--yes"]).await.expect(0);
    let second = draw(&emulator).await;
    assert_eq!(snapshot(), before, "both are to be of one snapshot");
    emulator.finish().await;
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (kind, values) in &first {
        assert!(values.len() >= VALUES && second[kind].len() >= VALUES, "{kind}: only {}", values.len());
        let common: Vec<_> = values.intersection(&second[kind]).collect();
        assert!(common.is_empty(), "{kind}: {common:?}");
    }
}

/// Different values by their kinds, all of which begin to be drawn when the start returns.
async fn draw(emulator: &Emulator) -> BTreeMap<&'static str, BTreeSet<String>> {
    let run = emulator.run(&START).await.expect(0);
    let guest = emulator.guest();
    let tokens = async {
        let started = emulator.started(run).await.by("snapshot");
        tokens(&started).await
    };
    let (mut drawn, tokens) = tokio::join!(inside(&guest), tokens);
    drawn.insert("tokens", tokens);
    drawn
}

async fn inside(guest: &Guest) -> BTreeMap<&'static str, BTreeSet<String>> {
    guest.sh(DRAW).await;
    let mut drawn = BTreeMap::new();
    for kind in ["kernel", "uuid", "uuids", "random"] {
        let lines = guest.sh(&format!("cat /run/{kind}")).await;
        drawn.insert(kind, lines.lines().map(str::to_owned).collect());
    }
    drawn
}

/// Access tokens, which the backend makes fastest of all that is random.
async fn tokens(started: &Started) -> BTreeSet<String> {
    let session = sign_up(started, "ada@example.com").await;
    let refresh = session["refresh_token"].as_str().expect("a refresh token");
    let one = async || {
        let client = backend(started, "client").with("x-stack-refresh-token", refresh);
        let mut tokens = Vec::new();
        for _ in 0..VALUES / CLIENTS {
            let answer = client.post("/api/v1/auth/sessions/current/refresh", &json!({})).await;
            tokens.push(answer.body["access_token"].as_str().expect("an access token").to_owned());
        }
        tokens
    };
    let all: [Vec<String>; CLIENTS] = tokio::join!(one(), one(), one(), one()).into();
    all.into_iter().flatten().collect()
}
