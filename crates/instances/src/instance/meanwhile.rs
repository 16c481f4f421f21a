//! Work on a machine that runs, whose QEMU may end meanwhile: the state may change as soon as it has been determined.

use std::time::Duration;

use vm::process::ProcessIdentity;

use super::error::InstanceError;

/// How much later than its connections the end of a process may be noticed: the kernel frees the guest's memory meanwhile.
const ECHO_LIMIT: Duration = Duration::from_secs(1);

/// Runs `work` and returns its value, or `None` when `process` ends first. Work that fails because the process is ending, as by a
/// connection that breaks off, counts as that.
///
/// # Errors
/// `work`'s own, if the process keeps running; and when the operating system does not report whether it does.
pub(super) async fn unless_gone<T>(
    process: ProcessIdentity,
    work: impl Future<Output = Result<T, InstanceError>>,
) -> Result<Option<T>, InstanceError> {
    tokio::select! {
        // What is done is done, even if the process has ended in the meantime.
        biased;
        done = work => match done {
            Ok(value) => Ok(Some(value)),
            Err(error) => if is_ending(process).await { Ok(None) } else { Err(error) },
        },
        ended = process.ended() => Ok(ended.map(|()| None)?),
    }
}

/// Whether the process ends within a moment, as it does when its connections have just broken off.
pub(super) async fn is_ending(process: ProcessIdentity) -> bool {
    matches!(tokio::time::timeout(ECHO_LIMIT, process.ended()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;
    use vm::process::{Launched, Signal};

    use super::*;

    fn started(dir: &tempfile::TempDir, script: &str) -> Launched {
        Launched::start(&Cmd::new("sh").args(["-c", script]), &dir.path().join("log")).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_the_process_ends_work_that_waits_for_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = started(&dir, "exec sleep 600");
        let process = qemu.identity();
        let work = async {
            process.signal(Signal::Kill).unwrap();
            std::future::pending::<Result<(), InstanceError>>().await
        };
        assert!(unless_gone(process, work).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn only_work_that_fails_because_the_process_ends_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = started(&dir, "exec sleep 600");
        let process = qemu.identity();
        let failing = async || Err::<(), _>(InstanceError::CannotSuspend);
        let error = unless_gone(process, failing()).await.unwrap_err();
        assert!(matches!(error, InstanceError::CannotSuspend), "{error}");
        let work = async {
            process.signal(Signal::Kill).unwrap();
            failing().await
        };
        assert!(unless_gone(process, work).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_was_done_counts() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = started(&dir, "exec sleep 600");
        let process = qemu.identity();
        assert_eq!(unless_gone(process, async { Ok(7) }).await.unwrap(), Some(7));
        process.kill().await.unwrap();
        assert_eq!(unless_gone(process, async { Ok(7) }).await.unwrap(), Some(7));
    }
}
