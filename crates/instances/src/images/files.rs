//! The names of the files of images. `docs/home.md` documents them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::files::entries;
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

/// What an image in a home is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    /// The stack that it is of.
    pub(crate) stack: String,
    /// Architecture of its guest.
    pub(crate) arch: Arch,
    /// Whether it is the current one, and not one that was replaced.
    pub(crate) current: bool,
}

/// What the image at `path` is; `None` if it is not an image.
pub(crate) fn role(path: &Path) -> Option<Role> {
    let name = path.file_name()?.to_str()?.strip_suffix(".qcow2")?;
    let of = |name: &str, current| {
        Arch::ALL.into_iter().find_map(|arch| {
            let stack = name.strip_suffix(arch.as_str())?.strip_suffix('-')?;
            let is_stack = !stack.is_empty() && !stack.starts_with('.');
            is_stack.then(|| Role { stack: stack.to_owned(), arch, current })
        })
    };
    let replaced = || {
        let (name, digest) = name.rsplit_once('-')?;
        let is_digest = !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest { of(name, false) } else { None }
    };
    of(name, true).or_else(replaced)
}

/// The stacks that have a current image among these files.
pub(crate) fn stacks(paths: &[PathBuf]) -> BTreeSet<String> {
    paths.iter().filter_map(|path| role(path)).filter(|role| role.current).map(|role| role.stack).collect()
}

/// The other stacks that have a current image for `arch` beside the one at `image`, which need not exist. One outside of a home has
/// none.
pub fn other_stacks(image: &Path, arch: Arch) -> BTreeSet<String> {
    let (Some(own), Some(dir)) = (role(image), image.parent()) else { return BTreeSet::new() };
    let roles = entries(dir).unwrap_or_default().into_iter().filter_map(|path| role(&path));
    let others = roles.filter(|role| role.current && role.arch == arch && role.stack != own.stack);
    others.map(|role| role.stack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_with_an_image_beside_a_missing_one_are_known() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["shop-amd64.qcow2", "blog-arm64.qcow2", "wiki-amd64-0123456789abcdef.qcow2", "notes"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let others = |name: &str| other_stacks(&dir.path().join(name), Arch::Amd64);
        assert_eq!(others("stack-emulator-amd64.qcow2"), BTreeSet::from(["shop".to_owned()]));
        assert_eq!(others("shop-amd64.qcow2"), BTreeSet::new());
        assert_eq!(others("image"), BTreeSet::new());
    }

    #[test]
    fn names_of_images_say_stack_architecture_and_whether_they_were_replaced() {
        for (name, expected) in [
            ("stack-emulator-amd64.qcow2", Some(("stack-emulator", Arch::Amd64, true))),
            ("stack-emulator-arm64-0123456789abcdef.qcow2", Some(("stack-emulator", Arch::Arm64, false))),
            ("shop-amd64-arm64.qcow2", Some(("shop-amd64", Arch::Arm64, true))),
            ("shop-amd64-x.qcow2", None),
            ("shop-amd64.boot", None),
            ("amd64.qcow2", None),
            ("-amd64.qcow2", None),
            (".incoming-amd64.qcow2", None),
        ] {
            let found = role(Path::new(name));
            let found = found.as_ref().map(|role| (role.stack.as_str(), role.arch, role.current));
            assert_eq!(found, expected, "{name}");
        }
    }
}
