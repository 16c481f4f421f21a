//! Disk images, by way of `qemu-img`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use host::process::{Cmd, ProcessError};
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
    /// The image is only a part: the rest of it is in another file.
    #[error("`{}` is not whole: a part of it is the file `{other}`", path.display())]
    Partial {
        /// The image.
        path: PathBuf,
        /// The other file, as it is written in this one.
        other: String,
    },
}

impl Explain for DiskError {
    fn class(&self) -> Class {
        match self {
            Self::Process(source) => source.class(),
            Self::Damaged { .. } | Self::Partial { .. } => Class::VerificationFailed,
            Self::Answer { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Process(source) => source.hint(),
            Self::Damaged { path, .. } => Some(format!("fetch or build `{}` again", path.display())),
            Self::Partial { .. } => {
                Some("do not use it: its guest could read that file of this machine".to_owned())
            }
            Self::Answer { .. } => None,
        }
    }
}

/// What `qemu-img info` says about an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskInfo {
    /// Size that a guest sees, in bytes.
    pub virtual_size: u64,
    /// Space that the file takes on the host, in bytes.
    pub actual_size: u64,
    /// Format, by QEMU's name.
    pub format: String,
    /// The image that this one is an overlay of, as it is written in the file.
    #[serde(default)]
    pub backing_filename: Option<PathBuf>,
    /// Whether a process that wrote to it never closed it.
    #[serde(default)]
    pub dirty_flag: bool,
    #[serde(default)]
    format_specific: FormatSpecific,
}

/// What only qcow2 images have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: Qcow2Data,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Qcow2Data {
    /// The file that the guest's data is in, when it is not this one.
    #[serde(default)]
    data_file: Option<String>,
}

impl DiskInfo {
    /// Another file that a part of the image is in: what it is an overlay of, or what its data is in.
    fn other_file(&self) -> Option<String> {
        let backing = self.backing_filename.as_ref().map(|path| path.to_string_lossy().into_owned());
        backing.or_else(|| self.format_specific.data.data_file.clone())
    }
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

    /// What is known about an image. Works while a QEMU has it open.
    ///
    /// # Errors
    /// When `qemu-img` fails or answers with something unexpected.
    pub async fn info(&self, file: &DiskFile) -> Result<DiskInfo, DiskError> {
        let cmd = self.cmd("info").args(["-U", "--output=json", "-f", file.format.as_str()]);
        let answer = cmd.arg(&file.path).output().await?;
        serde_json::from_slice(&answer).map_err(|source| DiskError::Answer {
            command: "info",
            path: file.path.clone(),
            source,
        })
    }

    /// Checks the structure of a qcow2 image.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when it is not clean; another when it cannot be checked.
    pub async fn check(&self, path: &Path) -> Result<(), DiskError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Report {
            #[serde(default)]
            corruptions: u64,
            #[serde(default)]
            leaks: u64,
            #[serde(default)]
            check_errors: u64,
        }
        let cmd = self.cmd("check").args(["--output=json", "-f", "qcow2"]).arg(path);
        let finished = cmd.finished().await?;
        // Status 2 and 3 come with a report that says what is wrong; any other failure comes without one.
        if !matches!(finished.status.code(), Some(0 | 2 | 3)) {
            return Err(cmd.failure(&finished).into());
        }
        let report: Report = serde_json::from_slice(&finished.stdout)
            .map_err(|source| DiskError::Answer { command: "check", path: path.to_owned(), source })?;
        let Report { corruptions, leaks, check_errors: errors } = report;
        if corruptions + leaks + errors == 0 {
            return Ok(());
        }
        Err(DiskError::Damaged { path: path.to_owned(), corruptions, leaks, errors })
    }

    /// Proves that the qcow2 image at `path`, which came from elsewhere, is whole and sound. One that leads to another file would
    /// show that file of the host to its guest.
    ///
    /// # Errors
    /// [`DiskError::Partial`] and [`DiskError::Damaged`] when it is not; another when it cannot be told.
    pub async fn prove(&self, path: &Path) -> Result<(), DiskError> {
        // First: whatever else is done with the image opens the other file.
        if let Some(other) = self.info(&DiskFile::qcow2(path)).await?.other_file() {
            return Err(DiskError::Partial { path: path.to_owned(), other });
        }
        self.check(path).await
    }

    /// Writes an image anew as qcow2.
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

    /// A program that answers what the test has written beside the image.
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
    async fn an_image_from_elsewhere_must_be_one_sound_file() {
        let about = |rest: &str| {
            image(&format!(r#"{{"virtual-size": 1, "actual-size": 1, "format": "qcow2"{rest}}}"#), "0")
        };
        fake().prove(&about("").path).await.unwrap();
        let refused = async |rest: &str| {
            let error = fake().prove(&about(rest).path).await.unwrap_err();
            assert_eq!(error.class(), Class::VerificationFailed);
            error.to_string()
        };
        let leads_out = "is not whole: a part of it is the file `/etc/shadow`";
        let text = refused(r#", "backing-filename": "/etc/shadow""#).await;
        assert!(text.ends_with(leads_out), "{text}");
        let text = refused(r#", "format-specific": {"data": {"data-file": "/etc/shadow"}}"#).await;
        assert!(text.ends_with(leads_out), "{text}");
        let text = refused(r#", "corruptions": 1"#).await;
        assert!(text.contains("is damaged: 1 corruptions"), "{text}");
    }

    #[tokio::test]
    async fn what_is_said_about_an_overlay_is_read() {
        let answer = r#"{"virtual-size": 100, "filename": "x", "format": "qcow2", "actual-size": 7,
            "backing-filename": "/images/base.qcow2", "dirty-flag": true}"#;
        let image = image(answer, "0");
        let info = fake().info(&DiskFile::qcow2(&image.path)).await.unwrap();
        assert_eq!((info.virtual_size, info.actual_size, info.dirty_flag), (100, 7, true));
        assert_eq!(info.backing_filename, Some("/images/base.qcow2".into()));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_an_error() {
        let image = image("qemu-img: hello", "0");
        let error = fake().info(&DiskFile::raw(&image.path)).await.unwrap_err();
        assert!(error.to_string().starts_with("`qemu-img info` of `/"), "{error}");
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
            let _ = serde_json::from_slice::<DiskInfo>(&bytes);
        }
    }
}
