//! The names of the files of images. `docs/home.md` documents them.

use std::path::{Path, PathBuf};

use base::digest::Sha256;
use image::arch::Arch;

/// Hexadecimal digits of an image's SHA-256 in the name that it has once it is replaced.
const NAME_DIGITS: usize = 16;

/// Start of the name of a new image's boot files before they are in place; the architecture follows.
pub(crate) const INCOMING: &str = ".incoming-";

/// The boot files of the image at `path`.
pub(crate) fn boot_files(path: &Path) -> PathBuf {
    path.with_extension("boot")
}

/// The path of the image at `path` once another one has replaced it.
pub(crate) fn superseded(path: &Path, sha256: Sha256) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let digits = sha256.first_digits(NAME_DIGITS);
    path.with_file_name(format!("{stem}-{digits}.qcow2"))
}

/// Which architecture the image at `path` is for, and whether it is the current one; `None` if it is not an image.
pub(crate) fn role(path: &Path) -> Option<(Arch, bool)> {
    let name = path.file_name()?.to_str()?;
    Arch::ALL.into_iter().find_map(|arch| {
        let file = arch.image_file();
        let rest = name.strip_prefix(file.strip_suffix(".qcow2")?)?.strip_suffix(".qcow2")?;
        (rest.is_empty() || rest.starts_with('-')).then_some((arch, rest.is_empty()))
    })
}
