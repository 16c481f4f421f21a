//! Disk images, by way of `qemu-img`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base::process::{Cmd, ProcessError};
use serde::Deserialize;

use crate::error::{Class, Explain};
use crate::machine::{DiskFile, escaped};

/// The `qemu-img` of one QEMU installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuImg(PathBuf);

/// Why a disk image cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `qemu-img` failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// `qemu-img` answered with something unexpected.
    #[error("`qemu-img {command}` of `{}` gave no usable answer", path.display())]
    Answer {
        /// The subcommand.
        command: &'static str,
        /// The image.
        path: PathBuf,
        /// What is wrong with the answer.
        #[source]
        source: serde_json::Error,
    },
    /// The image is damaged.
    #[error("`{}` is damaged: {corruptions} corruptions, {leaks} leaked clusters, {errors} errors of the check", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// Clusters that are used twice or lead nowhere.
        corruptions: u64,
        /// Clusters that nothing uses.
        leaks: u64,
        /// Places that could not be checked.
        errors: u64,
    },
}

impl Explain for DiskError {
    fn class(&self) -> Class {
        match self {
            Self::Process(source) => source.class(),
            Self::Damaged { .. } => Class::VerificationFailed,
            Self::Answer { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Process(source) => source.hint(),
            Self::Damaged { path, .. } => Some(format!("fetch or build `{}` again", path.display())),
            Self::Answer { .. } => None,
        }
    }
}

/// What `qemu-img check` says about an image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    #[serde(default)]
    corruptions: u64,
    #[serde(default)]
    leaks: u64,
    #[serde(default)]
    check_errors: u64,
}

/// A conversion into a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion<'a> {
    /// The image to read.
    pub from: &'a DiskFile,
    /// The qcow2 file to write; replaced when it exists.
    pub to: &'a Path,
    /// Whether clusters are compressed with zstd.
    pub compress: bool,
}

impl QemuImg {
    /// The `qemu-img` at `program`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self(program.into())
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.0
    }

    fn cmd(&self, subcommand: &str) -> Cmd {
        Cmd::new(&self.0).arg(subcommand)
    }

    /// Makes an overlay at `path` in which `backing` is never written to.
    ///
    /// # Errors
    /// When `qemu-img` fails: the directory is missing, the disk is full, the backing image does not open.
    pub async fn create_overlay(&self, backing: &DiskFile, path: &Path) -> Result<(), DiskError> {
        let cmd = self.cmd("create").args(["-q", "-f", "qcow2", "-F", backing.format.as_str(), "-b"]);
        cmd.arg(&backing.path).arg(path).output().await?;
        Ok(())
    }

    /// Makes an overlay of `bytes` bytes at `path` that names `backing` as what is below it. That is not looked at, and need not
    /// be there yet.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub async fn create_overlay_of(
        &self,
        backing: &DiskFile,
        bytes: u64,
        path: &Path,
    ) -> Result<(), DiskError> {
        let cmd = self.cmd("create").args(["-q", "-u", "-f", "qcow2", "-F", backing.format.as_str(), "-b"]);
        cmd.arg(&backing.path).arg(path).arg(bytes.to_string()).output().await?;
        Ok(())
    }

    /// Makes an empty image of `bytes` bytes.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub async fn create(&self, file: &DiskFile, bytes: u64) -> Result<(), DiskError> {
        let cmd = self.cmd("create").args(["-q", "-f", file.format.as_str()]);
        cmd.arg(&file.path).arg(bytes.to_string()).output().await?;
        Ok(())
    }

    /// Grows an image to `bytes` bytes; the data at its end are zeroes then.
    ///
    /// # Errors
    /// When `qemu-img` fails, as for a smaller size.
    pub async fn grow(&self, file: &DiskFile, bytes: u64) -> Result<(), DiskError> {
        let cmd = self.cmd("resize").args(["-q", "-f", file.format.as_str()]);
        cmd.arg(&file.path).arg(bytes.to_string()).output().await?;
        Ok(())
    }

    /// Checks the structure of a qcow2 image. Works while a machine reads it.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when it is not clean; another when it cannot be checked.
    pub async fn check(&self, path: &Path) -> Result<(), DiskError> {
        let cmd = self.cmd("check").args(["-U", "--output=json", "-f", "qcow2"]).arg(path);
        let finished = cmd.finished().await?;
        // Status 2 and 3 come with a report that says what is wrong; any other failure comes without one.
        if !matches!(finished.status.code(), Some(0 | 2 | 3)) {
            return Err(cmd.failure(&finished).into());
        }
        let report: Report = serde_json::from_slice(&finished.stdout)
            .map_err(|source| DiskError::Answer { command: "check", path: path.to_owned(), source })?;
        let Report { corruptions, leaks, check_errors: errors } = report;
        if [corruptions, leaks, errors] == [0; 3] {
            return Ok(());
        }
        Err(DiskError::Damaged { path: path.to_owned(), corruptions, leaks, errors })
    }

    /// Writes an image again as qcow2.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub async fn convert(&self, conversion: &Conversion<'_>) -> Result<(), DiskError> {
        let mut cmd = self.cmd("convert").args(["-q", "-f", conversion.from.format.as_str(), "-O", "qcow2"]);
        if conversion.compress {
            // Parallel coroutines and writes out of order: the image is written once and read at random.
            cmd = cmd.args(["-c", "-W", "-m", "4", "-o", "compression_type=zstd"]);
        }
        cmd.arg(&conversion.from.path).arg(conversion.to).output().await?;
        Ok(())
    }

    /// Copies `length` bytes from `offset` of what a guest would see on the disk to the file `to`.
    ///
    /// # Errors
    /// When `qemu-img` fails, as for a window beyond the end.
    pub async fn extract(
        &self,
        file: &DiskFile,
        offset: u64,
        length: u64,
        to: &Path,
    ) -> Result<(), DiskError> {
        let cmd = self.cmd("convert").args(["-q", "-U", "-O", "raw", "--image-opts"]);
        cmd.arg(window(file, offset, length)).arg(to).output().await?;
        Ok(())
    }
}

