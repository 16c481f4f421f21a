//! The files that a user and a project keep settings in. Each setting stands in for an environment variable that is not set.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::advice;
use base::files::is_absence;
use base::text::beginning;
use base::variables;
use clap::Command;
use clap::builder::Resettable;
use instances::name::{INSTANCE_VARIABLE, InstanceName};
use instances::ports::{FilePort, PortChoice};
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use vm::home::Home;

/// Name of the user's file in the home.
pub(crate) const USER_FILE: &str = "config.toml";

/// Name of a project's file, in the working directory or above it.
pub(crate) const PROJECT_FILE: &str = "emulator.toml";

/// What the root of a repository has.
const REPOSITORY: &str = ".git";

/// The table with host ports.
const PORTS: &str = "ports";

/// How much of an invalid value is shown, in characters.
const VALUE_LIMIT: usize = 60;

/// The keys, and the variable that each stands in for.
pub(crate) const KEYS: [(&str, &str); 11] = [
    ("instance", INSTANCE_VARIABLE),
    ("stack", "EMULATOR_STACK"),
    ("arch", "EMULATOR_ARCH"),
    ("repo", "EMULATOR_REPO"),
    ("accel", "EMULATOR_ACCEL"),
    ("cpus", "EMULATOR_CPUS"),
    ("memory", "EMULATOR_RAM"),
    ("timeout", "EMULATOR_READY_TIMEOUT"),
    ("snapshot-timeout", "EMULATOR_SNAPSHOT_READY_TIMEOUT"),
    ("no-snapshot", "EMULATOR_NO_SNAPSHOT"),
    ("no-rotation", "EMULATOR_NO_ROTATION"),
];

/// Why a file of settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// It cannot be read.
    #[error("cannot read the settings in `{}`", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It belongs to a user who could have meant harm.
    #[error("the settings in `{}` are not yours: they belong to {}", path.display(), advice::name(*owner))]
    Foreign { path: PathBuf, owner: u32 },
    /// It is not what it should be.
    #[error("`{}`: {reason}", at.of(path))]
    Invalid { path: PathBuf, at: Position, reason: String },
}

impl SettingsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => format!("make `{}` readable, or move it away", path.display()),
            Self::Foreign { .. } => "run this in a directory of your own".to_owned(),
            Self::Invalid { .. } => "correct that line; `docs/home.md` lists the keys".to_owned(),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
}

impl Position {
    /// Of the byte at `at`.
    fn of_byte(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    /// The place, as compilers write it.
    fn of(self, path: &Path) -> String {
        format!("{}:{}:{}", path.display(), self.line, self.column)
    }
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Origin {
    /// An environment variable.
    Environment,
    /// The project's file.
    Project,
    /// The user's file.
    User,
}

/// A setting, as `doctor` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Its key, with `ports.` before the name of a port.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// The variable, or the path of the file.
    pub(crate) source: String,
}

/// A key of a file and its value.
#[derive(Debug)]
struct Entry {
    key: String,
    variable: String,
    /// Never freed: a grammar keeps its defaults for as long as the program runs.
    value: &'static str,
    at: Position,
}

/// A file of settings.
#[derive(Debug)]
struct File {
    path: PathBuf,
    origin: Origin,
    entries: Vec<Entry>,
}

/// What the files say, the more important file first.
#[derive(Debug, Default)]
pub(crate) struct Settings(Vec<File>);

impl Settings {
    /// Reads the file of the project that the working directory is in, and the user's.
    ///
    /// # Errors
    /// When one is there that cannot be used.
    pub(crate) fn load(grammar: &Command) -> Result<Self, SettingsError> {
        let project = std::env::current_dir().ok().and_then(|dir| project_file(&dir));
        let user = Home::from_env().ok().map(|home| home.root().join(USER_FILE));
        let mut files = Vec::new();
        for (origin, path) in [(Origin::Project, project), (Origin::User, user)] {
            let Some(path) = path else { continue };
            files.extend(File::read(path, origin)?);
        }
        files.iter().try_for_each(|file| file.check(grammar))?;
        Ok(Self(files))
    }

    /// The grammar, where what the files say stands in for variables that are not set.
    pub(crate) fn apply(&self, command: Command) -> Command {
        if self.0.is_empty() {
            return command;
        }
        let applied = command.mut_args(|arg| {
            let name = arg.get_env().and_then(OsStr::to_str).map(str::to_owned);
            match name.and_then(|name| self.entry(&name)) {
                Some((_, entry)) => {
                    let shown = arg.get_action().takes_values();
                    let arg = arg.default_value(entry.value);
                    // The help is the same everywhere; that of a flag without a value shows no default.
                    if shown { arg.hide_default_value(true) } else { arg }
                }
                None => arg,
            }
        });
        applied.mut_subcommands(|below| self.apply(below))
    }

    /// The value of an environment variable, or what stands in for it.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        variables::text(name).or_else(|| Some(self.entry(name)?.1.value.to_owned()))
    }

    /// The ports that the files name. Which ones there are is known only with the image.
    pub(crate) fn ports(&self) -> Vec<FilePort> {
        self.0.iter().flat_map(File::ports).collect()
    }

