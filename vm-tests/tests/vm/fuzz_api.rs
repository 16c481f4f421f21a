//! Random and concurrent requests to all routes. `cargo xtask fuzz-api` does this for longer.

use vm_tests::emulator::Emulator;
use vm_tests::fuzz_api::{self, Plan, SEED_VARIABLE};

#[tokio::test]
async fn fuzzing_the_api_finds_no_failure_and_no_session_that_outlives_its_end() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let plan = Plan::from_env();
    println!("{SEED_VARIABLE}={} for {} s", plan.seed, plan.duration.as_secs());
    let outcome = fuzz_api::run(&started, plan).await;
    println!("answers {:?}, flows {:?}", outcome.statuses, outcome.flows);
    assert!(outcome.findings.is_empty(), "{SEED_VARIABLE}={}:\n{}", plan.seed, outcome.findings.join("\n"));
    for status in [200, 201, 204, 400, 401, 404] {
        assert!(outcome.statuses.contains_key(&status), "nothing was answered {status}");
    }
    assert!(outcome.flows.len() >= 3, "{:?}", outcome.flows);
    let health = started.api("backend").get("/health?db=1").await;
    assert_eq!(health.status, 200, "{:?}", health.body);
    assert_eq!(started.api("dashboard").get("/status").await.status, 200);
    emulator.finish().await;
}
