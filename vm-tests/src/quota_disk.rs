//! A file system on which a quota is soon used up, while it is not full.

use std::path::{Path, PathBuf};

use base::process::Cmd;

/// A Btrfs in a file with a subvolume whose quota can be changed, until it is dropped. Its tools come with `cargo xtask setup`.
#[derive(Debug)]
pub struct QuotaDisk {
    mounted: PathBuf,
    limited: PathBuf,
}

impl QuotaDisk {
    /// Mounts one at the directory `at`, with its data in the new file `image`.
    ///
    /// # Panics
    /// When this user may not.
    pub async fn mount(at: &Path, image: &Path) -> Self {
        run(&["truncate", "--size=1G"], &[image]).await;
        run(&["mkfs.btrfs", "--quiet"], &[image]).await;
        run(&["mount", "-o", "loop"], &[image, at]).await;
        let it = Self { mounted: at.to_owned(), limited: at.join("limited") };
        run(&["btrfs", "quota", "enable"], &[at]).await;
        run(&["btrfs", "subvolume", "create"], &[&it.limited]).await;
        it
    }

    /// The directory that the quota is for.
    pub fn path(&self) -> &Path {
        &self.limited
    }

    /// Lets what lies there grow by `bytes` at most.
    ///
    /// # Panics
    /// When the file system's tools fail.
    pub async fn allow(&self, bytes: u64) {
        run(&["btrfs", "filesystem", "sync"], &[&self.limited]).await;
        let shown = Cmd::new("btrfs").args(["qgroup", "show", "-f", "--raw"]).arg(&self.limited).text().await;
        let shown = shown.expect("the use can be asked for");
        let used = shown.lines().last().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let limit = (used.expect("the use is a number") + bytes).to_string();
        run(&["btrfs", "qgroup", "limit", &limit], &[&self.limited]).await;
    }

    /// Takes the limit away.
    ///
    /// # Panics
    /// When the file system's tools fail.
    pub async fn lift(&self) {
        run(&["btrfs", "qgroup", "limit", "none"], &[&self.limited]).await;
    }
}

impl Drop for QuotaDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.mounted, rustix::mount::UnmountFlags::DETACH);
    }
}

async fn run(words: &[&str], paths: &[&Path]) {
    let command = Cmd::new(words[0]).args(&words[1..]).args(paths);
    command.output().await.expect("the test may make and mount a file system");
}
