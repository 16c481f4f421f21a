//! A run that a test follows by what it says, so that it can interfere at a certain point.

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::emulator::{Emulator, Run};
use crate::processes;

/// A run with `--verbose` in the background, whose stderr is read line by line.
#[derive(Debug)]
pub struct Followed {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Followed {
    /// Starts it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(emulator: &Emulator, args: &[&str]) -> Self {
        let mut child = emulator.spawn(&[args, &["--verbose"]].concat());
        let stderr = child.stderr.take().expect("stderr is a pipe");
        Self { child, stderr: BufReader::new(stderr).lines(), said: String::new() }
    }

    /// Waits until it says a line that has `text`.
    ///
    /// # Panics
    /// When it ends without.
    pub async fn until(&mut self, text: &str) {
        loop {
            let line = self.stderr.next_line().await.expect("the program prints UTF-8");
            let line = line.unwrap_or_else(|| panic!("it never said `{text}`:\n{}", self.said));
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn send(&self, signal: Signal) {
        processes::send(self.child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs"), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When its output cannot be read.
    pub async fn finished(mut self) -> Run {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("stdout is a pipe");
        let rest = async {
            while let Some(line) = self.stderr.next_line().await.expect("the program prints UTF-8") {
                self.said.push_str(&line);
                self.said.push('\n');
            }
        };
        let (read, ()) = tokio::join!(pipe.read_to_string(&mut stdout), rest);
        read.expect("the program prints UTF-8");
        let status = self.child.wait().await.expect("it is a child of this process");
        Run { code: crate::emulator::code(status), stdout, stderr: self.said }
    }
}
