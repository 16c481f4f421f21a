//! The built program, as a user runs it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use image::arch::Arch;
use instances::instance::dir::InstanceDir;
use instances::instance::live::Live;
use instances::instance::record;
use instances::name::{INSTANCE_VARIABLE, InstanceName};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::{Child, Command};
use vm::home::{DEFAULT_STACK, HOME_VARIABLE};

use crate::api::Api;
use crate::guest::Guest;
use crate::home::TestHome;
use crate::ports::START;
use crate::processes;
use crate::{EMULATOR_VARIABLE, path_from_env};

/// Longest wait for a process that was killed.
const GONE_LIMIT: Duration = Duration::from_secs(10);

/// What a finished run left behind.
#[derive(Debug)]
pub struct Run {
    /// Exit status; 128 + number after a signal.
    pub code: i32,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Run {
    /// The run itself if its exit status is `code`.
    ///
    /// # Panics
    /// When it is another, with all output.
    #[expect(clippy::return_self_not_must_use, reason = "the check itself is often all that is wanted")]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON document.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

/// The program with one home, acting on one instance.
#[derive(Debug)]
pub struct Emulator {
    home: Arc<TestHome>,
    instance: InstanceName,
    arch: Arch,
}

impl Emulator {
    /// The program in `home`, acting on the default instance.
    pub fn new(home: TestHome) -> Self {
        Self { arch: home.arch(), home: Arc::new(home), instance: InstanceName::default() }
    }

    /// The program in a home of its own with the amd64 image and the snapshots that all tests share.
    pub fn for_amd64() -> Self {
        Self::new(TestHome::new(Arch::Amd64))
    }

    /// Like [`Emulator::for_amd64`], for 64-bit Arm, which is emulated on every machine that these tests are made for.
    pub fn for_arm64() -> Self {
        Self::new(TestHome::new(Arch::Arm64))
    }

    /// Another architecture's default instance in the same home, which gets its image.
    #[must_use]
    pub fn beside(&self, arch: Arch) -> Self {
        self.home.add_image(arch);
        Self { home: Arc::clone(&self.home), instance: InstanceName::default_for(arch), arch }
    }

    /// Like [`Emulator::for_amd64`], with no snapshot yet: for tests that damage or count them.
    pub fn without_snapshots() -> Self {
        Self::new(TestHome::new(Arch::Amd64).without_snapshots())
    }

    /// Like [`Emulator::for_amd64`], knowing nothing yet about QEMU and this host.
    pub fn with_own_verdicts() -> Self {
        Self::new(TestHome::new(Arch::Amd64).without_verdicts())
    }

    /// The same program and home, acting on the instance called `name`.
    ///
    /// # Panics
    /// When that is not a valid name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Self {
        let instance = name.parse().expect("a name of an instance");
        Self { home: Arc::clone(&self.home), instance, arch: self.arch }
    }

    /// The home that it works in.
    pub fn home(&self) -> &TestHome {
        &self.home
    }

    /// The files of the instance.
    pub fn dir(&self) -> InstanceDir {
        InstanceDir::new(self.home.home(), &self.instance)
    }

    /// A command that has not been started, with pipes for output, in a home of its own so that tests never meet a user's
    /// running emulator.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_within(&[], args)
    }

    /// The same command, run by the program `wrapper` with its arguments.
    pub fn command_within(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let mut command = self.line(wrapper, args);
        command.args(["--instance", self.instance.as_str(), "--arch", self.arch.as_str()]);
        command
    }

