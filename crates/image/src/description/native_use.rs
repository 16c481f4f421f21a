//! `[native]` of a `service.toml`: how containers use the service instead of an image.

use protocol::exec;
use serde::Deserialize;

use super::service_file::is_plain;
use crate::stack::check;

/// The place in a line for the address that the service listens on.
const ADDRESS: &str = "{address}";

/// How containers use a service instead of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeUse {
    /// What people call the program: "`PostgreSQL`".
    pub title: String,
    /// Reference of the image that it stands for.
    pub image: String,
    /// The port that it listens on in the network of containers.
    pub port: u16,
    /// Its settings. Options of the compose file follow these lines.
    pub settings: Lines,
    /// What it takes of `command`.
    pub command: Command,
    /// The database that variables describe, if it is a `PostgreSQL` server.
    pub database: Option<DatabaseUse>,
}

/// A file of the guest and its lines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Its absolute path.
    pub file: String,
    /// The lines; `{address}` is the address that the service listens on.
    pub lines: Vec<String>,
}

/// What a service takes of `command` of a compose file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The first word, which may be left out.
    pub program: String,
    /// What all other words are.
    pub option: OptionForm,
    /// Names of options that it does not take.
    #[serde(default)]
    pub refused: Vec<String>,
}

/// The form of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum OptionForm {
    /// `-c NAME=VALUE` or `--NAME=VALUE`, which becomes the line `NAME = 'VALUE'`.
    #[serde(rename = "-c NAME=VALUE")]
    Assignment,
    /// `--NAME VALUE …`, which becomes the line `NAME "VALUE" …`.
    #[serde(rename = "--NAME VALUE")]
    Flag,
}

/// Variables of a compose file that become a role and a database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DatabaseUse {
    /// The beginning of the image's variables: those that are none of the following three are refused.
    pub prefix: String,
    /// The variable with the name of the role.
    pub user: String,
    /// The variable with its password.
    pub password: String,
    /// The variable with the name of the database, which is that of the role if it is not set.
    pub name: String,
    /// The role if its variable is not set.
    pub default_user: String,
    /// Absolute path of the file with these three variables, for a step of provisioning.
    pub role: String,
    /// Who may connect.
    pub access: Lines,
}

impl NativeUse {
    /// The name of the image that it stands for, without registry and tag.
    pub fn image_name(&self) -> &str {
        image_name(&self.image)
    }

    /// Whether it stands for the image with this reference, whatever its registry and tag.
    pub fn stands_for(&self, reference: &str) -> bool {
        image_name(reference) == self.image_name()
    }

    /// Checks what its shape does not promise.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { title, image, port, settings, command, database } = self;
        if [0, exec::PORT].contains(port) {
            return Err(format!("a service cannot listen on port {port}"));
        }
        for text in [title, image, &command.program] {
            named(text)?;
        }
        settings.check()?;
        database.as_ref().map_or(Ok(()), DatabaseUse::check)
    }
}

impl Lines {
    /// The text of the file for a service that listens on `address`, with `more` lines.
    pub fn text(&self, address: &str, more: &[String]) -> String {
        let own = self.lines.iter().map(|line| line.replace(ADDRESS, address));
        own.chain(more.iter().cloned()).map(|line| line + "\n").collect()
    }

    fn check(&self) -> Result<(), String> {
        check::file(&self.file)?;
        match self.lines.iter().find(|line| line.contains(char::is_control)) {
            Some(line) => Err(format!("the line {line:?} has a control character")),
            None => Ok(()),
        }
    }
}

impl OptionForm {
    /// The form as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assignment => "-c NAME=VALUE",
            Self::Flag => "--NAME VALUE",
        }
    }
}

impl DatabaseUse {
    fn check(&self) -> Result<(), String> {
        for variable in [&self.user, &self.password, &self.name] {
            check::variable(variable)?;
        }
        named(&self.default_user)?;
        check::file(&self.role)?;
        self.access.check()
    }
}

fn image_name(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

fn named(text: &str) -> Result<(), String> {
    if !text.is_empty() && is_plain(text) {
        Ok(())
    } else {
        Err(format!("{text:?} is empty, or has a control character or one of `\"`, `\\`, `$` and a backtick"))
    }
}
