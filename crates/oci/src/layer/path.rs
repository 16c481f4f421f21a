//! Names of entries as paths below the root of an image.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::Fault;

/// Longest name of a file, and longest path, in bytes (`NAME_MAX`, `PATH_MAX` with room for `./` and the last zero).
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4090;

/// Prefix of whiteouts (OCI image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// Prefix of what AUFS keeps for itself.
const AUFS: &[u8] = b".wh..wh.";

/// Name of the entry that makes its directory opaque.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What the name of an entry means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A file or directory.
    Path(PathBuf),
    /// What lower layers have at this path is hidden.
    Whiteout(PathBuf),
    /// What lower layers have in this directory is hidden.
    Opaque(PathBuf),
    /// Nothing.
    Ignored,
}

/// Reads a name. An absolute one is below the root of the image, too.
pub(super) fn name(name: &[u8]) -> Result<Name, Fault> {
    let path = clean(name)?;
    let is_aufs = |part: &OsStr| part.as_bytes().starts_with(AUFS) && part.as_bytes() != OPAQUE;
    if path.iter().any(is_aufs) {
        return Ok(Name::Ignored);
    }
    let Some(last) = path.file_name().map(OsStr::as_bytes) else {
        return Ok(Name::Path(path));
    };
    if last == OPAQUE {
        path.parent().map_or(Ok(Name::Ignored), |dir| Ok(Name::Opaque(dir.to_owned())))
    } else if let Some(hidden) = last.strip_prefix(WHITEOUT) {
        match hidden {
            b"" | b"." | b".." => Err(Fault::Whiteout { name: text(name) }),
            hidden => Ok(Name::Whiteout(path.with_file_name(OsStr::from_bytes(hidden)))),
        }
    } else {
        Ok(Name::Path(path))
    }
}

/// Returns the path without `.` and superfluous slashes.
pub(super) fn clean(name: &[u8]) -> Result<PathBuf, Fault> {
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Fault::Escape { name: text(name) }),
            part if part.len() > NAME_MAX || part.contains(&0) => {
                return Err(Fault::Name { name: text(name) });
            }
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    if path.as_os_str().len() > PATH_MAX {
        return Err(Fault::Name { name: text(name) });
    }
    Ok(path)
}

fn text(name: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(name)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_below_the_root_and_never_above() {
        for (given, expected) in
            [("./a//b/", "a/b"), ("/etc/passwd", "etc/passwd"), ("./", ""), ("a/./b", "a/b")]
        {
            assert_eq!(name(given.as_bytes()).unwrap(), Name::Path(expected.into()), "{given}");
        }
        for given in
            ["../a", "a/../b", "a/..", "/..", ".wh...", "d/.wh..", "d/.wh.", "a\0b", &"x".repeat(256)]
        {
            assert!(name(given.as_bytes()).is_err(), "{given}");
        }
        assert!(name("x/".repeat(2100).as_bytes()).is_err());
    }

    #[test]
    fn whiteouts_name_what_they_hide() {
        for (given, expected) in [
            ("d/.wh.x", Name::Whiteout("d/x".into())),
            (".wh.x", Name::Whiteout("x".into())),
            ("d/.wh..wh..opq", Name::Opaque("d".into())),
            ("./.wh..wh..opq", Name::Opaque("".into())),
            (".wh..wh.plnk/1.2", Name::Ignored),
            (".wh..wh.aufs", Name::Ignored),
            ("d/.wh...x", Name::Whiteout("d/..x".into())),
        ] {
            assert_eq!(name(given.as_bytes()).unwrap(), expected, "{given}");
        }
    }
}
