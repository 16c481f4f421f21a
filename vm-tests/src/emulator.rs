//! The built program, as a user runs it.

use std::process::{Output, Stdio};

use release::arch::Arch;
use serde_json::Value;
use tokio::process::{Child, Command};
use vm::home::HOME_VARIABLE;
use vm::instance::dir::InstanceDir;
use vm::instance::live::Live;
use vm::instance::name::InstanceName;
use vm::instance::record;

use crate::api::Api;
use crate::home::TestHome;
use crate::{EMULATOR_VARIABLE, path_from_env};

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

/// The program with one home.
#[derive(Debug)]
pub struct Emulator {
    home: TestHome,
}

impl Emulator {
    /// The program in `home`.
    pub fn new(home: TestHome) -> Self {
        Self { home }
    }

    /// The program in a home of its own with the amd64 image.
    pub fn for_amd64() -> Self {
        Self::new(TestHome::new(Arch::Amd64))
    }

    /// Like [`Emulator::for_amd64`], knowing nothing yet about QEMU and this host.
    pub fn with_own_verdicts() -> Self {
        Self::new(TestHome::new(Arch::Amd64).without_verdicts())
    }

    /// The home that it works in.
    pub fn home(&self) -> &TestHome {
        &self.home
    }

    /// A command that has not been started, with pipes for output, on ports of its own so that tests never meet a user's
    /// running emulator.
    pub fn command(&self, args: &[&str]) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "the tests check raw exit codes, closed streams and signals"
        )]
        let mut command = Command::new(path_from_env(EMULATOR_VARIABLE));
        command.args(args).env(HOME_VARIABLE, self.home.home().root());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// The same command with stderr closed, not redirected.
    pub fn command_with_closed_stderr(&self, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the tests check closed streams")]
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(path_from_env(EMULATOR_VARIABLE)).args(args);
        command.env(HOME_VARIABLE, self.home.home().root()).kill_on_drop(true);
        command
    }

    /// The live record of the default instance.
    ///
    /// # Panics
    /// When there is one that cannot be read.
    pub fn live(&self) -> Option<Live> {
        let dir = InstanceDir::new(self.home.home(), &InstanceName::default());
        record::read(&dir.live()).expect("the live record is whole")
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
    /// When the program cannot be started.
    pub async fn run(&self, args: &[&str]) -> Run {
        finished(self.spawn(args)).await
    }

    /// `start -o json` on free ports, with more arguments.
    ///
    /// # Panics
    /// When it does not end with exit status 0.
    pub async fn start(&self, more: &[&str]) -> Started {
        let args = ["start", "-o", "json", "--port", "backend=auto", "--port", "dashboard=auto"];
        Started(self.run(&[&args, more].concat()).await.expect(0).json())
    }

    /// `stop`, and proof that nothing is left running.
    ///
    /// # Panics
    /// When something is.
    pub async fn finish(&self) {
        let process = self.live().and_then(|live| live.process).expect("it runs");
        self.run(&["stop"]).await.expect(0);
        assert!(!process.is_alive().expect("the process table can be read"), "QEMU outlived `stop`");
        assert!(self.live().is_none(), "the live record outlived QEMU");
        self.run(&["status"]).await.expect(3);
    }
}

/// A test that fails midway must not leave its machine to the next.
impl Drop for Emulator {
    fn drop(&mut self) {
        let process = self.live().and_then(|live| live.process);
        if let Some(process) = process.filter(|process| process.is_alive().is_ok_and(|alive| alive)) {
            let pid = rustix::process::Pid::from_raw(process.pid).expect("a recorded pid is not 0");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Waits for a run in the background.
///
/// # Panics
/// When its output cannot be read.
pub async fn finished(child: Child) -> Run {
    let Output { status, stdout, stderr } = child.wait_with_output().await.expect("the output can be read");
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().or(signal.map(|number| 128 + number)).expect("a run ends by exit or by signal");
    Run { code, stdout: text(stdout), stderr: text(stderr) }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the program prints UTF-8")
}

/// What `start -o json` printed.
#[derive(Debug, Clone)]
pub struct Started(pub Value);

impl Started {
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
        let ports = self.0["ports"].as_array().expect("`ports` is an array");
        let port = ports
            .iter()
            .find(|port| port["name"] == name)
            .unwrap_or_else(|| panic!("no port `{name}`: {}", self.0));
        port["url"].as_str().expect("`url` is a string").to_owned()
    }
}
