//! Reading a compose file, step by step.

use std::path::Path;

use base::files;

use crate::decode::{self, Context, Defined};
use crate::environment::{Environment, interpolate};
use crate::error::{ComposeError, Result};
use crate::model::{Project, Warning};
use crate::yaml;

impl Project {
    /// Reads the compose file at `path`: variables come from `environment`, then from `.env` beside the file. Services of no profile
    /// and of the active `profiles` are part of the project; `*` activates all.
    ///
    /// # Errors
    /// When a file cannot be read, is longer than 1 MiB, or says what is not supported or contradicts itself.
    pub fn read(
        path: &Path,
        environment: impl Fn(&str) -> Option<String>,
        profiles: &[String],
    ) -> Result<Self> {
        let unread = |reason: &str| ComposeError::new(path, None, "", reason);
        let bytes = files::read_document(path).map_err(|error| unread("cannot read it").caused_by(error))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| unread("it is not UTF-8").instead("save it as UTF-8 text"))?;
        let mut tree = yaml::parse(path, text)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let environment = Environment::read(dir, &environment)?;
        let mut unset = interpolate::name(&mut tree, path, &environment)?;
        let defined = Defined::default();
        let context = Context { file: path, dir, environment: &environment, defined };
        let name = decode::project_name(context, &tree)?;
        let environment = environment.of_project(&name);
        unset.extend(interpolate::tree(&mut tree, path, &environment)?);
        let context = Context { file: path, dir, environment: &environment, defined };
        let mut project = decode::project(context, &tree, name, profiles)?;
        project.warnings = unset
            .into_iter()
            .map(|interpolate::Unset { place, key, name }| Warning { place, key, variable: name })
            .collect();
        Ok(project)
    }
}
