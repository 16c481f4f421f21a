//! One step of provisioning: an executable file in a directory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A file says with such a comment among its first lines what it does: `# title: Initialise PostgreSQL`.
const TITLE: &str = "# title: ";

/// How far into a file its title may be: after the interpreter's line and a blank one.
const TITLE_WITHIN: usize = 3;

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its name, "30-database".
    pub(crate) name: String,
    /// Its title for people, or its name when it has none.
    pub(crate) title: String,
}

/// A directory of steps that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the steps in `{}`", dir.display())]
pub(crate) struct ListError {
    dir: PathBuf,
    #[source]
    source: io::Error,
}

/// The steps in `dir` in the order in which they run.
///
/// # Errors
/// When the directory or a file in it cannot be read.
pub(crate) fn list(dir: &Path) -> Result<Vec<Step>, ListError> {
    let read = || {
        let mut steps =
            fs::read_dir(dir)?.map(|entry| Step::open(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        steps.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(steps)
    };
    read().map_err(|source| ListError { dir: dir.to_owned(), source })
}

impl Step {
    fn open(path: PathBuf) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let title = title(BufReader::new(File::open(&path)?)).unwrap_or_else(|| name.clone());
        Ok(Self { path, name, title })
    }
}

/// Finds the title in a file. A step may be a program: a file that is not text has no title.
fn title(file: impl BufRead) -> Option<String> {
    let lines = file.lines().take(TITLE_WITHIN).map_while(Result::ok);
    lines.into_iter().find_map(|line| line.strip_prefix(TITLE).map(|title| title.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["90-slim", "10-packages", "30-database"] {
            fs::write(dir.path().join(name), "#!/bin/sh\n").unwrap();
        }
        let names: Vec<_> = list(dir.path()).unwrap().into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["10-packages", "30-database", "90-slim"]);
    }

    #[test]
    fn a_step_says_itself_what_it_does() {
        let script = "#!/bin/sh\n# title: Initialise PostgreSQL\nset -e\n";
        assert_eq!(title(script.as_bytes()).as_deref(), Some("Initialise PostgreSQL"));
        assert_eq!(title("#!/bin/sh\n\n\n# title: too late\n".as_bytes()), None);
        assert_eq!(title(&b"\x7fELF\xff\xfe\n# title: no text\n"[..]), None);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = list(Path::new("/no/such/steps.d")).unwrap_err().to_string();
        assert_eq!(error, "cannot read the steps in `/no/such/steps.d`");
    }
}
