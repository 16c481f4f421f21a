//! Paths that records, JSON output and QEMU's monitor can name: those that are text.

use std::path::{Path, PathBuf};

use crate::error::{Class, Explain};

/// A path that is not valid UTF-8, and where it came from.
#[derive(Debug, thiserror::Error)]
#[error("`{named_by}` leads to `{}`, which is not valid UTF-8: neither records nor QEMU's monitor can name it", path.display())]
pub struct NotUtf8 {
    /// The variable or the flag.
    pub named_by: &'static str,
    /// The path, as it is.
    pub path: PathBuf,
}

impl Explain for NotUtf8 {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(format!("rename it, or let `{}` name a link to it, in ASCII or UTF-8", self.named_by))
    }
}

/// Verifies that the path that `named_by` leads to is valid UTF-8.
///
/// # Errors
/// When it is not.
pub fn check(named_by: &'static str, path: &Path) -> Result<(), NotUtf8> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(NotUtf8 { named_by, path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_is_no_text_is_refused_with_what_has_led_to_it() {
        check("HOME", Path::new("/x/café")).unwrap();
        let error = check("--image", Path::new(OsStr::from_bytes(b"/x/caf\xe9"))).unwrap_err();
        assert!(
            error.to_string().starts_with("`--image` leads to `/x/caf\u{fffd}`, which is not valid UTF-8")
        );
        assert_eq!(error.class(), Class::Usage);
    }
}
