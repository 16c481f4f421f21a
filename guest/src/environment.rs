//! The environment of a service, with what the session of the machine lays over it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Variables in this file override the process's own environment, and unlike that they can change: a program reads the file
/// at its start and again when it is ordered to reload. The file may be absent.
const SESSION_ENV_FILE: &str = "/run/stack/session.env";
/// Names another file than [`SESSION_ENV_FILE`].
const SESSION_ENV_FILE_VARIABLE: &str = "STACK_SESSION_ENV_FILE";

/// Why the environment cannot be read.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// The session file cannot be read.
    #[error("cannot read the environment file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: dotenvy::Error,
    },
    /// It has a line that is not a variable. The line itself, which may hold a secret, is not shown.
    #[error("the environment file `{}` has a line that is not a variable", path.display())]
    Line {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the variables of this process, with those of the session file laid over them.
///
/// # Errors
/// When there is a session file that cannot be read.
pub fn variables() -> Result<HashMap<String, String>, EnvironmentError> {
    overlaid(std::env::vars(), &session_file())
}

/// Where the session file is.
pub(crate) fn session_file() -> PathBuf {
    base::variables::path(SESSION_ENV_FILE_VARIABLE).unwrap_or_else(|| SESSION_ENV_FILE.into())
}

/// Lays the variables of `session_file`, which may be absent, over `environment`.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn overlaid(
    environment: impl Iterator<Item = (String, String)>,
    session_file: &Path,
) -> Result<HashMap<String, String>, EnvironmentError> {
    let mut variables: HashMap<_, _> = environment.collect();
    let unreadable = |source| match source {
        dotenvy::Error::LineParse(..) => EnvironmentError::Line { path: session_file.to_owned() },
        source => EnvironmentError::File { path: session_file.to_owned(), source },
    };
    match dotenvy::from_path_iter(session_file) {
        Ok(lines) => {
            for line in lines {
                let (name, value) = line.map_err(unreadable)?;
                variables.insert(name, value);
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => return Err(unreadable(error)),
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("session.env");
        std::fs::write(&path, "CRON_SECRET=\"open sesame\n").unwrap();
        let error = overlaid(std::iter::empty(), &path).unwrap_err();
        assert!(!crate::report(&error).contains("sesame"), "{error}");
    }
}
