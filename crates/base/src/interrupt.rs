//! Ctrl-C, SIGTERM and SIGHUP as one event that a command races its work against.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The work was interrupted by a signal; the value is the signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", name(*.0))]
pub struct Interrupted(pub i32);

impl Interrupted {
    /// By a person at the terminal.
    pub const BY_CTRL_C: Self = Self(libc::SIGINT);
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "Ctrl-C",
        libc::SIGQUIT => "SIGQUIT",
        _ => "SIGTERM",
    }
}

/// Whether the process that started this program wants the signal to be ignored: `nohup` does so with SIGHUP, and a shell without job
/// control with SIGINT for background jobs.
pub(crate) fn is_ignored(number: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: there is no new action, the old one is written to memory of its type, and all zeroes is a valid value of it.
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    let (asked, action) =
        unsafe { (libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()), action.assume_init()) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// The next delivery of the signal; never, where it is ignored.
async fn delivered(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Runs `work` unless a signal comes first; then `work` is dropped, which undoes what it holds, and the signal is
/// returned. More signals while that happens change nothing, so that cleaning up is never cut short by npm's or a
/// terminal's second delivery. A signal that was ignored when the program was started stays ignored.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> io::Result<Result<T, Interrupted>> {
    let listen = |kind: SignalKind| {
        let ignored = is_ignored(kind.as_raw_value());
        (!ignored).then(|| signal(kind)).transpose()
    };
    let hangup = listen(SignalKind::hangup())?;
    let interrupt = listen(SignalKind::interrupt())?;
    let terminate = listen(SignalKind::terminate())?;
    let number = tokio::select! {
        done = work => return Ok(Ok(done)),
        () = delivered(hangup) => libc::SIGHUP,
        () = delivered(interrupt) => libc::SIGINT,
        () = delivered(terminate) => libc::SIGTERM,
    };
    Ok(Err(Interrupted(number)))
}
