//! The process of a command, what it reads and writes, and what it has started.

use std::{
    fs, io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use base::process::{Cmd, Streams};
use protocol::exec::{Signal, Size, Terminal};
use rustix::{
    fs::{Gid, Uid, fchown},
    process::{Pid, Signal as Number, kill_process, kill_process_group},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use tempfile::NamedTempFile;
use tokio::net::unix::pipe;

use super::{place::Place, work::Work};

/// How long what is left of a command may take to end once its host is gone.
const GRACE: Duration = Duration::from_secs(2);

/// A command that runs.
pub(super) struct Child {
    process: tokio::process::Child,
    pid: Pid,
    /// A file that it reads.
    _input: Option<NamedTempFile>,
}

/// The host's ends of what a command reads and writes. With a terminal, stdin and stdout are the terminal.
pub(super) struct Ends {
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: Option<pipe::Receiver>,
    /// The terminal, to change its size.
    pub(super) terminal: Option<OwnedFd>,
}

/// Starts a command.
pub(super) fn start(work: Work, terminal: Option<&Terminal>) -> io::Result<(Child, Ends)> {
    let Work { command, place, input } = work;
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    if !place.dir.is_dir() {
        let text = format!("the directory `{}` does not exist", place.dir.display());
        return Err(io::Error::other(text));
    }
    let mut cmd = Cmd::new(program).args(args).current_dir(&place.dir);
    for (name, value) in &place.env {
        cmd = cmd.env(name, value);
    }
    if let Some(term) = terminal.and_then(|terminal| terminal.term.as_ref()) {
        cmd = cmd.env("TERM", term);
    }
    let (streams, ends) = match terminal {
        Some(terminal) => with_terminal(terminal.size, &place)?,
        None => with_pipes()?,
    };
    let process = cmd.spawn_session(&place.user, streams)?;
    let pid = process.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
    Ok((Child { process, pid, _input: input }, ends))
}

fn with_pipes() -> io::Result<(Streams, Ends)> {
    let (stdin, its_stdin) = pipe::pipe()?;
    let (its_stdout, stdout) = pipe::pipe()?;
    let (its_stderr, stderr) = pipe::pipe()?;
    let streams = Streams {
        stdin: its_stdin.into_blocking_fd()?.into(),
        stdout: its_stdout.into_blocking_fd()?.into(),
        stderr: its_stderr.into_blocking_fd()?.into(),
        terminal: false,
    };
    Ok((streams, Ends { stdin, stdout, stderr: Some(stderr), terminal: None }))
}

fn with_terminal(size: Size, place: &Place) -> io::Result<(Streams, Ends)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let its_end = ioctl_tiocgptpeer(&terminal, flags)?;
    resize(&terminal, size)?;
    let mut modes = tcgetattr(&its_end)?;
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&its_end, OptionalActions::Now, &modes)?;
    // So that the command can open it by its name.
    fchown(&its_end, Some(Uid::from_raw(place.user.uid)), None::<Gid>)?;
    rustix::io::ioctl_fionbio(&terminal, true)?;
    let stdio = || Ok::<Stdio, io::Error>(its_end.try_clone()?.into());
    let streams = Streams { stdin: stdio()?, stdout: stdio()?, stderr: stdio()?, terminal: true };
    let ends = Ends {
        stdin: pipe::Sender::from_owned_fd_unchecked(terminal.try_clone()?)?,
        stdout: pipe::Receiver::from_owned_fd_unchecked(terminal.try_clone()?)?,
        stderr: None,
        terminal: Some(terminal),
    };
    Ok((streams, ends))
}

/// Gives a terminal another size, which its processes learn by SIGWINCH.
pub(super) fn resize(terminal: &OwnedFd, Size { columns, rows }: Size) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

impl Child {
    /// Waits until it has ended. Safe to drop and call again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// The process group of the command.
    pub(super) fn group(&self) -> Group {
        Group(self.pid)
    }

    /// Ends all of the session: the host is gone.
    pub(super) async fn end(mut self) {
        signal_session(self.pid, Number::HUP);
        let _ = tokio::time::timeout(GRACE, self.process.wait()).await;
        signal_session(self.pid, Number::KILL);
        let _ = self.process.wait().await;
    }
}

/// The process group of a command.
#[derive(Clone, Copy)]
pub(super) struct Group(Pid);

impl Group {
    /// Sends a signal to all of it. What has ended needs none.
    pub(super) fn signal(self, signal: Signal) {
        let number = match signal {
            Signal::Hangup => Number::HUP,
            Signal::Interrupt => Number::INT,
            Signal::Quit => Number::QUIT,
            Signal::Terminate => Number::TERM,
            Signal::User1 => Number::USR1,
            Signal::User2 => Number::USR2,
        };
        let _ = kill_process_group(self.0, number);
    }
}

/// Sends a signal to every process of the session that `leader` began, whatever groups they are in.
fn signal_session(leader: Pid, number: Number) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids.filter_map(Pid::from_raw) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        if stat.is_ok_and(|stat| session(&stat) == Some(leader.as_raw_nonzero().get())) {
            let _ = kill_process(pid, number);
        }
    }
}

/// The session in `proc_pid_stat(5)`: the fourth field after the name, which is in parentheses and may contain anything.
fn session(stat: &str) -> Option<i32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_behind_any_name() {
        assert_eq!(session("12 (a) b) S 1 12 34 0 -1"), Some(34));
        assert_eq!(session("12 (a"), None);
    }
}
