//! Accelerators: proven, never assumed.

use vm_tests::emulator::Emulator;
use vm_tests::ports::START;

#[tokio::test]
async fn auto_and_kvm_agree_about_this_host() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&["--accel", "auto"]).await;
    let chosen = started.report["accelerator"].clone();
    emulator.finish().await;
    let forced = emulator.run(&[&START[..], &["--accel", "kvm"]].concat()).await;
    if chosen == "kvm" {
        forced.expect(0);
        emulator.finish().await;
    } else {
        let forced = forced.expect(5);
        assert!(forced.stderr.contains("hint:"), "{}", forced.stderr);
        assert!(emulator.live().is_none(), "a failed start leaves no machine");
    }
}

#[tokio::test]
async fn the_verdict_about_kvm_is_reached_once_and_remembered() {
    let emulator = Emulator::with_own_verdicts();
    let first = emulator.run(&["doctor", "-o", "json"]).await;
    let second = emulator.run(&["doctor", "-o", "json"]).await;
    assert_eq!(first.json()["schemaVersion"], 1);
    assert_eq!(first.code, second.code);
}
