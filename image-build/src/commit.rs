//! The commit that an image is built from.

use std::path::{Path, PathBuf};

use base::events::{Event, Reporter};
use base::process::{Cmd, ProcessError};

/// What stands for the commit where there is none.
const UNKNOWN: &str = "unknown";

/// What git's message has in it when it does not trust a checkout: the setting that says it may.
const TRUST: &str = "safe.directory";

/// git does not say what commit the checkout is at, and could.
#[derive(Debug, thiserror::Error)]
#[error("git does not trust the checkout `{}`, because it belongs to another user: the image would not say which commit it is of", dir.display())]
pub struct Untrusted {
    /// The checkout.
    pub dir: PathBuf,
    /// What git said.
    #[source]
    source: ProcessError,
}

impl Untrusted {
    /// What to do next.
    pub fn hint(&self) -> String {
        format!(
            "run `git config --global --add {TRUST} {}`, or build as the user that it belongs to",
            self.dir.display()
        )
    }
}

/// The commit that the checkout is at, with "-dirty" when the work tree differs. Building from an unpacked archive is fine: then there is
/// none, which is said.
///
/// # Errors
/// When there is one that git does not tell this user.
pub async fn of(workspace: &Path, reporter: &dyn Reporter) -> Result<String, Untrusted> {
    let git = |args: &[&str]| Cmd::new("git").args(args).current_dir(workspace);
    match git(&["rev-parse", "HEAD"]).text().await {
        Ok(sha) => Ok(match git(&["status", "--porcelain"]).text().await {
            Ok(changes) if changes.is_empty() => sha,
            _ => format!("{sha}-dirty"),
        }),
        Err(source) if source.to_string().contains(TRUST) => {
            Err(Untrusted { dir: workspace.to_owned(), source })
        }
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let text =
                format!("the image will not say which commit it is of, and so cannot be published: {reason}");
            reporter.report(&Event::Notice(&text));
            Ok(UNKNOWN.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what it is told.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Reporter for Heard {
        fn report(&self, event: &Event<'_>) {
            if let Event::Notice(text) = event {
                self.0.lock().unwrap().push((*text).to_owned());
            }
        }
    }

    async fn git(dir: &Path, args: &str) {
        let git = Cmd::new("git").args(["-c", "user.name=n", "-c", "user.email=e"]).args(args.split(' '));
        git.current_dir(dir).output().await.unwrap();
    }

    #[tokio::test]
    async fn a_checkout_has_a_commit_and_an_unpacked_archive_says_that_it_has_none() {
        let (dir, heard) = (tempfile::tempdir().unwrap(), Heard::default());
        assert_eq!(of(dir.path(), &heard).await.unwrap(), UNKNOWN);
        let told = heard.0.lock().unwrap().concat();
        assert!(told.contains("cannot be published") && told.contains("not a git repository"), "{told}");
        git(dir.path(), "init --quiet").await;
        git(dir.path(), "commit --quiet --allow-empty --message=m").await;
        let sha = of(dir.path(), &heard).await.unwrap();
        assert_eq!(sha.len(), 40);
        std::fs::write(dir.path().join("new"), "").unwrap();
        assert_eq!(of(dir.path(), &heard).await.unwrap(), format!("{sha}-dirty"));
        assert_eq!(heard.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_checkout_that_git_does_not_trust_is_told_with_the_setting() {
        let argv = "git rev-parse HEAD".to_owned();
        let tail = "fatal: detected dubious ownership".to_owned();
        let source = ProcessError::Failed { argv, status: "exited with status 128".to_owned(), tail };
        let error = Untrusted { dir: "/checkout".into(), source };
        assert!(error.to_string().contains("does not trust the checkout `/checkout`"));
        assert!(error.hint().starts_with("run `git config --global --add safe.directory /checkout`"));
    }
}
