//! A terminal for the program under test, and the person at its other end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

use base::wait;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::emulator::code;

/// Longest wait for what a program shows.
const LIMIT: Duration = Duration::from_secs(30);

/// A program in a terminal.
#[derive(Debug)]
pub struct InTerminal {
    terminal: File,
    child: Child,
    shown: String,
}

impl InTerminal {
    /// Starts `command` in a new terminal, whose session it leads.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).expect("there are terminals");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is this process's");
        let end = ioctl_tiocgptpeer(&terminal, flags).expect("it has another end");
        resize(&terminal, columns, rows);
        let stdio = || Stdio::from(end.try_clone().expect("descriptors can be duplicated"));
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let lead = || {
            rustix::process::setsid()?;
            // SAFETY: it is stdin, which this process was just given.
            #[expect(unsafe_code, reason = "the standard library's handle of stdin may allocate")]
            let terminal = unsafe { std::os::fd::BorrowedFd::borrow_raw(0) };
            Ok(rustix::process::ioctl_tiocsctty(terminal)?)
        };
        // SAFETY: both are plain system calls, and nothing is allocated.
        #[expect(unsafe_code, reason = "the standard library has no stable call for a new session")]
        unsafe {
            command.pre_exec(lead);
        }
        let child = command.spawn().expect("the built program starts");
        rustix::io::ioctl_fionbio(&terminal, true).expect("a terminal can be read without waiting");
        Self { terminal: terminal.into(), child, shown: String::new() }
    }

    /// Waits until the program has shown `text`, and forgets everything until then.
    ///
    /// # Panics
    /// When it does not, with what it has shown instead.
    pub async fn shows(&mut self, text: &str) {
        let seen = async || {
            self.look();
            self.shown.find(text)
        };
        match wait::until(LIMIT, seen).await {
            Ok(at) => drop(self.shown.drain(..at + text.len())),
            Err(late) => panic!("no {text:?}: {late}: {:?}", self.shown),
        }
    }

    fn look(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.terminal.read(&mut bytes) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.terminal, columns, rows);
    }

    /// Waits for the end of the program, and returns its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ends(&mut self) -> i32 {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        self.look();
        code(
            ended
                .unwrap_or_else(|_| panic!("it has not ended: {:?}", self.shown))
                .expect("it can be waited for"),
        )
    }
}

fn resize(terminal: &impl AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal has a size");
}
