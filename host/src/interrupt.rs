//! Ctrl-C, SIGTERM and SIGHUP as one event that a command races its work against.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// The work was interrupted by a signal; the value is the signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {}", name(*.0))]
pub struct Interrupted(pub i32);

fn name(signal: i32) -> &'static str {
    match signal {
        libc_numbers::HUP => "SIGHUP",
        libc_numbers::INT => "Ctrl-C",
        _ => "SIGTERM",
    }
}

mod libc_numbers {
    //! Signal numbers that POSIX fixes for every platform.
    pub(super) const HUP: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const TERM: i32 = 15;
}

/// Runs `work` unless a signal comes first; then `work` is dropped, which undoes what it holds, and the signal is
/// returned. More signals while that happens change nothing, so that cleaning up is never cut short by npm's or a
/// terminal's second delivery.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> io::Result<Result<T, Interrupted>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let number = tokio::select! {
        done = work => return Ok(Ok(done)),
        _ = hangup.recv() => libc_numbers::HUP,
        _ = interrupt.recv() => libc_numbers::INT,
        _ = terminate.recv() => libc_numbers::TERM,
    };
    Ok(Err(Interrupted(number)))
}
