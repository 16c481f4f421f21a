//! One program of a stack in the root of its image.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::files::FileError;
use base::process::{Cmd, status_text};
use base::wait;
use protocol::containers::{Container, FileSource, fill};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use super::network::{Network, Sign};

/// Runs a program in a root.
const IN_ROOT: &str = include_str!("in-root");

/// What the script starts with beside the network: everything in it ends with its first process.
const OWN: [&str; 5] = ["--mount", "--pid", "--fork", "--kill-child", "--"];

/// How long a program may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// What changes the root of a program. By its path: the variables of the program are set by then, and `PATH` is one.
const UNSHARE: &str = "/usr/bin/unshare";

/// How long a program may take to begin.
const BEGIN: Duration = Duration::from_secs(10);

/// Bytes of a log that an error shows.
const TAIL: usize = 2000;

/// A program, which can be started again and again.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    root: PathBuf,
    working_dir: String,
    user: u32,
    group: u32,
    /// `NAME=VALUE`.
    variables: Vec<String>,
    /// The program and its arguments.
    args: Vec<String>,
    /// Paths in the root at which directories of its own are mounted.
    volumes: Vec<String>,
    /// Files with content and permissions, by paths in the root.
    files: BTreeMap<String, (String, u32)>,
    stop: Signal,
    /// What shows that it works.
    pub(super) sign: Sign,
}

impl Program {
    /// The one of `container`, whose root is in `dir` under its name. `hosts` are the lines of `/etc/hosts`, and `placeholders` the
    /// values of secrets by their variables.
    ///
    /// # Errors
    /// When its user has no number, or a secret has no value.
    pub(super) fn new(
        container: &Container,
        sign: Sign,
        dir: &Path,
        hosts: &str,
        placeholders: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let value = |variable: &str| placeholders.get(variable).cloned();
        let mut env = container.env.clone();
        for (name, template) in &container.secrets {
            env.insert(name.clone(), fill(template, value)?);
        }
        let mut files = BTreeMap::from([("/etc/hosts".to_owned(), (hosts.to_owned(), 0o644))]);
        for file in &container.files {
            let text = match &file.source {
                FileSource::Content(text) => text.clone(),
                FileSource::Secret(variable) => value(variable)
                    .with_context(|| format!("there is no secret with the variable `{variable}`"))?,
            };
            files.insert(file.target.clone(), (text, file.mode));
        }
        let (user, group) = numbers(container.user.as_deref().unwrap_or("0"))?;
        Ok(Self {
            name: container.name.clone(),
            root: dir.join(&container.name),
            working_dir: container.working_dir.clone().unwrap_or_else(|| "/".to_owned()),
            user,
            group,
            variables: env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            args: container.args.clone(),
            volumes: container.volumes.iter().map(|volume| volume.target.clone()).collect(),
            files,
            stop: if container.stop_signal.as_deref() == Some("SIGINT") { Signal::INT } else { Signal::TERM },
            sign,
        })
    }

    /// Starts it with empty volumes below `data`, in `network` or else in a network of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&self, data: &Path, network: Option<&Network>) -> anyhow::Result<Running> {
        let log = data.join(format!("{}.log", self.name));
        let mounts = self.mounts(&data.join(&self.name))?;
        let cmd = match network {
            Some(network) => {
                Cmd::new("nsenter").arg(format!("--net={}", network.path.display())).arg("unshare")
            }
            None => Cmd::new("unshare").arg("--net"),
        };
        let cmd = cmd.args(OWN).args(["sh", "-c", IN_ROOT, "in-root"]).arg(&self.root).args(mounts);
        // Both are programs of the host: an image may have its own program alone.
        let cmd = cmd.args(["--", "env", "--ignore-environment"]).args(&self.variables).arg(UNSHARE);
        let cmd = cmd.arg(format!("--root={}", self.root.display()));
        let cmd = cmd.arg(format!("--wd={}", self.working_dir));
        let cmd = cmd.args([format!("--setgid={}", self.group), format!("--setuid={}", self.user)]);
        let cmd = cmd.arg("--").args(&self.args);
        let child = cmd.spawn_detached(&log)?;
        Ok(Running { name: self.name.clone(), child, log, stop: self.stop })
    }

    /// Makes files and directories below `own`, and returns where they are mounted, as the script takes it.
    fn mounts(&self, own: &Path) -> Result<Vec<PathBuf>, FileError> {
        let mut mounts = Vec::new();
        for (number, target) in self.volumes.iter().enumerate() {
            let dir = own.join(format!("volume-{number}"));
            fs::create_dir_all(&dir).map_err(FileError::of("create", &dir))?;
            mounts.extend([dir, target.into()]);
        }
        fs::create_dir_all(own).map_err(FileError::of("create", own))?;
        for (number, (target, (text, mode))) in self.files.iter().enumerate() {
            let file = own.join(format!("file-{number}"));
            let write = || {
                fs::write(&file, text)?;
                fs::set_permissions(&file, Permissions::from_mode(*mode))
            };
            write().map_err(FileError::of("write", &file))?;
            mounts.extend([file, target.into()]);
        }
        Ok(mounts)
    }
}

/// User and group of a text such as `65534` or `1000:1000`.
fn numbers(text: &str) -> anyhow::Result<(u32, u32)> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse().with_context(|| format!("the user `{text}` is not a number"));
    Ok((number(user)?, number(group)?))
}

/// A program that runs. It is killed with everything that it has started if this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    stop: Signal,
}

impl Running {
    /// The network that it was started in, as soon as it is in one of its own.
    ///
    /// # Errors
    /// When it has ended before.
    pub(super) async fn network(&mut self) -> anyhow::Result<Network> {
        let pid = self.child.id().context("it has ended")?;
        tokio::select! {
            network = wait::until(BEGIN, async || Network::of(pid)) => Ok(network?),
            status = self.child.wait() => bail!(self.ended(status?)),
        }
    }

    /// Waits until it works.
    ///
    /// # Errors
    /// When it ends instead, or does not work in time.
    pub(super) async fn shows(&mut self, sign: &Sign, network: &Network) -> anyhow::Result<()> {
        tokio::select! {
            shown = network.shows(sign) => shown.with_context(|| self.failed("does not answer")),
            status = self.child.wait() => bail!(self.ended(status?)),
        }
    }

    /// Ends it, and waits until nothing is left of it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.signal(self.stop);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            self.child.wait().await?;
        }
        Ok(())
    }

    /// Sends a signal to the program, and to what waits for it.
    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that is gone needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn ended(&self, status: ExitStatus) -> String {
        self.failed(&status_text(status))
    }

    fn failed(&self, how: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL)..]).into_owned();
        format!("`{}` {how}:\n{}", self.name, tail.trim_end())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_with_perhaps_a_group() {
        assert_eq!(numbers("65534").unwrap(), (65534, 65534));
        assert_eq!(numbers("1000:50").unwrap(), (1000, 50));
        assert_eq!(numbers("node").unwrap_err().to_string(), "the user `node` is not a number");
    }
}
