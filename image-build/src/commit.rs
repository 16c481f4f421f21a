//! The commit that an image is built from.

use std::path::{Path, PathBuf};

use base::events::{Event, Reporter};
use base::process::{Cmd, ProcessError};

/// The value of the commit where there is none.
const UNKNOWN: &str = "unknown";

/// The setting that makes git trust a checkout. git's message names it when it does not.
const TRUST: &str = "safe.directory";

/// What git says outside of every repository.
const NO_REPOSITORY: &str = "not a git repository";

/// git refuses to read the commit of the checkout.
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

/// Reads the commit of the checkout, with "-dirty" when the work tree differs. An unpacked archive can be built as well: it has
/// no commit, which is reported.
///
/// # Errors
/// When there is one that git refuses to read for this user.
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
            let text = format!(
                "the image will not say which commit it is of, and so cannot be published: {}",
                reason(workspace, &error.to_string())
            );
            reporter.report(&Event::Notice(&text));
            Ok(UNKNOWN.to_owned())
        }
    }
}

/// Why there is no commit, from what git said.
fn reason(workspace: &Path, said: &str) -> String {
    let last = said.lines().last().unwrap_or_default();
    if last.contains(NO_REPOSITORY) {
        return format!("`{}` is in no git repository", workspace.display());
    }
    last.strip_prefix("fatal: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what is reported.
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
    async fn a_checkout_has_a_commit_and_an_unpacked_archive_reports_none() {
        let (dir, heard) = (tempfile::tempdir().unwrap(), Heard::default());
        assert_eq!(of(dir.path(), &heard).await.unwrap(), UNKNOWN);
        let reported = heard.0.lock().unwrap().concat();
        assert!(
            reported.ends_with(&format!(
                "cannot be published: `{}` is in no git repository",
                dir.path().display()
            )),
            "{reported}"
        );
        git(dir.path(), "init --quiet").await;
        git(dir.path(), "commit --quiet --allow-empty --message=m").await;
        let sha = of(dir.path(), &heard).await.unwrap();
        assert_eq!(sha.len(), 40);
        std::fs::write(dir.path().join("new"), "").unwrap();
        assert_eq!(of(dir.path(), &heard).await.unwrap(), format!("{sha}-dirty"));
        assert_eq!(heard.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_checkout_that_git_does_not_trust_is_reported_with_the_setting() {
        let argv = "git rev-parse HEAD".to_owned();
        let tail = "fatal: detected dubious ownership".to_owned();
        let source = ProcessError::Failed { argv, status: "exited with status 128".to_owned(), tail };
        let error = Untrusted { dir: "/checkout".into(), source };
        assert!(error.to_string().contains("does not trust the checkout `/checkout`"));
        assert!(error.hint().starts_with("run `git config --global --add safe.directory /checkout`"));
    }
}