    /// The program with these arguments alone.
    fn line(&self, wrapper: &[&str], args: &[&str]) -> Command {
        let emulator = path_from_env(EMULATOR_VARIABLE).into_os_string();
        let mut line = wrapper.iter().map(OsString::from).chain([emulator]);
        #[expect(
            clippy::disallowed_methods,
            reason = "the tests check raw exit codes, closed streams and signals"
        )]
        let mut command = Command::new(line.next().expect("there is at least the program"));
        command.args(line).args(args);
        command.env(HOME_VARIABLE, self.home.home().root()).env("EMULATOR_STACK", self.home.home().stack());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// `emulator run` with these flags and this command, on free ports.
    pub fn running(&self, flags: &[&str], command: &[&str]) -> Command {
        self.running_within(&[], flags, command)
    }

    /// The same command, run by the program `wrapper` with its arguments.
    pub fn running_within(&self, wrapper: &[&str], flags: &[&str], command: &[&str]) -> Command {
        let mut line = self.line(wrapper, &[&["run"], flags].concat());
        if !flags.contains(&"--fresh") {
            line.args(["--instance", self.instance.as_str()]);
            // Another stack has other ports, which its start has chosen.
            if self.home.home().stack() == DEFAULT_STACK {
                line.args(&START[3..]);
            }
        }
        line.args(["--arch", self.arch.as_str(), "--"]).args(command);
        line
    }

    /// Runs such a command to the end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub async fn run_beside(&self, flags: &[&str], command: &[&str]) -> Run {
        finished(self.running(flags, command).spawn().expect("the built program starts")).await
    }

    /// `emulator exec` with these flags and this command; without one it is a shell.
    pub fn inside_command(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut line = self.line(&[], &[&["exec"], flags].concat());
        line.args(["--instance", self.instance.as_str(), "--arch", self.arch.as_str()]);
        if !command.is_empty() {
            line.arg("--").args(command);
        }
        line
    }

    /// Runs such a command to the end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub async fn inside(&self, flags: &[&str], command: &[&str]) -> Run {
        finished(self.inside_command(flags, command).spawn().expect("the built program starts")).await
    }

    /// A command that names neither an instance nor an architecture, in this directory.
    pub fn command_in(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = self.line(&[], args);
        command.current_dir(dir).env_remove(INSTANCE_VARIABLE);
        command
    }

    /// Runs that to the end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub async fn run_in(&self, dir: &Path, args: &[&str]) -> Run {
        finished(self.command_in(dir, args).spawn().expect("the built program starts")).await
    }

    /// The same command with stderr closed, not redirected.
    pub fn command_with_closed_stderr(&self, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the tests check closed streams")]
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(path_from_env(EMULATOR_VARIABLE)).args(args);
        command.args(["--instance", self.instance.as_str()]);
        command.env(HOME_VARIABLE, self.home.home().root()).kill_on_drop(true);
        command
    }

    /// The live record.
    ///
    /// # Panics
    /// When there is one that cannot be read.
    pub fn live(&self) -> Option<Live> {
        record::read(&self.dir().live()).expect("the live record is whole")
    }

    /// The guest.
    ///
    /// # Panics
    /// When nothing runs.
    pub fn guest(&self) -> Guest {
        Guest::new(self.live().expect("it runs"))
    }

    /// The placeholder of the secret called `name`, as the image's manifest gives it.
    ///
    /// # Panics
    /// When there is no such secret.
    pub fn placeholder(&self, name: &str) -> String {
        let secrets = self.home.manifest().stack.secrets;
        let secret = secrets.into_iter().find(|secret| secret.name == name);
        secret.unwrap_or_else(|| panic!("no secret `{name}` in the manifest")).placeholder
    }

    /// The values of the secrets by their names, as a user is shown them.
    ///
    /// # Panics
    /// When the instance is not healthy, or a value is not shown.
    pub async fn secrets(&self) -> BTreeMap<String, String> {
        let status = self.run(&["status", "--show-secrets", "-o", "json"]).await.expect(0).json();
        let secrets = status["secrets"].as_array().expect("`secrets` is an array");
        let text =
            |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {secrets:?}")).to_owned();
        secrets.iter().map(|secret| (text(&secret["name"]), text(&secret["value"]))).collect()
    }

    /// Starts a run in the background.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("the built program starts")
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When the program cannot be started, or prints JSON that is not as its schema says.
    pub async fn run(&self, args: &[&str]) -> Run {
        let run = finished(self.spawn(args)).await;
        output_schemas::check(args, &run.stdout);
        run
    }

    /// `start -o json` on free ports, with more arguments.
    ///
    /// # Panics
    /// When it does not end with exit status 0.
    pub async fn start(&self, more: &[&str]) -> Started {
        self.started(self.run(&[&START[..], more].concat()).await).await
    }

    /// What a run of `start -o json` has brought about.
    ///
    /// # Panics
    /// When it did not end with exit status 0, or nothing healthy runs.
    pub async fn started(&self, run: Run) -> Started {
        let run = run.expect(0);
        Started { report: run.json(), said: run.stderr, secrets: self.secrets().await }
    }

    /// `stop`, and proof that the machine is suspended and nothing is left running.
    ///
    /// # Panics
    /// When something is.
    pub async fn finish(&self) {
        self.stop(&[], "suspended").await;
    }

    /// `stop` with more arguments, and proof that the instance is in `state` and nothing is left running.
    ///
    /// # Panics
    /// When it is in another, or something is.
    pub async fn stop(&self, more: &[&str], state: &str) -> Run {
        let process = self.live().and_then(|live| live.machine.process).expect("it runs");
        let run = self.run(&[&["stop", "-o", "json"], more].concat()).await.expect(0);
        assert_eq!(run.json()["state"], state, "{}", run.stderr);
        assert!(!process.is_alive().expect("the process table can be read"), "QEMU outlived `stop`");
        assert!(self.live().is_none(), "the live record outlived QEMU");
        let status = self.run(&["status", "-o", "json"]).await.expect(3).json();
        assert_eq!(status["state"], state);
        run
    }

    /// Kills QEMU without letting it do anything more.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill_qemu(&self) {
        let process = self.live().and_then(|live| live.machine.process).expect("it runs");
        processes::send(process.pid, Signal::KILL);
        process.gone(GONE_LIMIT).await.expect("a killed process ends");
    }

    /// Asserts that no process of this home runs any more and that nothing half-made lies about in it.
    ///
    /// # Panics
    /// When something does.
    pub async fn assert_tidy(&self) {
        processes::assert_none_of(self.home.home().root()).await;
        self.home.assert_nothing_half_made();
    }
}