    /// What holds where no flag says otherwise, with where it comes from.
    pub(crate) fn effective(&self) -> Vec<Setting> {
        let entries = self.0.iter().flat_map(|file| &file.entries);
        let ports = entries.map(|entry| (entry.key.as_str(), entry.variable.as_str()));
        let ports =
            ports.filter(|(key, _)| key.starts_with(PORTS)).collect::<std::collections::BTreeMap<_, _>>();
        KEYS.into_iter().chain(ports).filter_map(|(key, variable)| self.setting(key, variable)).collect()
    }

    fn setting(&self, key: &str, variable: &str) -> Option<Setting> {
        let (value, origin, source) = if let Some(value) = variables::text(variable) {
            (value, Origin::Environment, variable.to_owned())
        } else {
            let (file, entry) = self.entry(variable)?;
            (entry.value.to_owned(), file.origin, file.path.display().to_string())
        };
        Some(Setting { key: key.to_owned(), value, origin, source })
    }

    fn entry(&self, variable: &str) -> Option<(&File, &Entry)> {
        let entries = self.0.iter().flat_map(|file| file.entries.iter().map(move |entry| (file, entry)));
        entries.into_iter().find(|(_, entry)| entry.variable == variable)
    }
}

/// The project's file: in `dir`, or above it in the same repository.
fn project_file(dir: &Path) -> Option<PathBuf> {
    let root = dir.ancestors().find(|dir| dir.join(REPOSITORY).exists()).unwrap_or(dir);
    let dirs = dir.ancestors().take_while(|dir| dir.starts_with(root));
    dirs.map(|dir| dir.join(PROJECT_FILE)).find(|path| path.symlink_metadata().is_ok())
}

impl File {
    fn read(path: PathBuf, origin: Origin) -> Result<Option<Self>, SettingsError> {
        let text = match base::files::read_document(&path).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        }) {
            Ok(text) => text,
            Err(error) if is_absence(&error) && path.symlink_metadata().is_err() => return Ok(None),
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let user = rustix::process::getuid().as_raw();
        let owner = fs::metadata(&path).map_or(user, |data| data.uid());
        // What root or a container's user mapping has put there is as good; root itself can trust what it was started in.
        if owner != user && owner != 0 && user != 0 {
            return Err(SettingsError::Foreign { path, owner });
        }
        let entries = entries(&text).map_err(|(at, reason)| SettingsError::Invalid {
            at: Position::of_byte(&text, at),
            path: path.clone(),
            reason,
        })?;
        Ok(Some(Self { path, origin, entries }))
    }

    fn ports(&self) -> impl Iterator<Item = FilePort> {
        self.entries.iter().filter_map(|entry| {
            let name = entry.key.strip_prefix(PORTS)?.strip_prefix('.')?.to_owned();
            Some(FilePort { name, variable: entry.variable.clone(), place: entry.at.of(&self.path) })
        })
    }

    /// Verifies that every value could be that of its flag.
    fn check(&self, grammar: &Command) -> Result<(), SettingsError> {
        for entry in &self.entries {
            let reason = if entry.key.starts_with(PORTS) {
                entry.value.parse::<PortChoice>().err().map(|error| error.to_string())
            } else if entry.variable == INSTANCE_VARIABLE {
                entry.value.parse::<InstanceName>().err().map(|error| error.to_string())
            } else {
                refusal(grammar, entry)
            };
            if let Some(reason) = reason {
                let (path, at) = (self.path.clone(), entry.at);
                return Err(SettingsError::Invalid { path, at, reason });
            }
        }
        Ok(())
    }
}

/// What the parser of the flag that the variable stands in for says against the value.
fn refusal(grammar: &Command, entry: &Entry) -> Option<String> {
    let takes = |command: &&Command| {
        command.get_arguments().any(|arg| arg.get_env() == Some(OsStr::new(&entry.variable)))
    };
    let command = std::iter::once(grammar).chain(grammar.get_subcommands()).find(takes)?;
    let arg = command.get_arguments().find(|arg| arg.get_env() == Some(OsStr::new(&entry.variable)))?;
    // The same argument alone, so that nothing else can be missing.
    let alone = Command::new("settings")
        .no_binary_name(true)
        .arg(arg.clone().env(Resettable::Reset).default_value(entry.value));
    let error = alone.try_get_matches_from(std::iter::empty::<&OsStr>()).err()?;
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default().rsplit_once("': ").map_or("", |(_, reason)| reason);
    let value = beginning(entry.value, VALUE_LIMIT);
    Some(format!("`{}` cannot be `{value}`: {reason}", entry.key).trim_end_matches(": ").to_owned())
}

