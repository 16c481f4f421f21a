//! Health checks: programs that are executed in a container.

use std::{fs, path::PathBuf, time::Duration};

use base::process::{Finished, status_text};
use rustix::process::{Pid, Signal, getpgid, kill_process_group};
use tokio::time::timeout;

use super::program::Crun;

/// Characters of a failed check's output that are kept as the reason.
const OUTPUT_LIMIT: usize = 400;

/// How long a check may take to end once it was killed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// One check.
pub(super) struct Check {
    pub(super) crun: Crun,
    /// The file with its process.
    pub(super) process: PathBuf,
    /// The file for its process id.
    pub(super) pid: PathBuf,
    pub(super) limit: Duration,
}

impl Check {
    /// Executes it. An error is the reason of the failure, for people.
    pub(super) async fn run(self) -> Result<(), String> {
        let cmd = self.crun.exec(&self.process, &self.pid);
        let finished = cmd.finished();
        tokio::pin!(finished);
        match timeout(self.limit, &mut finished).await {
            Ok(Ok(finished)) => verdict(&finished),
            Ok(Err(error)) => Err(crate::report(&error)),
            Err(_) => {
                // `crun` ends with it. Killed itself, it would leave it behind in the container.
                self.kill();
                let _ = timeout(END_LIMIT, &mut finished).await;
                Err(format!("its health check did not end within {} s", self.limit.as_secs_f64()))
            }
        }
    }

    /// Kills the check with what it has started: its process is in a session that `crun` has begun for it.
    fn kill(&self) {
        let pid = fs::read_to_string(&self.pid).ok().and_then(|text| text.trim().parse().ok());
        if let Some(group) = pid.and_then(Pid::from_raw).and_then(|pid| getpgid(Some(pid)).ok()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn verdict(finished: &Finished) -> Result<(), String> {
    if finished.status.success() {
        return Ok(());
    }
    let output = if finished.stderr.is_empty() { &finished.stdout } else { &finished.stderr };
    let output = String::from_utf8_lossy(output);
    let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let status = status_text(finished.status);
    if words.is_empty() {
        return Err(format!("its health check {status}"));
    }
    Err(format!("its health check {status}: {}", base::text::beginning(&words, OUTPUT_LIMIT)))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;

    fn finished(status: i32, stdout: &str, stderr: &str) -> Finished {
        let status = ExitStatus::from_raw(status << 8);
        Finished { status, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_failed_check_says_what_it_printed() {
        assert_eq!(verdict(&finished(0, "x", "y")), Ok(()));
        assert_eq!(verdict(&finished(1, "", "")).unwrap_err(), "its health check exited with status 1");
        assert_eq!(
            verdict(&finished(2, "no\nresponse\n", "")).unwrap_err(),
            "its health check exited with status 2: no response"
        );
        assert_eq!(
            verdict(&finished(2, "out", "err")).unwrap_err(),
            "its health check exited with status 2: err"
        );
    }
}
