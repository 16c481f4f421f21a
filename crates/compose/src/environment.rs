//! Variables: where their values come from, and how text names them.

pub(crate) mod dotenv;
pub(crate) mod interpolate;
pub(crate) mod template;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use base::files;

use crate::error::{ComposeError, Result};

/// Name of the file with values for variables that the process does not have.
const FILE: &str = ".env";

/// Variable that has the name of the project.
pub(crate) const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// The variables that a compose file can name.
pub(crate) struct Environment<'a> {
    process: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
    project: Option<String>,
}

impl<'a> Environment<'a> {
    /// Those of the process, then those of `.env` in `dir`, if it exists.
    pub(crate) fn read(dir: &Path, process: &'a dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let path = dir.join(FILE);
        let file = match files::read_document(&path) {
            Ok(bytes) => dotenv::parse(&path, "", &bytes, process)?,
            Err(error) if files::is_absence(&error) => BTreeMap::new(),
            Err(error) => return Err(ComposeError::new(&path, None, "", "cannot read it").caused_by(error)),
        };
        Ok(Self { process, file, project: None })
    }

    /// The same with the name of the project, which is a variable too.
    pub(crate) fn of_project(self, name: &str) -> Self {
        Self { project: Some(name.to_owned()), ..self }
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        if let (PROJECT_NAME, Some(project)) = (name, &self.project) {
            return Some(project.clone());
        }
        (self.process)(name).or_else(|| self.file.get(name).cloned())
    }
}
