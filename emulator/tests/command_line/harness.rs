//! Runs the built program with a home of its own and shows what came of it.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use insta::internals::SettingsBindDropGuard;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tempfile::TempDir;

/// What differs from one run or machine to the next.
const FILTERS: [(&str, &str); 6] = [
    (r#""seconds": [0-9.e-]+"#, r#""seconds": [seconds]"#),
    (r"\([0-9.]+ s\)", "([time])"),
    (r"[0-9.]+ GiB free", "[free] GiB free"),
    // How much is free is this machine's business, and so is what is said of it.
    (
        r#""verdict": "[a-z]+",(\s+"text": "\[free\] [^\n]+\s+"hint": )[^\n]+"#,
        r#""verdict": "[verdict]",${1}[hint]"#,
    ),
    (r"/tmp/stack-emulator-[0-9]+/[0-9a-f]{16}", "[sockets]/[hash]"),
    (r"\([0-9]+ bytes long\)", "([length] bytes long)"),
];

/// How long a program may take from its question to reading the answer.
const KEYS_LIMIT: Duration = Duration::from_secs(30);

/// The built program and a temporary home.
pub(crate) struct Emulator {
    home: TempDir,
    programs: bool,
    variables: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
    _filters: SettingsBindDropGuard,
}

impl Emulator {
    /// With an empty home.
    pub(crate) fn new() -> Self {
        let mut settings = insta::Settings::clone_current();
        for (pattern, shown) in FILTERS {
            settings.add_filter(pattern, shown);
        }
        let home = tempfile::tempdir().unwrap();
        Self { home, programs: true, variables: Vec::new(), dir: None, _filters: settings.bind_to_scope() }
    }

    /// With a `PATH` that leads nowhere.
    pub(crate) fn without_programs(self) -> Self {
        Self { programs: false, ..self }
    }

    /// With a program of this name, a script for `sh`, before all others.
    pub(crate) fn with_program(self, name: &str, script: &str) -> Self {
        let path = self.bin().join(name);
        std::fs::create_dir_all(self.bin()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// With one more environment variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Run in this directory.
    pub(crate) fn in_directory(self, dir: &Path) -> Self {
        Self { dir: Some(dir.to_owned()), ..self }
    }

    /// With `dir`, beside the home, as the working directory.
    pub(crate) fn within(mut self, dir: &str) -> Self {
        let dir = self.home.path().join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        self.dir = Some(dir);
        self
    }

    /// The working directory of the commands.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap()
    }

    /// A path in the home.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join("home").join(path)
    }

    /// Puts a file into the home.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Holds a lock file of the home as another command would.
    pub(crate) fn lock(&self, path: &str) -> File {
        let file = File::create(self.home.path().join("home").join(path)).unwrap();
        file.lock().unwrap();
        file
    }

    /// Exit code, stdout and stderr, with the temporary directory as `[root]`. JSON is as its schema says.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        output_schemas::check(args, &String::from_utf8_lossy(&output.stdout));
        self.shown(&output)
    }

    /// As [`Emulator::run`], with files that cannot become longer than `mib` MiB: writing more fails, as on a full disk.
    pub(crate) fn run_with_short_files(&self, mib: u32, args: &[&str]) -> String {
        let script = format!(r#"trap '' XFSZ; ulimit -f {}; exec "$0" "$@""#, mib * 2048);
        let mut command = self.prepared("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_emulator")]).args(args);
        self.shown(&command.output().unwrap())
    }

    /// As [`Emulator::run`], with a limit as the shell sets it: "-n 40".
    pub(crate) fn run_limited(&self, limit: &str, args: &[&str]) -> String {
        let script = format!(r#"ulimit {limit}; exec "$0" "$@""#);
        let mut command = self.prepared("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_emulator")]).args(args);
        self.shown(&command.output().unwrap())
    }

    /// Exit code and everything on the terminal, where `answer` is typed once `question` is there and the program reads keys.
    pub(crate) fn run_on_terminal(&self, args: &[&str], question: &str, answer: &str) -> (i32, String) {
        let (mut terminal, user) = terminal();
        let mut command = self.command(args);
        command.stdin(user.try_clone().unwrap()).stdout(Stdio::null()).stderr(user);
        let mut child = command.spawn().unwrap();
        // It holds the program's end, and the terminal ends with the last holder.
        drop(command);
        let (mut shown, mut block, mut answered) = (String::new(), [0; 4096], false);
        // A terminal that no one holds any more reads as an error.
        while let Ok(length @ 1..) = terminal.read(&mut block) {
            shown.push_str(&String::from_utf8_lossy(&block[..length]));
            if !answered && shown.contains(question) {
                wait_until_keys_are_read(&terminal, &mut child);
                terminal.write_all(answer.as_bytes()).unwrap();
                answered = true;
            }
        }
        (child.wait().unwrap().code().unwrap(), shown)
    }

    /// Exit code, and everything that stdout and stderr show on a terminal.
    pub(crate) fn run_with_stdout_on_terminal(&self, args: &[&str]) -> (i32, String) {
        let (mut terminal, user) = terminal();
        let mut command = self.command(args);
        command.stdout(user.try_clone().unwrap()).stderr(user);
        let mut child = command.spawn().unwrap();
        drop(command);
        let (mut shown, mut block) = (String::new(), [0; 4096]);
        while let Ok(length @ 1..) = terminal.read(&mut block) {
            shown.push_str(&String::from_utf8_lossy(&block[..length]));
        }
        (child.wait().unwrap().code().unwrap(), shown)
    }

    /// Starts it, and gives the process.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts it as `nohup` does, where SIGHUP is ignored, or as a terminal does, and gives the process.
    pub(crate) fn start_for_hangup(&self, ignored: bool, args: &[&str]) -> Child {
        let mut command = self.prepared("/bin/sh");
        let trap = if ignored { "trap '' HUP; " } else { "" };
        let script = format!(r#"{trap}exec "$0" "$@""#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_emulator")]).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// As [`Emulator::run`], with stdout going to `path`.
    pub(crate) fn run_into(&self, path: &str, args: &[&str]) -> String {
        let stdout = File::options().write(true).open(path).unwrap();
        self.shown(&self.command(args).stdout(stdout).stderr(Stdio::piped()).output().unwrap())
    }

    /// Exit code and stdout of a process that has no stderr at all.
    pub(crate) fn run_with_stderr_closed(&self, args: &[&str]) -> (i32, Vec<u8>) {
        let program = env!("CARGO_BIN_EXE_emulator");
        let mut command = self.prepared("/bin/sh");
        command.args(["-c", r#"exec "$0" "$@" 2>&-"#, program]).args(args);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), output.stdout)
    }

    /// Exit code of a process whose stdout no one reads.
    pub(crate) fn run_into_closed_pipe(&self, args: &[&str]) -> i32 {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.command(args).stdout(writer).status().unwrap().code().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.prepared(env!("CARGO_BIN_EXE_emulator"));
        command.args(args);
        command
    }

    fn prepared(&self, program: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the test looks at exit code and both streams itself")]
        let mut command = Command::new(program);
        // Nothing of this machine's environment takes part.
        command.env_clear().stdin(Stdio::null());
        // Nor does the checkout, which may be a linked worktree.
        command.current_dir(self.dir.as_deref().unwrap_or_else(|| self.home.path()));
        command.env("STACK_EMULATOR_HOME", self.home.path().join("home"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let path = format!("{}:/usr/bin:/bin", self.bin().display());
        command.env("PATH", if self.programs { &path } else { "/no/such/directory" });
        command
    }

    /// The processes that still run of those that were started with this home, by their command lines: what is known of them is what
    /// they inherit. Linux alone tells it.
    pub(crate) fn processes(&self) -> Vec<String> {
        let home = self.home.path().to_str().unwrap();
        let read = |process: &Path, file| {
            let bytes = std::fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten();
        let processes = entries.map(|entry| entry.unwrap().path());
        let own = processes.filter(|process| read(process, "environ").contains(home));
        own.map(|process| read(&process, "cmdline")).filter(|line| !line.is_empty()).collect()
    }

    /// Where programs of the test's own are.
    pub(crate) fn bin(&self) -> PathBuf {
        self.home.path().join("bin")
    }

    fn shown(&self, output: &Output) -> String {
        let root = self.home.path().to_str().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(root, "[root]");
            text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
        };
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        format!("exit {}\n--- stdout\n{out}\n--- stderr\n{err}", output.status.code().unwrap())
    }
}

/// The two ends of a new terminal: the one that a person sits at, and the one that a program has.
fn terminal() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let user = File::options().read(true).write(true).open(name).unwrap();
    (File::from(terminal), user)
}

/// Waits until `child` takes keys one by one: before that, the terminal would show what is typed, and Ctrl-C would not be a key.
fn wait_until_keys_are_read(terminal: &File, child: &mut Child) {
    let reads_keys = async || {
        assert!(child.try_wait().unwrap().is_none(), "it has ended without reading a key");
        let modes = tcgetattr(terminal).unwrap().local_modes;
        (!modes.intersects(LocalModes::ECHO | LocalModes::ICANON)).then_some(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(base::wait::until(KEYS_LIMIT, reads_keys)).expect("it does not read keys");
}
