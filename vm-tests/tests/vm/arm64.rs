//! 64-bit Arm: what holds for every image and every instance holds for these, which no machine that these tests run on has the processor
//! for. A selection: what does not depend on the architecture is tested once.

use ::image::arch::Arch;
use serde_json::json;
use vm_tests::emulator::Emulator;
use vm_tests::stack::{sign_up, users};

use crate::{clock, exec, exports, image, recovery, rotation, run, sessions, smoke, uniqueness};

#[tokio::test]
async fn smoke_the_image_for_arm64() {
    smoke::smoke(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn the_image_for_arm64_is_sound_and_small() {
    image::sound_and_small(Arch::Arm64).await;
}

#[tokio::test]
async fn the_image_for_arm64_boots_to_a_login_prompt_under_plain_firmware() {
    image::boots_under_plain_firmware(&image::ARM).await;
}

#[tokio::test]
async fn sessions_of_arm64_have_secrets_of_their_own() {
    rotation::twenty_sessions(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn machines_for_arm64_draw_no_random_value_twice_without_a_generation_id() {
    uniqueness::two_machines(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn the_time_on_arm64_is_the_hosts() {
    clock::old_snapshot(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn clients_sign_up_and_in_with_variables_of_arm64() {
    exports::clients_sign_in(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn a_suspended_session_goes_on_on_arm64() {
    sessions::suspended_session(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn suspending_under_load_loses_nothing_on_arm64() {
    sessions::suspending_under_load(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn commands_run_inside_machines_for_arm64() {
    exec::commands(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn data_on_arm64_outlives_a_kill_of_qemu() {
    recovery::kill_of_qemu(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn both_architectures_run_from_one_home_and_know_nothing_of_each_other() {
    let amd64 = Emulator::for_amd64();
    let arm64 = amd64.beside(Arch::Arm64);
    let (first, second) = (amd64.start(&[]).await, arm64.start(&[]).await);
    assert_eq!((&first.report["arch"], &second.report["arch"]), (&json!("amd64"), &json!("arm64")));
    assert_eq!(amd64.guest().sh("uname -m").await, "x86_64");
    assert_eq!(arm64.guest().sh("uname -m").await, "aarch64");
    assert!(first.secrets.values().all(|value| !second.secrets.values().any(|other| other == value)));
    sign_up(&second, "arm@example.com").await;
    assert!(users(&second).await.contains(&"arm@example.com".to_owned()));
    assert!(!users(&first).await.contains(&"arm@example.com".to_owned()));

    // What belongs to one architecture is of no use to the other, and says so.
    arm64.finish().await;
    let mistaken = arm64.command(&["start"]).arg("--arch=amd64").output().await.unwrap();
    let said = String::from_utf8_lossy(&mistaken.stderr).into_owned();
    assert!(!mistaken.status.success(), "{said}");
    amd64.run(&["status"]).await.expect(0);
    amd64.finish().await;
}

#[tokio::test]
async fn a_machine_for_arm64_lives_until_the_last_run_has_ended() {
    run::last_run_ends(Emulator::for_arm64()).await;
}

#[tokio::test]
async fn runs_on_arm64_share_no_value_and_leave_nothing() {
    run::fresh::own_values(Emulator::for_arm64()).await;
}
