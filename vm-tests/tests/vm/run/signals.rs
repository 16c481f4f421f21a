//! The terminal of a command beside an instance, and its signals.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::Child;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::processes;

use super::state;

/// More than the time within which two signals count as one.
const MOMENT: Duration = Duration::from_millis(300);

/// What the keys send.
const CTRL_C: &[u8] = b"\x03";

/// A person's terminal, on which a command runs in a session of its own.
struct Terminal {
    own: File,
    child: Child,
    shown: String,
}

impl Terminal {
    fn running(emulator: &Emulator, flags: &[&str], script: &str) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&own).unwrap();
        unlockpt(&own).unwrap();
        tcsetwinsize(&own, Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&own, Vec::new()).unwrap();
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let user = || File::options().read(true).write(true).open(name).unwrap();
        let mut command = emulator.running_within(&["setsid", "--ctty"], flags, &["sh", "-c", script]);
        let child = command.stdin(user()).stdout(user()).stderr(user()).spawn().unwrap();
        Self { own: File::from(own), child, shown: String::new() }
    }

    /// Waits until `text` has been shown.
    fn until(&mut self, text: &str) {
        let mut block = [0; 4096];
        while !self.shown.contains(text) {
            let length = self.own.read(&mut block).unwrap_or_else(|error| panic!("{error}: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&block[..length]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.own.write_all(keys).unwrap();
    }

    async fn code(self) -> i32 {
        finished(self.child).await.code
    }
}

#[tokio::test]
async fn a_command_has_the_terminal_and_its_first_ctrl_c() {
    let emulator = Emulator::for_amd64();
    let script =
        r"trap 'echo bye; exit 5' INT; stty size; test -t 0 && echo ready; while :; do sleep 1; done";
    let mut terminal = Terminal::running(&emulator, &[], script);
    terminal.until("ready");
    assert!(terminal.shown.contains("33 99"), "{}", terminal.shown);
    terminal.press(CTRL_C);
    terminal.until("bye");
    assert_eq!(terminal.code().await, 5);
    assert_eq!(state(&emulator).await, "suspended");
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn the_second_ctrl_c_leaves_no_process() {
    let emulator = Emulator::for_amd64();
    // Deaf children, one of them an orphan in a session of its own.
    let script = "trap '' INT TERM; (setsid sleep 600 &); sleep 600 & echo ready; sleep 600";
    for flags in [&[][..], &["--fresh"]] {
        let mut terminal = Terminal::running(&emulator, flags, script);
        terminal.until("ready");
        terminal.press(CTRL_C);
        tokio::time::sleep(MOMENT).await;
        assert!(terminal.child.try_wait().unwrap().is_none(), "the first one is the command's");
        terminal.press(CTRL_C);
        assert_eq!(terminal.code().await, 128 + Signal::KILL.as_raw());
        emulator.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_signal_of_a_process_is_passed_on() {
    let emulator = Emulator::for_amd64();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::USR1, "USR1")] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.1; done");
        let mut child = emulator.running(&["--keep"], &["sh", "-c", &script]).spawn().unwrap();
        tokio::io::AsyncReadExt::read_u8(child.stdout.as_mut().unwrap()).await.unwrap();
        processes::send(child.id().unwrap().try_into().unwrap(), signal);
        finished(child).await.expect(9);
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_signal_during_the_start_leaves_nothing_running() {
    let emulator = Emulator::for_amd64();
    for flags in [&["--no-snapshot"][..], &["--fresh", "--no-snapshot"]] {
        let child = emulator.running(flags, &["true"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        processes::send(child.id().unwrap().try_into().unwrap(), Signal::INT);
        finished(child).await.expect(130);
        emulator.assert_tidy().await;
    }
}