/// The options that make QEMU see a part of a disk as a disk.
fn window(file: &DiskFile, offset: u64, length: u64) -> OsString {
    let format = file.format.as_str();
    let mut options = OsString::from(format!(
        "driver=raw,offset={offset},size={length},file.driver={format},file.file.driver=file,file.file.filename="
    ));
    options.push(escaped(file.path.as_os_str()));
    options
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A program that answers what the test has written next to the image.
    fn fake() -> QemuImg {
        QemuImg::new(fake_image::QEMU_IMG)
    }

    struct Image {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    fn image(answer: &str, status: &str) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(path.with_extension("answer"), answer).unwrap();
        std::fs::write(path.with_extension("status"), status).unwrap();
        Image { _dir: dir, path }
    }

    #[tokio::test]
    async fn a_clean_check_passes() {
        let image = image(r#"{"image-end-offset": 1, "check-errors": 0, "filename": "x"}"#, "0");
        fake().check(&image.path).await.unwrap();
    }

    #[tokio::test]
    async fn damage_is_counted() {
        let image = image(r#"{"check-errors": 0, "corruptions": 2, "leaks": 1}"#, "2");
        let error = fake().check(&image.path).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.ends_with("is damaged: 2 corruptions, 1 leaked clusters, 0 errors of the check"),
            "{text}"
        );
        assert_eq!(error.class(), Class::VerificationFailed);
    }

    #[tokio::test]
    async fn a_check_that_cannot_be_made_is_no_clean_one() {
        let image = image("", "1");
        assert!(matches!(fake().check(&image.path).await, Err(DiskError::Process(_))));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_an_error() {
        let image = image("qemu-img: hello", "0");
        let error = fake().check(&image.path).await.unwrap_err();
        assert!(error.to_string().starts_with("`qemu-img check` of `/"), "{error}");
    }

    #[test]
    fn a_window_names_every_layer_and_escapes_the_path() {
        let options = window(&DiskFile::qcow2("/a,b/disk.qcow2"), 1_048_576, 4096);
        assert_eq!(
            options.to_str().unwrap(),
            "driver=raw,offset=1048576,size=4096,file.driver=qcow2,file.file.driver=file,\
             file.file.filename=/a,,b/disk.qcow2"
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic(bytes: Vec<u8>) {
            let _ = serde_json::from_slice::<Report>(&bytes);
        }
    }
}
