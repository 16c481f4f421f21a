//! Links that lead nowhere, as to a disk that is not mounted: what lies behind them cannot be seen, and is not gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A link whose target is not there.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is a link to `{}`, which is not there", link.display(), target.display())]
pub struct Dangling {
    /// The link.
    pub link: PathBuf,
    /// What it says.
    pub target: PathBuf,
}

impl Dangling {
    /// The link at `path`, or in the way to it, because of which nothing is found there.
    fn on_the_way_to(path: &Path) -> Option<Self> {
        let link = path.ancestors().find(|path| fs::symlink_metadata(path).is_ok())?;
        let leads_nowhere = fs::metadata(link).is_err();
        let target = fs::read_link(link).ok().filter(|_| leads_nowhere)?;
        Some(Self { link: link.to_owned(), target })
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        format!("mount or put back what it leads to, or remove the link: `rm '{}'`", self.link.display())
    }
}

/// What was `found` at `path`, or `None` when nothing is there.
///
/// # Errors
/// When it cannot be looked at: also when there is a link that leads nowhere.
pub fn if_present<T>(path: &Path, found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if crate::files::is_absence(&error) => match Dangling::on_the_way_to(path) {
            Some(dangling) => Err(io::Error::other(dangling)),
            None => Ok(None),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_behind_a_link_that_leads_nowhere_is_not_taken_for_gone() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/no/such/disk", &link).unwrap();
        for path in [link.clone(), link.join("below/it")] {
            let error = if_present(&path, fs::metadata(&path)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{}` is a link to `/no/such/disk`, which is not there", link.display())
            );
            assert!(crate::advice::about(&path, &error).unwrap().contains("remove the link"));
        }
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        symlink(&file, dir.path().join("good")).unwrap();
        for absent in ["none", "file/below", "good/below"] {
            let path = dir.path().join(absent);
            assert!(if_present(&path, fs::metadata(&path)).unwrap().is_none(), "{absent}");
        }
    }
}
