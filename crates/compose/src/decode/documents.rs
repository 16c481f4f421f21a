//! Configs and secrets: their content, and the files that services see.

use base::files;

use super::At;
use super::at::{Defined, normal};
use crate::error::Result;
use crate::keys::{self, Scope};
use crate::model::{Content, Document, FileUse};
use crate::yaml::Node;

/// Directory of secrets whose target is only a name.
const SECRETS_DIR: &str = "/run/secrets/";

/// Permissions of a file of a config or a secret.
const MODE: u32 = 0o444;

/// Which of the two.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Config,
    Secret,
}

impl Kind {
    /// Its key at the top of the file, and in a service.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Config => "configs",
            Self::Secret => "secrets",
        }
    }

    fn definitions(self, defined: Defined<'_>) -> Option<&Node> {
        match self {
            Self::Config => defined.configs,
            Self::Secret => defined.secrets,
        }
    }

    fn scopes(self) -> (&'static Scope, &'static Scope) {
        match self {
            Self::Config => (&keys::CONFIG, &keys::CONFIG_USE),
            Self::Secret => (&keys::SECRET, &keys::SECRET_USE),
        }
    }
}

impl At<'_> {
    /// A config or a secret with its content.
    pub(super) fn document(&self, kind: Kind, name: &str) -> Result<Document> {
        let fields = self.fields(kind.scopes().0)?;
        let sources = [fields.get("file"), fields.get("environment"), fields.get("content")];
        let bytes = match sources {
            [Some(at), None, None] => {
                let file = at.host_file()?;
                files::read_document(&file).map_err(|error| at.unreadable(&file, error))?
            }
            [None, Some(at), None] => {
                let variable = at.filled()?;
                let value = self.context.environment.get(variable).ok_or_else(|| {
                    at.error(format!("the variable `{variable}` has no value"))
                        .instead(format!("set `{variable}`"))
                })?;
                value.into_bytes()
            }
            [None, None, Some(at)] => at.value()?.as_bytes().to_vec(),
            _ => {
                let count = sources.iter().flatten().count();
                let instead = match kind {
                    Kind::Config => "write one of `file`, `environment` and `content`",
                    Kind::Secret => "write one of `file` and `environment`",
                };
                return Err(self.error(format!("has {count} sources of its content")).instead(instead));
            }
        };
        Ok(Document { name: name.to_owned(), content: Content::new(bytes) })
    }

    /// The list `configs` or `secrets` of a service.
    pub(super) fn file_uses(&self, kind: Kind) -> Result<Vec<FileUse>> {
        self.list()?.iter().map(|item| item.file_use(kind)).collect()
    }

    fn file_use(&self, kind: Kind) -> Result<FileUse> {
        let fields = if self.is_map() { Some(self.fields(kind.scopes().1)?) } else { None };
        let read = |name: &str| fields.as_ref().and_then(|fields| fields.get(name));
        let source = match (&fields, read("source")) {
            (None, _) => self.filled()?,
            (_, Some(at)) => at.filled()?,
            _ => return Err(self.error("has no `source`").instead("write the name: `source: NAME`")),
        };
        let at = read("source").unwrap_or(self);
        at.defined(source, kind.key(), kind.definitions(self.context.defined))?;
        let id = |name: &str| read(name).map_or(Ok(0), At::integer);
        let target = match (kind, read("target")) {
            (Kind::Config, None) => format!("/{source}"),
            (Kind::Config, Some(at)) => at.absolute()?,
            (Kind::Secret, None) => format!("{SECRETS_DIR}{source}"),
            (Kind::Secret, Some(at)) if at.filled()?.starts_with('/') => at.absolute()?,
            (Kind::Secret, Some(at)) => {
                let path = format!("{SECRETS_DIR}{}", at.text()?);
                normal(&path)
                    .ok_or_else(|| at.invalid(at.key(), "a path").instead("write it without `..`"))?
            }
        };
        let mode = read("mode").map_or(Ok(MODE), At::mode)?;
        Ok(FileUse { source: source.to_owned(), target, uid: id("uid")?, gid: id("gid")?, mode })
    }
}
