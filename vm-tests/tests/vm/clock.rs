//! The guest's clock: that of the host, however old its memory is and whenever the host has slept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::wait;
use rustix::time::{ClockId, clock_gettime, clock_settime};
use serde_json::Value;
use vm_tests::emulator::Emulator;
use vm_tests::guest::Guest;
use vm_tests::stack::sign_up;

/// Age of the memory that the machine resumes from.
const AGE: Duration = Duration::from_secs(61);

/// How long a machine is paused.
const STANDSTILL: Duration = Duration::from_secs(3);

/// Largest difference between the two clocks when `start` returns.
const DIFFERENCE: Duration = Duration::from_millis(100);

/// How long an access token is good for.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// How long the password's hash and the way may take.
const SIGN_UP_LIMIT: Duration = Duration::from_secs(20);

/// How long a clock may be wrong after the host woke up.
const WAKE_UP_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_machine_has_the_hosts_time_after_a_resume_and_a_sleep() {
    old_snapshot(Emulator::for_amd64()).await;
}

pub(crate) async fn old_snapshot(emulator: Emulator) {
    let captured = emulator.run(&["capture", "-o", "json"]).await.expect(0).json();
    let captured_at = time(&captured["createdAt"]);
    let old = async || (SystemTime::now() > captured_at + AGE).then_some(());
    wait::until(AGE * 2, old).await.expect("the snapshot grows old");

    let started = emulator.start(&[]).await.by("snapshot");
    let guest = emulator.guest();
    assert_right(&guest).await;
    let before = SystemTime::now();
    let session = sign_up(&started, "ada@example.com").await;
    let expiry = session["access_token_expires_at_millis"].as_u64().expect("milliseconds");
    let expiry = UNIX_EPOCH + Duration::from_millis(expiry);
    let range = before + TOKEN_LIFETIME - DIFFERENCE..SystemTime::now() + TOKEN_LIFETIME + DIFFERENCE;
    assert!(range.contains(&expiry), "{expiry:?} is not in {range:?}");
    assert!(before.elapsed().unwrap() < SIGN_UP_LIMIT);

    // A host that wakes up sets its clock, and the kernel notifies every process that waits for that. Its guest was paused.
    guest.sh("date -s \"@$(($(date +%s) - 3600))\"").await;
    assert!(guest.clock_difference().await > TOKEN_LIFETIME / 2);
    clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime)).expect("the test may set the clock");
    let right = async || (guest.clock_difference().await <= DIFFERENCE).then_some(());
    wait::until(WAKE_UP_LIMIT, right).await.expect("the guest's clock is set again");
    emulator.finish().await;
}

#[tokio::test]
async fn a_suspended_machine_has_the_hosts_time_when_it_goes_on() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    emulator.guest().sh("date -s \"@$(($(date +%s) - 3600))\"").await;
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    assert_right(&emulator.guest()).await;
    emulator.finish().await;
}

#[tokio::test]
async fn a_machine_that_stood_still_has_the_hosts_time_when_it_goes_on() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    // As a `stop` does that is killed right after.
    emulator.guest().monitor().await.stop().await.expect("the machine stops");
    tokio::time::sleep(STANDSTILL).await;
    let status = emulator.run(&["status"]).await.expect(1);
    assert!(status.stdout.contains("it is paused (a stop was cut short)"), "{}", status.stdout);
    let again = emulator.start(&[]).await;
    assert_eq!(again.report["alreadyRunning"], true, "{}", again.report);
    assert_right(&emulator.guest()).await;
    emulator.finish().await;
}

async fn assert_right(guest: &Guest) {
    let found = guest.clock_difference().await;
    assert!(found <= DIFFERENCE, "the clocks differ by {found:?}");
}

fn time(value: &Value) -> SystemTime {
    let text = value.as_str().expect("a time");
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    parsed.expect("RFC 3339").into()
}