/// The entries of a file, or where it is wrong and how.
fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), syntax_error(error.message())))?;
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let (name, at) = (key.get_ref(), key.span().start);
        if name == PORTS {
            let DeValue::Table(ports) = value.get_ref() else {
                return Err((
                    at,
                    "`ports` is a table: `[ports]`, and below it a line for each port".to_owned(),
                ));
            };
            for (port, value) in ports {
                let variable = variable_of(port.get_ref()).ok_or_else(|| {
                    (port.span().start, format!("`{}` is not a valid name of a port", port.get_ref()))
                })?;
                found.push(entry(text, format!("{PORTS}.{}", port.get_ref()), variable, value)?);
            }
        } else if let Some((_, variable)) = KEYS.iter().find(|(known, _)| known == name) {
            found.push(entry(text, name.to_string(), (*variable).to_owned(), value)?);
        } else {
            let known: Vec<_> = KEYS.iter().map(|(key, _)| format!("`{key}`")).collect();
            return Err((
                at,
                format!("unknown key `{name}`: there are {} and the table `{PORTS}`", known.join(", ")),
            ));
        }
    }
    Ok(found)
}

/// What the parser has to say, in one line: without the list of what it would have taken.
fn syntax_error(message: &str) -> String {
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ");
    format!("invalid TOML: {}", line.split(", expected ").next().unwrap_or_default())
}

fn entry(
    text: &str,
    key: String,
    variable: String,
    value: &Spanned<DeValue<'_>>,
) -> Result<Entry, (usize, String)> {
    let at = value.span().start;
    let value: Cow<'_, str> = match value.get_ref() {
        DeValue::String(text) => Cow::Borrowed(text),
        DeValue::Integer(number) => Cow::Owned(number.to_string()),
        DeValue::Boolean(whether) => Cow::Borrowed(if *whether { "true" } else { "false" }),
        _ => return Err((at, format!("`{key}` is a text, a number, `true` or `false`"))),
    };
    Ok(Entry { key, variable, value: value.into_owned().leak(), at: Position::of_byte(text, at) })
}

/// The variable that moves the port called `name`.
fn variable_of(name: &str) -> Option<String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let name =
        (!name.is_empty() && name.chars().all(valid)).then(|| name.to_ascii_uppercase().replace('-', "_"));
    name.map(|name| format!("EMULATOR_{name}_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (usize, String) {
        let (at, reason) = entries(text).unwrap_err();
        (Position::of_byte(text, at).line, reason)
    }

    #[test]
    fn a_file_has_known_keys_with_plain_values() {
        let text = "# a project\narch = \"arm64\"\ncpus = 4\nno-snapshot = true\n\n[ports]\nbackend = 30_001\nmail-ui = \"auto\"\n";
        let found = entries(text).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.variable.as_str(), it.value, it.at.line)).collect();
        let expected = [
            ("EMULATOR_ARCH", "arm64", 2),
            ("EMULATOR_CPUS", "4", 3),
            ("EMULATOR_NO_SNAPSHOT", "true", 4),
            ("EMULATOR_BACKEND_PORT", "30001", 7),
            ("EMULATOR_MAIL_UI_PORT", "auto", 8),
        ];
        for expected in expected {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }

    #[test]
    fn a_place_in_a_file_is_counted_in_lines_and_characters() {
        let text = "# \u{e4}\n\u{e4} = 1";
        let at = text.rfind('1').unwrap();
        assert_eq!(Position::of_byte(text, at).of(Path::new("/f")), "/f:2:5");
        assert_eq!(Position::of_byte("", 0).of(Path::new("/f")), "/f:1:1");
    }

    #[test]
    fn what_the_parser_says_is_one_line() {
        let text = syntax_error("unclosed array\nexpected `]`, expected comma");
        assert_eq!(text, "invalid TOML: unclosed array");
    }

    #[test]
    fn every_key_is_documented_with_its_variable() {
        for (key, variable) in KEYS {
            let row = format!("| `{key}` | `{variable}` |");
            assert!(include_str!("../../docs/home.md").contains(&row), "{row}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_names_the_line() {
        assert_eq!(wrong("arch = \"arm64\"\ncpu = 4\n").0, 2);
        assert!(wrong("cpu = 4").1.starts_with("unknown key `cpu`: there are `instance`, "));
        assert_eq!(
            wrong("\n\ncpus = [4]\n"),
            (3, "`cpus` is a text, a number, `true` or `false`".to_owned())
        );
        assert_eq!(wrong("cpus = \n").0, 1);
        assert_eq!(wrong("[ports]\n\"a b\" = 1").0, 2);
        assert_eq!(wrong("ports = 1").0, 1);
    }

    #[test]
    fn a_project_ends_at_the_root_of_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("outer/repository/src/deep");
        fs::create_dir_all(&inner).unwrap();
        let outer = dir.path().join("outer").join(PROJECT_FILE);
        fs::write(&outer, "").unwrap();
        assert_eq!(project_file(&inner), None, "outside of a repository, only the directory itself counts");
        assert_eq!(project_file(&dir.path().join("outer")), Some(outer));
        let root = dir.path().join("outer/repository");
        fs::write(root.join(REPOSITORY), "gitdir: elsewhere").unwrap();
        assert_eq!(project_file(&inner), None, "what is above the repository is not of it");
        fs::write(root.join(PROJECT_FILE), "").unwrap();
        assert_eq!(project_file(&inner), Some(root.join(PROJECT_FILE)));
    }
}
