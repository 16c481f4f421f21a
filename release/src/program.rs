//! The program that users install, as releases carry it: names of the files, and how they are made.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::files::{self, FileError};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::github::Repo;
use crate::publish::{PlannedAsset, Source};

/// The program's name, in archives and once it is installed.
pub const PROGRAM: &str = "emulator";

/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The tag of the release that has this version.
pub const TAG: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// The list of checksums, in the format of `sha256sum`.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// The script that installs the program.
pub const INSTALLER: &str = "install.sh";

/// The platforms that the program is released for, as rustc calls them.
pub const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];

/// The mark below the prefix by which a program knows that the script has installed it.
pub const RECEIPT: &str = "share/stack-emulator/installed-by-install.sh";

/// Where pages of the manual are, in archives and below the prefix that the program is installed to.
pub const MANUAL: &str = "share/man/man1";

/// Where the completion scripts of shells are, likewise.
pub const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/emulator"),
    ("fish", "share/fish/vendor_completions.d/emulator.fish"),
    ("zsh", "share/zsh/site-functions/_emulator"),
];

/// The line of the script that a release fills in.
const UNRELEASED: &str = "RELEASED_FROM=\"\"";

/// Name of the archive for `target`.
pub fn archive_file(target: &str) -> String {
    format!("{PROGRAM}-{target}.tar.gz")
}

/// A text that comes with the program: a page of the manual, or a completion script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it is, in archives and below the prefix.
    pub path: String,
    /// What it says.
    pub content: Vec<u8>,
}

/// An archive with the program for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Its name in the release.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Sha256,
}

impl Archive {
    /// Packs `program`, built for `target`, and its `documents` into `dir`. The same program gives the same bytes.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn pack(program: &Path, documents: &[Document], target: &str, dir: &Path) -> Result<Self, FileError> {
        files::create_private_dir(dir)?;
        let path = dir.join(archive_file(target));
        let file = tempfile::NamedTempFile::new_in(dir).map_err(FileError::of("create a file in", dir))?;
        write_archive(program, documents, file.as_file()).map_err(FileError::of("pack", program))?;
        file.persist(&path).map_err(|error| FileError::of("write", &path)(error.error))?;
        Self::read(path)
    }

    /// The archives in `dir`, in the order of [`TARGETS`].
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<Self>, FileError> {
        let paths = TARGETS.iter().map(|target| dir.join(archive_file(target)));
        paths.filter(|path| path.exists()).map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Result<Self, FileError> {
        let size = fs::metadata(&path).map_err(FileError::of("look at", &path))?.len();
        let sha256 = digest::of_file(&path).map_err(FileError::of("read", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path, name, size, sha256 })
    }

    pub(crate) fn asset(&self) -> PlannedAsset {
        PlannedAsset {
            name: self.name.clone(),
            size: self.size,
            sha256: self.sha256,
            source: Source::Path(self.path.clone()),
        }
    }
}

fn write_archive(program: &Path, documents: &[Document], file: &File) -> io::Result<()> {
    let mut content = File::open(program)?;
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    tar.append_data(&mut header(content.metadata()?.len(), 0o755), PROGRAM, &mut content)?;
    for Document { path, content } in documents {
        tar.append_data(&mut header(content.len() as u64, 0o644), path, content.as_slice())?;
    }
    tar.into_inner()?.finish()?.sync_all()
}

/// What an archive says of a file; no time, so that the same file gives the same bytes.
fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

/// The list of checksums of `archives`.
pub fn checksums(archives: &[Archive]) -> String {
    archives.iter().fold(String::new(), |mut list, Archive { name, sha256, .. }| {
        let _ = writeln!(list, "{sha256}  {name}");
        list
    })
}

/// The script `install.sh` as a release of `repo` carries it: with the repository filled in.
pub fn installer(script: &str, repo: &Repo) -> String {
    script.replacen(UNRELEASED, &format!("RELEASED_FROM=\"{repo}\""), 1)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::slice;

    use super::*;

    const SCRIPT: &str = include_str!("../../install.sh");

    #[test]
    fn an_archive_has_the_program_and_is_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("built");
        fs::write(&program, b"#!/bin/sh\n").unwrap();
        let page = Document { path: format!("{MANUAL}/emulator.1"), content: b"page".to_vec() };
        let pack = |dir: &Path| Archive::pack(&program, slice::from_ref(&page), TARGETS[0], dir).unwrap();
        let (first, second) = (pack(&dir.path().join("one")), pack(&dir.path().join("two")));
        assert_eq!(
            (first.name.as_str(), &first.sha256),
            ("emulator-x86_64-unknown-linux-musl.tar.gz", &second.sha256)
        );
        assert_eq!(Archive::all(&dir.path().join("one")).unwrap(), slice::from_ref(&first));

        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&first.path).unwrap()));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), text)
        });
        let entries: Vec<_> = entries.collect();
        let expected = [("emulator", 0o755, "#!/bin/sh\n"), ("share/man/man1/emulator.1", 0o644, "page")];
        assert_eq!(entries, expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned())));
    }

    #[test]
    fn a_released_script_knows_where_it_comes_from() {
        let script = installer(SCRIPT, &"o/r".parse().unwrap());
        assert!(script.contains("\nRELEASED_FROM=\"o/r\"\n"));
        assert!(!script.contains("RELEASED_FROM=\"\""));
    }

    #[test]
    fn cargo_binstall_fetches_what_releases_carry() {
        let manifest: toml::Table = toml::from_str(include_str!("../../emulator/Cargo.toml")).unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(PROGRAM));
        let binstall = &manifest["package"]["metadata"]["binstall"];
        let url = binstall["pkg-url"].as_str().unwrap();
        let url = url
            .replace("{ version }", VERSION)
            .replace("{ name }", PROGRAM)
            .replace("{ target }", TARGETS[0]);
        assert_eq!(url, format!("{{ repo }}/releases/download/{TAG}/{}", archive_file(TARGETS[0])));
        assert_eq!(binstall["bin-dir"].as_str(), Some("{ bin }{ binary-ext }"));
    }

    #[test]
    fn the_script_fetches_what_releases_carry() {
        for name in [CHECKSUMS, "emulator-$(target).tar.gz"] {
            assert!(SCRIPT.contains(name), "{name}");
        }
        for path in COMPLETIONS.map(|(_, path)| path).into_iter().chain([MANUAL]) {
            assert!(path.starts_with("share/") && SCRIPT.contains("\"$scratch/share\""), "{path}");
        }
        for target in TARGETS {
            let (_, system) = target.split_once('-').unwrap();
            assert!(SCRIPT.contains(&format!("echo \"$machine-{system}\"")), "{target}");
        }
    }
}
