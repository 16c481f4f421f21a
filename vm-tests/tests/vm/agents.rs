//! Guests whose agents are dead or cannot do what they should: the other one takes over, else the machine is booted.

use vm_tests::emulator::Emulator;
use vm_tests::followed::Followed;
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};

use crate::faults::assert_because;

/// The user that must outlive every fault.
const USER: &str = "kept@example.com";

/// What QEMU's guest agent runs where the resident one is of no use.
const PROGRAM: &str = "/usr/lib/stack/stackd";

#[tokio::test]
async fn qemus_agent_replaces_a_dead_agent_and_without_both_it_boots() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    emulator.guest().sh("systemctl stop stack-agent").await;
    let stopped = emulator.stop(&[], "suspended").await;
    assert!(stopped.stderr.contains("has not synced its disk"), "{}", stopped.stderr);

    let run = Followed::spawn(&emulator, &START).finished().await;
    let again = emulator.started(run).await.by("suspended");
    assert!(again.said.contains("asking QEMU's guest agent"), "{}", again.said);
    assert_eq!(again.secrets, started.secrets);

    emulator.guest().cut_off("systemctl stop qemu-guest-agent").await;
    emulator.stop(&[], "suspended").await;
    let booted = emulator.start(&[]).await.by("cold");
    assert_because(&booted, "the guest agent gave no sign of life");
    assert!(users(&booted).await.contains(&USER.to_owned()));
    assert_eq!(booted.secrets, started.secrets);
    emulator.finish().await;
}

#[tokio::test]
async fn a_resume_program_that_fails_leads_to_a_boot_with_the_data() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    let programs = [
        ("echo no luck >&2; exit 1", "exited with status 1 in the guest"),
        ("kill -KILL $$", "was killed by signal 9 in the guest"),
        ("exec sleep 600", "still runs in the guest"),
    ];
    for (script, reason) in programs {
        // The resident agent is there, and fails at once: its device does not know the request.
        let guest = emulator.guest();
        guest.sh("mount --bind /etc/hostname /dev/urandom").await;
        let install = format!(
            "printf '#!/bin/sh\\n%s\\n' '{script}' > /run/program; chmod 755 /run/program; \
             mount -o remount,exec /run; mount --bind /run/program {PROGRAM}"
        );
        guest.sh(&install).await;
        emulator.finish().await;
        let booted = emulator.start(&[]).await.by("cold");
        assert_because(&booted, reason);
        assert!(users(&booted).await.contains(&USER.to_owned()));
        assert_eq!(booted.secrets, started.secrets);
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}
