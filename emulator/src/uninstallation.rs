//! What belongs to this program on this machine, and its removal: the home, the sockets, the program itself and its texts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::events::Reporter;
use base::files::{FileError, entries, present, remove_dir_if_there, remove_if_there};
use base::space;
use instances::home::HomeExt as _;
use instances::instance::Instance;
use instances::instance::error::InstanceError;
use instances::instance::state::State;
use instances::name::InstanceName;
use instances::registry::Registry;
use release::program::{COMPLETIONS, MANUAL, PROGRAM, RECEIPT};
use serde::Serialize;
use vm::home::Home;
use vm::place::Elsewhere;
use vm::runtime;

use crate::settings::USER_FILE;

/// What the names of directories that benchmarks leave in the home begin with.
const BENCHMARKS: [&str; 2] = [".bench-", ".failed-bench"];

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// A part of the home.
    Home,
    /// A directory for the sockets of an instance.
    Sockets,
    /// The program.
    Program,
    /// A page of the manual, or a completion script.
    Document,
}

/// Something that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Doomed {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Bytes on the disk.
    pub(crate) bytes: u64,
}

/// Why nothing is removed, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UninstallError {
    /// Machines run, and no one has said that they may be ended.
    #[error("these instances run: {}", names(.0))]
    Running(Vec<InstanceName>),
    /// A machine runs where this program cannot end it.
    #[error("instance `{name}` cannot be removed")]
    Elsewhere {
        name: InstanceName,
        #[source]
        source: Elsewhere,
    },
    /// No one is there to answer the question.
    #[error("`uninstall` would remove all instances with their data, and there is no terminal to ask on")]
    NotConfirmed,
    /// The program is where this user cannot write.
    #[error("the program `{}` cannot be removed", path.display())]
    Program {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What an instance says.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// What the file system says.
    #[error(transparent)]
    File(#[from] FileError),
}

fn names(names: &[InstanceName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// All that belongs to this program.
pub(crate) struct Uninstallation {
    /// What there is, in the order in which it is removed.
    pub(crate) removed: Vec<Doomed>,
    /// The instances whose machines run.
    pub(crate) running: Vec<InstanceName>,
    /// How to remove the program, where that is not done here.
    pub(crate) by_hand: Option<String>,
}

/// Where a program comes from.
#[derive(Debug, PartialEq, Eq)]
enum Installed {
    /// `install.sh` has installed it below this prefix.
    ByScript(PathBuf),
    /// Cargo has: this is the home of cargo.
    ByCargo,
    /// It was built in a checkout.
    Built,
    /// It was copied there.
    Copied,
}

impl Uninstallation {
    /// Looks for it.
    pub(crate) fn find(home: &Home) -> Result<Self, UninstallError> {
        let Ok(program) = std::env::current_exe() else { return Self::of(home, None) };
        let installed = Installed::of(&program);
        let by_hand = installed.by_hand(&program);
        let prefix = match &installed {
            Installed::ByScript(prefix) => Some(prefix.as_path()),
            _ => None,
        };
        Ok(Self { by_hand, ..Self::of(home, prefix)? })
    }

    /// What belongs to `home`, and to a program that was installed to `prefix`.
    fn of(home: &Home, prefix: Option<&Path>) -> Result<Self, UninstallError> {
        let mut running = Vec::new();
        let mut removed = Vec::new();
        let mut add = |kind, path: PathBuf| removed.push(Doomed { kind, bytes: space::used(&path), path });
        for name in Registry::new(home).names()? {
            let instance = Instance::new(home, name.clone());
            match instance.state() {
                Ok(State::Running(_) | State::Starting(_) | State::Stopping(_)) => running.push(name),
                Ok(State::Elsewhere(source)) => return Err(UninstallError::Elsewhere { name, source }),
                // A broken one is ended and removed as every other.
                _ => {}
            }
            let sockets = runtime::candidates(instance.dir().root());
            let outside = sockets.into_iter().filter(|dir| !dir.starts_with(home.root()) && dir.is_dir());
            outside.for_each(|dir| add(Kind::Sockets, dir));
        }
        for path in parts(home)? {
            add(Kind::Home, path);
        }
        for path in prefix.map(documents).transpose()?.into_iter().flatten() {
            add(Kind::Document, path);
        }
        if let Some(prefix) = prefix {
            add(Kind::Program, prefix.join("bin").join(PROGRAM));
        }
        Ok(Self { removed, running, by_hand: None })
    }

    /// Removes it. A second run continues after one that was cut short.
    pub(crate) async fn carry_out(&self, home: &Home, reporter: &dyn Reporter) -> Result<(), UninstallError> {
        let program = self.removed.iter().find(|it| it.kind == Kind::Program);
        program.map_or(Ok(()), |program| check_removable(&program.path))?;
        for name in Registry::new(home).names()? {
            Instance::new(home, name).delete(reporter).await?;
        }
        for Doomed { path, .. } in &self.removed {
            let is_dir = path.symlink_metadata().is_ok_and(|data| data.is_dir());
            if is_dir { remove_dir_if_there(path)? } else { remove_if_there(path)? }
        }
        // A directory with something else in it stays.
        let _ = fs::remove_dir(home.root());
        for Doomed { kind, path, .. } in &self.removed {
            let is_alone = *kind == Kind::Sockets || path.ends_with(RECEIPT);
            let _ = path.parent().filter(|_| is_alone).map(fs::remove_dir);
        }
        Ok(())
    }
}

/// What this program keeps in the home: nothing else there is touched, whatever the variable of the home is set to.
fn parts(home: &Home) -> Result<Vec<PathBuf>, FileError> {
    let dirs = [home.instances(), home.snapshots(), home.images(), home.downloads(), home.qemu()];
    let mut parts = Vec::new();
    for path in dirs.into_iter().chain([home.root().join(USER_FILE)]) {
        if present(&path)? {
            parts.push(path);
        }
    }
    let left = entries(home.root())?.into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        BENCHMARKS.iter().any(|start| name.starts_with(start))
    });
    parts.extend(left);
    Ok(parts)
}

impl Installed {
    /// How `program` has come to where it is.
    fn of(program: &Path) -> Self {
        let dir = program.parent();
        let prefix = dir.filter(|dir| dir.ends_with("bin")).and_then(Path::parent);
        if let Some(prefix) = prefix.filter(|prefix| prefix.join(RECEIPT).is_file())
            && program.file_name().is_some_and(|name| name == PROGRAM)
        {
            return Self::ByScript(prefix.to_owned());
        }
        // What cargo keeps about the programs that it has installed, and in the directory of a build.
        if prefix.is_some_and(|prefix| prefix.join(".crates.toml").is_file()) {
            return Self::ByCargo;
        }
        if dir.is_some_and(|dir| dir.join(".fingerprint").is_dir()) { Self::Built } else { Self::Copied }
    }

    /// How to remove the program by hand, if it was not the script.
    fn by_hand(&self, program: &Path) -> Option<String> {
        let path = program.display();
        let how = match self {
            Self::ByScript(_) => return None,
            Self::ByCargo => {
                format!("cargo has installed it: remove it with `cargo uninstall {PROGRAM}`, or `rm {path}`")
            }
            Self::Built => "it was built in a checkout, and goes with that".to_owned(),
            Self::Copied => format!("it was not installed by `install.sh`: remove it with `rm {path}`"),
        };
        Some(format!("the program `{path}` stays: {how}"))
    }
}

/// The texts that came with the program.
fn documents(prefix: &Path) -> Result<Vec<PathBuf>, FileError> {
    let is_page = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(PROGRAM).and_then(|rest| rest.strip_suffix(".1"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let scripts = COMPLETIONS.iter().map(|(_, path)| *path).chain([RECEIPT]);
    let scripts = scripts.map(|path| prefix.join(path)).filter(|path| path.is_file());
    Ok(entries(&prefix.join(MANUAL))?.into_iter().filter(is_page).chain(scripts).collect())
}

/// Verifies that the file can be removed, before anything is.
fn check_removable(path: &Path) -> Result<(), UninstallError> {
    let dir = path.parent().unwrap_or(path);
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK)
        .map_err(|error| UninstallError::Program { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use base::events::Silent;

    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[tokio::test]
    async fn all_that_belongs_to_the_program_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (home, prefix) = (Home::new(dir.path().join("home")), dir.path().join("prefix"));
        let own = [
            home.instances().join("a/overlay.qcow2"),
            home.images().join("stack-emulator-amd64.qcow2"),
            home.root().join(USER_FILE),
            home.root().join(".bench-1/x"),
            prefix.join("bin/emulator"),
            prefix.join("share/man/man1/emulator.1"),
            prefix.join("share/man/man1/emulator-start.1"),
            prefix.join(COMPLETIONS[0].1),
            prefix.join(RECEIPT),
        ];
        let other = [
            home.root().join("notes.txt"),
            prefix.join("bin/other"),
            prefix.join("share/man/man1/emulators.1"),
        ];
        own.iter().chain(&other).for_each(|path| write(path));
        let found = Uninstallation::of(&home, Some(&prefix)).unwrap();
        assert_eq!(found.removed.last().unwrap().path, own[4], "the program goes last");
        found.carry_out(&home, &Silent).await.unwrap();
        let left: Vec<_> = own.iter().chain(&other).filter(|path| path.exists()).collect();
        assert_eq!(left, other.iter().collect::<Vec<_>>());
        assert!(!prefix.join(RECEIPT).parent().unwrap().exists());
        let found = Uninstallation::of(&home, None).unwrap();
        assert_eq!(found.removed, [], "the second time there is nothing");
    }

    #[test]
    fn only_a_program_with_the_mark_of_the_script_was_installed_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("prefix");
        let program = prefix.join("bin/emulator");
        assert_eq!(Installed::of(&program), Installed::Copied);
        let text = Installed::Copied.by_hand(&program).unwrap();
        assert!(text.ends_with(&format!("`rm {}`", program.display())), "{text}");
        write(&prefix.join(".crates.toml"));
        assert_eq!(Installed::of(&program), Installed::ByCargo);
        write(&prefix.join(RECEIPT));
        assert_eq!(Installed::of(&program), Installed::ByScript(prefix.clone()));
        assert_eq!(Installed::ByScript(prefix.clone()).by_hand(&program), None);
        assert_eq!(Installed::of(&prefix.join("bin/other")), Installed::ByCargo);
        let built = dir.path().join("target/release");
        fs::create_dir_all(built.join(".fingerprint")).unwrap();
        assert_eq!(Installed::of(&built.join(PROGRAM)), Installed::Built);
    }

    #[test]
    fn the_script_writes_the_mark_that_is_looked_for() {
        assert!(include_str!("../../install.sh").contains(&format!("$prefix/{RECEIPT}\"")));
    }
}