/// A test that fails midway must not leave its machine to the next.
impl Drop for Emulator {
    fn drop(&mut self) {
        self.end_machine();
        // One whose record went with the disk that it was on is known by its command line alone.
        if Arc::strong_count(&self.home) == 1 {
            processes::kill_all_of(self.home.home().root());
        }
    }
}

impl Emulator {
    /// Kills QEMU if one runs.
    pub(crate) fn end_machine(&self) {
        let live = record::read::<Live>(&self.dir().live()).ok().flatten();
        let process = live.and_then(|live| live.machine.process);
        if let Some(process) = process.filter(|process| process.is_alive().is_ok_and(|alive| alive)) {
            processes::send(process.pid, Signal::KILL);
        }
    }
}

/// Two ports that are free now.
///
/// # Panics
/// When there are none.
pub fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("there are free ports"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// Waits for a run in the background.
///
/// # Panics
/// When its output cannot be read.
pub async fn finished(child: Child) -> Run {
    let Output { status, stdout, stderr } = child.wait_with_output().await.expect("the output can be read");
    Run { code: code(status), stdout: text(stdout), stderr: text(stderr) }
}

/// The status as a shell gives it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|number| 128 + number);
    status.code().or(signal).expect("a run ends by exit or by signal")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the program prints UTF-8")
}

/// What a start has brought about.
#[derive(Debug, Clone)]
pub struct Started {
    /// What `start -o json` printed.
    pub report: Value,
    /// What it said on stderr.
    pub said: String,
    /// The values of the secrets, by their names.
    pub secrets: BTreeMap<String, String>,
}

impl Started {
    /// The start itself if it began in this way: `cold`, `snapshot` or `suspended`.
    ///
    /// # Panics
    /// When it began in another, with all that was said.
    #[expect(clippy::return_self_not_must_use, reason = "the check itself is often all that is wanted")]
    pub fn by(self, origin: &str) -> Self {
        assert_eq!(self.report["startedBy"], origin, "{}\n{}", self.report, self.said);
        self
    }

    /// The value of the secret called `name`.
    ///
    /// # Panics
    /// When there is none.
    pub fn secret(&self, name: &str) -> &str {
        self.secrets.get(name).unwrap_or_else(|| panic!("no secret `{name}`"))
    }

    /// A client of the service called `name`.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn api(&self, name: &str) -> Api {
        Api::new(&self.url(name))
    }

    /// URL of the service called `name`.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn url(&self, name: &str) -> String {
        let ports = self.report["ports"].as_array().expect("`ports` is an array");
        let port = ports
            .iter()
            .find(|port| port["name"] == name)
            .unwrap_or_else(|| panic!("no port `{name}`: {}", self.report));
        port["url"].as_str().expect("`url` is a string").to_owned()
    }
}
