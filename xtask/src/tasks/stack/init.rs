//! `cargo xtask stack init`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base::console::Console;
use base::events::{Event, Reporter as _};
use base::files::write_atomic;
use base::variables;
use clap::Args;
use image_build::containers::{ComposeFile, ContainersError, starting_point};
use tempfile::NamedTempFile;

use super::super::arguments::absolute_path;
use super::super::build_image::{PLATFORM, workspace};

/// Print a commented `x-emulator` for a compose file, to begin with
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask stack init ../shop/compose.yaml
  cargo xtask stack init ../shop/compose.yaml --write")]
pub(crate) struct Init {
    /// A compose file, or a directory with one
    #[arg(value_name = "DIR|FILE", value_parser = absolute_path)]
    compose: PathBuf,

    /// Profile whose services are part of the stack
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,

    /// Append it to the file instead of printing it
    #[arg(long)]
    write: bool,
}

impl Init {
    /// Reads the file, and prints what could be added to it, or adds it.
    pub(crate) fn run(self, console: &Console) -> anyhow::Result<()> {
        let path = ComposeFile::at(&self.compose)
            .with_context(|| format!("there is no compose file in `{}`", self.compose.display()))?;
        let file = ComposeFile { path, profiles: self.profiles, images: Vec::new() };
        let project = file.read(variables::text)?;
        anyhow::ensure!(
            project.emulator == compose::model::emulator::StackEmulator::default(),
            "`{}` has an `x-emulator` already",
            file.path.display()
        );
        let text = starting_point(&project, &file.natives(&project, &workspace()?.join(PLATFORM))?);
        if self.write {
            append(&file, &text)?;
            console
                .report(&Event::Notice(&format!("`x-emulator` is at the end of `{}`", file.path.display())));
            return Ok(());
        }
        io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
    }
}

/// Appends `addition` to the compose file, if the file is one then, too.
fn append(file: &ComposeFile, addition: &str) -> anyhow::Result<()> {
    let unread = || format!("cannot read `{}`", file.path.display());
    // A link stays one.
    let path = fs::canonicalize(&file.path).with_context(unread)?;
    let text = joined(&fs::read_to_string(&path).with_context(unread)?, addition);
    let mode = fs::metadata(&path).with_context(unread)?.permissions().mode();
    check(file, &path, &text)?;
    Ok(write_atomic(&path, text.as_bytes(), mode & 0o7777)?)
}

/// Reads the text from a file beside the one at `path`, since it may name others there.
fn check(file: &ComposeFile, path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write beside `{}`", path.display());
    let mut candidate =
        NamedTempFile::new_in(path.parent().unwrap_or(Path::new("."))).with_context(cannot)?;
    candidate.write_all(text.as_bytes()).with_context(cannot)?;
    let read = ComposeFile { path: candidate.path().to_owned(), ..file.clone() }.read(variables::text);
    read.map(drop).map_err(|error| {
        let reason = match error {
            ContainersError::Compose(error) => error.reason,
            error => error.to_string(),
        };
        anyhow::anyhow!(
            "`x-emulator` cannot be appended to `{}`: {reason}; put it at the top level by hand, without `--write` it is printed",
            file.path.display()
        )
    })
}

/// Both texts, with an empty line between them.
fn joined(text: &str, addition: &str) -> String {
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    format!("{text}{end}\n{addition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = "services:\n  web: {image: 'web:1', ports: ['8080:80']}";

    fn file(text: &str) -> (tempfile::TempDir, ComposeFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compose.yaml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        (dir, ComposeFile { path, profiles: Vec::new(), images: Vec::new() })
    }

    #[test]
    fn what_is_appended_is_read_and_the_file_keeps_its_mode() {
        let (_dir, file) = file(COMPOSE);
        append(&file, "x-emulator:\n  name: shop\n").unwrap();
        let text = fs::read_to_string(&file.path).unwrap();
        assert_eq!(text, format!("{COMPOSE}\n\nx-emulator:\n  name: shop\n"));
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o640);
        let emulator = file.read(|_| None).unwrap().emulator;
        assert_ne!(emulator, compose::model::emulator::StackEmulator::default());
    }

    #[test]
    fn a_file_that_would_not_be_valid_stays_as_it_is() {
        for text in
            [format!("{COMPOSE}\nx-emulator: {{}}\n"), "{services: {web: {image: 'web:1'}}}\n".to_owned()]
        {
            let (dir, file) = file(&text);
            let error = append(&file, "x-emulator:\n  name: shop\n").unwrap_err().to_string();
            assert!(error.contains("put it at the top level by hand"), "{error}");
            assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
