//! What a person names as an image on this machine: the file itself, or the directory of artifacts that it is in. An error says what
//! anything else is.

use std::fs::{self, File, FileType};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use base::files::FileError;

/// Bytes at the beginning of a file that it is known by.
const FRONT_BYTES: u64 = 512;

/// Names of a directory that are listed at most.
const LISTED: usize = 8;

/// Why there is no image where one was named.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It is something that has no end, or no content.
    #[error("`{}` is {found}, not a file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is, with its article.
        found: &'static str,
    },
    /// A directory without the image.
    #[error("`{}` is a directory, and there is no `{wanted}` in it: {}", path.display(), listed(present))]
    NotInside {
        /// The directory.
        path: PathBuf,
        /// Name of the image.
        wanted: String,
        /// The first names of what is in it instead.
        present: Vec<String>,
    },
    /// A directory with several.
    #[error("`{}` is a directory with more than one `{wanted}`: {}", path.display(), listed(found))]
    Ambiguous {
        /// The directory.
        path: PathBuf,
        /// Name of the image.
        wanted: String,
        /// Where they are.
        found: Vec<String>,
    },
    /// What a browser has saved instead of a download.
    #[error("`{}` is a web page, not an image", .0.display())]
    WebPage(PathBuf),
    /// It cannot be looked at.
    #[error(transparent)]
    File(#[from] FileError),
}

impl LocalError {
    /// What to do next, where that is the same in every program.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAFile { .. } => {
                "name the image itself, or the archive that it is in; save what comes through a pipe first"
                    .to_owned()
            }
            Self::Ambiguous { .. } => "name one of them".to_owned(),
            Self::NotInside { .. } | Self::WebPage(_) => return None,
            Self::File(source) => return source.advice(),
        })
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "it is empty".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

/// Where the image `wanted` is that `named` names: that itself, or in that directory, or in one of those in it, as `gh run download` leaves
/// artifacts.
///
/// # Errors
/// When there is none, or what is there cannot be one.
pub fn image(named: &Path, wanted: &str) -> Result<PathBuf, LocalError> {
    let path = if kind(named)?.is_dir() { inside(named, wanted)? } else { named.to_owned() };
    // Looked at before it is opened: to open a named pipe waits for a writer, and a device has no end.
    let found = match kind(&path)? {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    };
    match found {
        Some(found) => Err(LocalError::NotAFile { path, found }),
        None if is_web_page(&path)? => Err(LocalError::WebPage(path)),
        None => Ok(path),
    }
}

fn kind(path: &Path) -> Result<FileType, FileError> {
    Ok(fs::metadata(path).map_err(FileError::of("open", path))?.file_type())
}

fn inside(dir: &Path, wanted: &str) -> Result<PathBuf, LocalError> {
    let own = dir.join(wanted);
    if own.is_file() {
        return Ok(own);
    }
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(FileError::of("list", dir))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found: Vec<_> = entries.iter().map(|entry| entry.path().join(wanted)).collect();
    found.retain(|path| path.is_file());
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let present = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
            let (path, wanted, present) = (dir.to_owned(), wanted.to_owned(), present.take(LISTED).collect());
            Err(LocalError::NotInside { path, wanted, present })
        }
        several => {
            let found = several.iter().map(|path| path.display().to_string()).collect();
            Err(LocalError::Ambiguous { path: dir.to_owned(), wanted: wanted.to_owned(), found })
        }
    }
}

/// Whether the file begins as HTML does.
fn is_web_page(path: &Path) -> Result<bool, FileError> {
    let mut front = Vec::new();
    let file = File::open(path).map_err(FileError::of("open", path))?;
    file.take(FRONT_BYTES).read_to_end(&mut front).map_err(FileError::of("read", path))?;
    let text = String::from_utf8_lossy(&front).to_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    Ok(["<!doctype html", "<html", "<head", "<!--"].iter().any(|mark| text.starts_with(mark)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const WANTED: &str = "stack-emulator-amd64.qcow2";

    #[test]
    fn what_is_no_file_is_refused_before_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (source, found) in [(&*socket, "a socket"), (Path::new("/dev/zero"), "a device")] {
            let error = image(source, WANTED).unwrap_err();
            assert_eq!(error.to_string(), format!("`{}` is {found}, not a file", source.display()));
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn an_image_is_found_in_directories_of_downloaded_artifacts() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| image(path, WANTED).unwrap_err().to_string();
        assert!(refusal(dir.path()).ends_with("in it: it is empty"));
        fs::write(dir.path().join("bench.json"), "{}").unwrap();
        assert!(refusal(dir.path()).ends_with(&format!("there is no `{WANTED}` in it: `bench.json`")));
        for artifact in ["qemu-emulator-amd64", "other"] {
            let inner = dir.path().join(artifact);
            fs::create_dir(&inner).unwrap();
            fs::write(inner.join(WANTED), "image").unwrap();
            if artifact == "qemu-emulator-amd64" {
                assert_eq!(image(dir.path(), WANTED).unwrap(), inner.join(WANTED));
                assert_eq!(image(&inner, WANTED).unwrap(), inner.join(WANTED));
            }
        }
        assert!(refusal(dir.path()).contains("more than one"));
        fs::write(dir.path().join(WANTED), "image").unwrap();
        assert_eq!(image(dir.path(), WANTED).unwrap(), dir.path().join(WANTED));
    }

    #[test]
    fn a_saved_web_page_is_told_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.qcow2");
        for page in ["<!DOCTYPE html>\n<html>", "\u{feff}\n <HTML lang=en>", "<!-- saved -->"] {
            fs::write(&file, page).unwrap();
            assert!(matches!(image(&file, WANTED), Err(LocalError::WebPage(_))), "{page}");
        }
        for other in ["", "QFI\u{fb}", "PK\u{3}\u{4}"] {
            fs::write(&file, other).unwrap();
            assert_eq!(image(&file, WANTED).unwrap(), file);
        }
    }
}
