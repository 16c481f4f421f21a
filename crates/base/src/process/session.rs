//! Processes that lead a session of their own, as another user and with a terminal of their own where they are given one.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Gid, Uid, ioctl_tiocsctty, setsid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use tokio::process::Child;

use super::Cmd;

/// How willing the kernel is to end the calling process when memory is short: `proc_pid_oom_score_adj(5)`.
const OOM_SCORE: &std::ffi::CStr = c"/proc/self/oom_score_adj";

/// As whom a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Ids of the other groups.
    pub groups: Vec<u32>,
}

/// What a process reads and writes.
#[derive(Debug)]
pub struct Streams {
    /// stdin, which is the terminal if there is one.
    pub stdin: Stdio,
    /// stdout.
    pub stdout: Stdio,
    /// stderr.
    pub stderr: Stdio,
    /// Whether stdin becomes the terminal of the session.
    pub terminal: bool,
}

impl Cmd {
    /// Starts a process that leads a session of its own, as `user`, with exactly the variables that this command was given. It may be
    /// ended when memory is short, whatever this process is worth.
    ///
    /// # Errors
    /// When it cannot be started: with what the operating system says about the program.
    pub fn spawn_session(&self, user: &User, streams: Streams) -> io::Result<Child> {
        let mut command = self.plain_command();
        command.env_clear();
        command.envs(self.envs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
        command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
        command.kill_on_drop(false);
        let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        // SAFETY: the new process has the stdin that it was given above, and closes nothing before it executes the program.
        #[expect(unsafe_code, reason = "the standard library's handle of stdin may allocate")]
        let stdin = unsafe { BorrowedFd::borrow_raw(0) };
        let prepare = move || {
            setsid()?;
            if streams.terminal {
                ioctl_tiocsctty(stdin)?;
            }
            // Before the user changes: after that the file is root's. It costs nothing if it fails.
            if let Ok(file) = open(OOM_SCORE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
                let _ = rustix::io::write(file, b"0");
            }
            if !rustix::process::geteuid().is_root() {
                return Ok(());
            }
            // In the new process there is only this thread.
            set_thread_groups(&groups)?;
            set_thread_gid(gid)?;
            set_thread_uid(uid)?;
            Ok(())
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; all of these are plain system calls, and nothing is
        // allocated. The child leads no process group yet, so `setsid` cannot fail for that reason.
        #[expect(unsafe_code, reason = "the standard library has no stable call for a new session")]
        unsafe {
            command.pre_exec(prepare);
        }
        command.spawn()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn myself() -> User {
        let groups = rustix::process::getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        User { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), groups }
    }

    fn streams(stdout: Stdio) -> Streams {
        Streams { stdin: Stdio::null(), stdout, stderr: Stdio::null(), terminal: false }
    }

    #[tokio::test]
    async fn a_session_has_exactly_the_variables_that_it_was_given() {
        let (mut reader, writer) = io::pipe().unwrap();
        let cmd = Cmd::new("/usr/bin/env").env("A", "1").env("B", "2");
        let mut child = cmd.spawn_session(&myself(), streams(writer.into())).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        child.wait().await.unwrap();
        assert_eq!(text, "A=1\nB=2\n");
    }

    #[tokio::test]
    async fn a_session_may_be_ended_when_memory_is_short() {
        let (mut reader, writer) = io::pipe().unwrap();
        let script = "cat /proc/self/oom_score_adj; ps -o sid= -p $$; echo $$";
        let cmd = Cmd::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin");
        let mut child = cmd.spawn_session(&myself(), streams(writer.into())).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        child.wait().await.unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words[0], "0");
        assert_eq!(words[1], words[2], "it leads its session");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_reported_as_the_kernel_does() {
        let error = |program: &str| {
            let spawned = Cmd::new(program).spawn_session(&myself(), streams(Stdio::null()));
            spawned.unwrap_err().kind()
        };
        assert_eq!(error("/no/such/program"), io::ErrorKind::NotFound);
        assert_eq!(error("/etc/passwd"), io::ErrorKind::PermissionDenied);
    }
}
