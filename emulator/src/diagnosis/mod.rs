//! What a report of a fault needs: what the commands say, the logs, and what this machine is, without secrets.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::files::{FileError, entries, present};
use base::process::{Cmd, ProcessError};
use base::variables;
use instances::home::HomeExt as _;
use instances::instance::Instance;
use instances::instance::dir::InstanceDir;
use instances::name::InstanceName;
use instances::registry::Registry;
use vm::home::{HOME_VARIABLE, Home};

mod archive;
mod redaction;

use redaction::Redaction;

/// How much of the end of a log is kept.
const LOG_LIMIT: u64 = 1 << 20;

/// How long one command may take. The accelerator's trial is the longest part.
const COMMAND_LIMIT: Duration = Duration::from_mins(2);

/// How many lines of the services' journals are kept.
const LINES: &str = "1000";

/// Variables whose values are secret.
const TOKENS: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// Variables that change what the program does.
const VARIABLES: [&str; 15] = [
    HOME_VARIABLE,
    "EMULATOR_INSTANCE",
    "EMULATOR_STACK",
    "EMULATOR_ARCH",
    "EMULATOR_REPO",
    "GITHUB_API_URL",
    "QEMU_SYSTEM_X86_64",
    "QEMU_SYSTEM_AARCH64",
    "QEMU_IMG",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
];

/// A text of the report.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its name in the archive.
    pub(crate) name: String,
    text: String,
}

/// Why no report could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiagnosisError {
    /// Something of the home cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program cannot be called.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// This program cannot be found.
    #[error("cannot find this program itself")]
    Program(#[source] io::Error),
}

/// Collects everything about `home`, and takes out what is secret.
pub(crate) async fn collect(home: &Home) -> Result<Vec<Part>, DiagnosisError> {
    let program = std::env::current_exe().map_err(DiagnosisError::Program)?;
    let names = Registry::new(home).names()?;
    let mut parts = vec![Part { name: "host.txt".to_owned(), text: host() }];
    for command in ["version", "doctor", "list", "images", "du"] {
        parts.push(said(&program, home, &format!("{command}.json"), &[command, "-o", "json"]).await?);
    }
    for name in &names {
        let dir = format!("instances/{name}");
        let of = ["--instance", name.as_str()];
        let status = [&["status", "-o", "json"][..], &of].concat();
        parts.push(said(&program, home, &format!("{dir}/status.json"), &status).await?);
        if matches!(
            Instance::new(home, name.clone()).state(),
            Ok(instances::instance::state::State::Running(_))
        ) {
            let logs = [&["logs", "-n", LINES][..], &of].concat();
            parts.push(said(&program, home, &format!("{dir}/services.log"), &logs).await?);
        }
        let instance = InstanceDir::new(home, name);
        for place in [instance.logs(), instance.failed_resume(), instance.failed_stop()] {
            parts.extend(logs(&place, &dir)?);
        }
    }
    parts.extend(logs(&home.failed_capture(), "snapshots")?);
    let redaction = redaction(home, &names);
    for part in &mut parts {
        part.text = redaction.apply(&part.text);
    }
    Ok(parts)
}

/// Packs the parts into a new file at `path`, which only its owner can read, and gives its size.
pub(crate) fn pack(parts: &[Part], path: &Path) -> Result<u64, FileError> {
    archive::write(parts.iter().map(|part| (part.name.as_str(), part.text.as_str())), path)
}

/// What a command of this program says, with its exit code.
async fn said(program: &Path, home: &Home, name: &str, args: &[&str]) -> Result<Part, DiagnosisError> {
    let command = Cmd::new(program).args(args).env(HOME_VARIABLE, home.root());
    let text = match tokio::time::timeout(COMMAND_LIMIT, command.finished()).await {
        Ok(finished) => {
            let finished = finished?;
            let (out, err) = (&finished.stdout, &finished.stderr);
            let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
            if finished.status.success() && err.is_empty() {
                out.into_owned()
            } else {
                format!("{out}\n[{}]\n{err}", finished.status)
            }
        }
        Err(_) => format!("[no answer within {} s]\n", COMMAND_LIMIT.as_secs()),
    };
    Ok(Part { name: name.to_owned(), text })
}

/// The ends of the logs in `dir`.
fn logs(dir: &Path, below: &str) -> Result<Vec<Part>, FileError> {
    if !present(dir)? {
        return Ok(Vec::new());
    }
    let label = dir.file_name().unwrap_or_default().to_string_lossy();
    let files = entries(dir)?.into_iter().filter(|path| path.is_file());
    let parts = files.map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let text = end_of(&path).unwrap_or_else(|error| format!("[cannot be read: {error}]\n"));
        Part { name: format!("{below}/{}/{file}", label.trim_start_matches('.')), text }
    });
    Ok(parts.collect())
}

/// The last [`LOG_LIMIT`] bytes of a file.
fn end_of(path: &Path) -> io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = base::files::open_file(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_LIMIT);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What this machine is, and the variables that are set.
fn host() -> String {
    let name = rustix::system::uname();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let mut text = format!(
        "{} {} {} {}\n{processors} processors\n\n{system}\n",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.version().to_string_lossy(),
        name.machine().to_string_lossy(),
    );
    for variable in VARIABLES {
        if let Some(value) = variables::text(variable) {
            let _ = writeln!(text, "{variable}={value}");
        }
    }
    for variable in TOKENS.into_iter().filter(|name| variables::raw(name).is_some()) {
        let _ = writeln!(text, "{variable} is set");
    }
    text
}

/// What is secret here: the secrets of every instance, tokens, and who and where the user is.
fn redaction(home: &Home, names: &[InstanceName]) -> Redaction {
    let sessions = names.iter().filter_map(|name| Instance::new(home, name.clone()).session().ok()?);
    let secrets = sessions.filter_map(|session| session.secrets).flatten();
    let secrets = secrets.map(|(_, secret)| secret.reveal().to_owned());
    let tokens = TOKENS.into_iter().filter_map(variables::text);
    let user_dir = variables::home_dir().filter(|dir| dir.parent().is_some());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let user = variables::text("USER").filter(|user| user != "root");
    let known = [
        user_dir.as_deref().map(|dir| (shown(dir), "~")),
        Some((shown(home.root()), "[home]")),
        Some((host, "[host]")),
        user.map(|user| (user, "[user]")),
    ];
    Redaction::new(secrets.chain(tokens), known.into_iter().flatten())
}

fn shown(path: &Path) -> String {
    PathBuf::from(path).display().to_string()
}
