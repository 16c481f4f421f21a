//! Verifies that an image is one complete, plain file. Every machine gets its image through this module.
//!
//! An image that names another file would show that file of this host to its guest, and one that QEMU has to guess the format of
//! could be anything. The check costs one read of a few kilobytes, so it is done each time, no matter how the image got there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::files::FileError;
use image::stack::DISK_GIB_LIMIT;

use crate::error::{Class, Explain};
use crate::machine::DiskFile;
use crate::qcow2::{Header, HeaderError};
use crate::stamp::Stamp;

/// An image that has been verified to be one complete, plain qcow2 file. Only [`ProvenImage::of`] creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenImage {
    path: PathBuf,
    stamp: Stamp,
}

/// Why a file is not used as an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is a directory, a pipe or a device.
    #[error("`{}` is not an image: it is {kind}", path.display())]
    NoFile {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It does not begin as an image does.
    #[error("`{}` cannot be used as an image", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with its beginning.
        #[source]
        source: HeaderError,
    },
    /// The image is only a part: the rest of it is in another file.
    #[error("`{}` is not whole: a part of it is {}", path.display(), other_file(other))]
    Partial {
        /// The image.
        path: PathBuf,
        /// The other file, as it is written in this one; empty when it is not.
        other: String,
    },
    /// It is an image of a kind that is never built.
    #[error("`{}` cannot be used as an image: {reason}", path.display())]
    Kind {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn other_file(name: &str) -> String {
    if name.is_empty() { "another file".to_owned() } else { format!("the file `{name}`") }
}

impl ImageError {
    /// Whether there is nothing at all at the path.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::File(error) if error.source.kind() == io::ErrorKind::NotFound)
    }
}

impl Explain for ImageError {
    fn class(&self) -> Class {
        match self {
            Self::File(_) => Class::Failed,
            _ => Class::VerificationFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Partial { .. } => {
                Some("do not use it: its guest could read that file of this machine".to_owned())
            }
            _ => self.below()?.hint(),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::File(source) => Some(source),
            _ => None,
        }
    }
}

impl ProvenImage {
    /// Verifies that the file at `path` is one complete, plain qcow2 image of a valid size.
    ///
    /// # Errors
    /// With what it is instead.
    pub fn of(path: &Path) -> Result<Self, ImageError> {
        let look = |source| FileError::of("look at", path)(source);
        // Before it is opened: a pipe would have to be waited for.
        refuse_no_file(path, &fs::metadata(path).map_err(look)?)?;
        let file = File::open(path).map_err(FileError::of("open", path))?;
        let data = file.metadata().map_err(FileError::of("look at", path))?;
        let header = Header::read(&file).map_err(FileError::of("read", path))?;
        let header = header.map_err(|source| ImageError::Header { path: path.to_owned(), source })?;
        let stamp = Stamp::of_metadata(&data);
        check(path, header)?;
        Ok(Self { path: path.to_owned(), stamp })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the identity that it had when it was verified.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The image as a disk, or as what is below one.
    pub fn disk(&self) -> DiskFile {
        DiskFile::qcow2(&self.path)
    }
}

fn refuse_no_file(path: &Path, data: &fs::Metadata) -> Result<(), ImageError> {
    if data.is_file() {
        return Ok(());
    }
    let kind = if data.is_dir() { "a directory" } else { "a pipe, a socket or a device" };
    Err(ImageError::NoFile { path: path.to_owned(), kind })
}

fn check(path: &Path, header: Header) -> Result<(), ImageError> {
    let Header { virtual_size, backing, data_file, encrypted, corrupt, unknown_features } = header;
    let path = || path.to_owned();
    if let Some(other) = backing.or(data_file) {
        return Err(ImageError::Partial { path: path(), other });
    }
    let limit = DISK_GIB_LIMIT << 30;
    let reason = if encrypted {
        "it is encrypted".to_owned()
    } else if corrupt {
        "QEMU has marked it as damaged".to_owned()
    } else if unknown_features != 0 {
        format!("it has features that this program does not know: {unknown_features:#x}")
    } else if virtual_size == 0 || virtual_size > limit {
        format!("its disk has {virtual_size} bytes, and one of an image has 1 to {limit}")
    } else {
        return Ok(());
    };
    Err(ImageError::Kind { path: path(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::tests::{put, sample};

    fn proof(change: impl FnOnce(&mut Vec<u8>)) -> Result<ProvenImage, ImageError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let mut head = sample();
        change(&mut head);
        fs::write(&path, head).unwrap();
        ProvenImage::of(&path)
    }

    fn refused(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let error = proof(change).unwrap_err();
        assert_eq!(error.class(), Class::VerificationFailed);
        let text = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        text[text.find('`').unwrap() + 1..].split_once("` ").unwrap().1.to_owned()
    }

    #[test]
    fn a_plain_image_is_proved_with_what_it_is_known_by() {
        let image = proof(|_| ()).unwrap();
        assert_eq!((image.stamp().size, image.disk()), (1024, DiskFile::qcow2(image.path())));
    }

    #[test]
    fn an_image_that_leads_to_another_file_is_refused() {
        let text = refused(|head| {
            put(head, 8, &600_u64.to_be_bytes());
            put(head, 16, &11_u32.to_be_bytes());
            put(head, 600, b"/etc/shadow");
        });
        assert_eq!(text, "is not whole: a part of it is the file `/etc/shadow`");
        let text = refused(|head| put(head, 72, &(1_u64 << 2).to_be_bytes()));
        assert_eq!(text, "is not whole: a part of it is another file");
    }

    #[test]
    fn images_that_are_never_built_are_refused() {
        let refused = |at: usize, bytes: &[u8]| refused(|head| put(head, at, bytes));
        let text = refused(32, &2_u32.to_be_bytes());
        assert_eq!(text, "cannot be used as an image: it is encrypted");
        let text = refused(72, &(1_u64 << 1).to_be_bytes());
        assert_eq!(text, "cannot be used as an image: QEMU has marked it as damaged");
        let text = refused(72, &(1_u64 << 63).to_be_bytes());
        assert!(text.ends_with("does not know: 0x8000000000000000"), "{text}");
        for size in [0, u64::MAX] {
            let text = refused(24, &size.to_be_bytes());
            assert!(text.contains(&format!("its disk has {size} bytes")), "{text}");
        }
        assert_eq!(refused(0, b"RAW!"), "cannot be used as an image: it is not a qcow2 image");
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = ProvenImage::of(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("is not an image: it is a directory"), "{error}");
        let error = ProvenImage::of(Path::new("/dev/null")).unwrap_err().to_string();
        assert_eq!(error, "`/dev/null` is not an image: it is a pipe, a socket or a device");
        assert!(ProvenImage::of(&dir.path().join("none")).unwrap_err().is_absence());
    }
}
