//! Variables of a service: `environment` and `env_file`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base::files;

use super::At;
use super::at::Fields;
use crate::environment::dotenv;
use crate::error::{ComposeError, Result};
use crate::keys;

/// Variables; those without a value are removed.
type Variables = BTreeMap<String, Option<String>>;

/// The variables that the keys of a service say: those of files first.
pub(super) fn environment(fields: &Fields<'_>) -> Result<Variables> {
    let own = fields.or_default("environment", At::variables)?;
    let mut all = Variables::new();
    if let Some(at) = fields.get("env_file") {
        for file in at.list_or_one()? {
            file.env_file(&own, &mut all)?;
        }
    }
    all.extend(own);
    Ok(all)
}

impl At<'_> {
    fn variables(&self) -> Result<Variables> {
        let inherited = |name: &str| self.context.environment.get(name);
        let mut variables = Variables::new();
        if self.is_list() {
            for item in self.list()? {
                let text = item.text()?;
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (text, inherited(text)),
                };
                variables.insert(item.variable_name(name)?, value);
            }
        } else {
            for (name, at) in self.named()? {
                let value = if at.is_null() { inherited(name) } else { Some(at.value()?.to_owned()) };
                variables.insert(at.variable_name(name)?, value);
            }
        }
        Ok(variables)
    }

    fn variable_name(&self, name: &str) -> Result<String> {
        if name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
            return Err(self.invalid(name, "a name of a variable").instead("write `NAME: value`"));
        }
        Ok(name.to_owned())
    }

    /// Adds the variables of one file, which may name those of the service, of earlier files, and of the process.
    fn env_file(&self, own: &Variables, all: &mut Variables) -> Result<()> {
        let fields = if self.is_map() { Some(self.fields(&keys::ENV_FILE)?) } else { None };
        let (path, required, raw) = match &fields {
            None => (self.clone(), true, false),
            Some(fields) => {
                let path = fields.required("path")?;
                let raw = fields.or_default("format", At::is_raw)?;
                (path.clone(), fields.read("required", At::boolean)?.unwrap_or(true), raw)
            }
        };
        let file = path.host_file()?;
        let bytes = match files::read_document(&file) {
            Ok(bytes) => bytes,
            Err(error) if !required && files::is_absence(&error) => return Ok(()),
            Err(error) => return Err(path.unreadable(&file, error)),
        };
        let outer = |name: &str| {
            let earlier = own.get(name).or_else(|| all.get(name)).cloned().flatten();
            earlier.or_else(|| self.context.environment.get(name))
        };
        let parse = if raw { dotenv::parse_raw } else { dotenv::parse };
        let variables = parse(&file, path.key(), &bytes, &outer)?;
        all.extend(variables.into_iter().map(|(name, value)| (name, Some(value))));
        Ok(())
    }

    fn is_raw(&self) -> Result<bool> {
        match self.text()? {
            "raw" => Ok(true),
            other => Err(self.invalid(other, "a format").instead("write `raw`, or remove the key")),
        }
    }

    /// The path of a file of the host, from the directory of the compose file on.
    pub(super) fn host_file(&self) -> Result<PathBuf> {
        let written = self.filled()?;
        match written.strip_prefix("~/") {
            None => Ok(self.context.dir.join(written)),
            Some(inside) => match self.context.environment.get("HOME") {
                Some(home) => Ok(Path::new(&home).join(inside)),
                None => {
                    Err(self.invalid(written, "a path: `HOME` is not set").instead("write the whole path"))
                }
            },
        }
    }

    pub(super) fn unreadable(&self, file: &Path, error: io::Error) -> ComposeError {
        self.error(format!("cannot read `{}`", file.display())).caused_by(error)
    }
}
