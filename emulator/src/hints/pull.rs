//! Which command helps when no image could be pulled.

use fetch::download::DownloadError;
use instances::images::pull;
use instances::name::InstanceName;
use release::github::find::FindError;
use vm::boot_files::BootFilesError;

use super::{about, local};
use crate::pull::PullError;

const SEE_RELEASES: &str = "see which images there are with `emulator list-releases`";

/// What to do about an image that could not be pulled.
pub(super) fn of(error: &PullError, name: &InstanceName) -> Option<String> {
    match error {
        PullError::NoRepo => Some("name it with `--repo OWNER/NAME`, or set `EMULATOR_REPO`".to_owned()),
        PullError::Offline(arch) => Some(format!(
            "pull one while there is a network: `emulator pull --repo OWNER/NAME --arch {arch}`"
        )),
        PullError::Token(error) => Some(error.hint()),
        PullError::Api(error) => error.hint(),
        PullError::Unasked(error) => error.hint(),
        PullError::Find(error) => find(error),
        PullError::Fork { .. } => {
            Some("look at the code first; if you trust it, confirm with `--allow-fork`".to_owned())
        }
        PullError::Image(error) => image(error, name),
        PullError::Address(_) => None,
    }
}

fn find(error: &FindError) -> Option<String> {
    match error {
        FindError::NoRelease { anonymous: true, repo, .. } => Some(format!(
            "see what there is with `emulator list-releases --repo {repo}`; a private repository needs `GITHUB_TOKEN`"
        )),
        FindError::NoRelease { repo, .. }
        | FindError::NoReleaseOfBranch { repo, .. }
        | FindError::NoAsset { repo, .. } => {
            Some(format!("see what there is with `emulator list-releases --repo {repo}`"))
        }
        FindError::NoPullRequest { .. } | FindError::NoSuchRun { .. } => {
            Some("name another repository with `--repo OWNER/NAME`".to_owned())
        }
        _ => error.hint(),
    }
}

fn image(error: &pull::PullError, name: &InstanceName) -> Option<String> {
    match error {
        pull::PullError::Download { source, .. } => download(source),
        pull::PullError::NoImage { source: BootFilesError::Manifest { .. }, .. } => Some(
            "take an image that is as old as this program, or update the program: `emulator version` shows what it reads"
                .to_owned(),
        ),
        pull::PullError::NoImage { source: BootFilesError::OtherStack { found, .. }, .. } => {
            Some(format!("if you want that stack: `--stack {found}`"))
        }
        pull::PullError::NoImage { .. } => Some(SEE_RELEASES.to_owned()),
        pull::PullError::File(_) | pull::PullError::Qemu(_) => about(error, name),
    }
}

fn download(error: &DownloadError) -> Option<String> {
    match error {
        error if error.is_gone() => Some(SEE_RELEASES.to_owned()),
        DownloadError::Local(error) => local(error),
        _ => error.hint(),
    }
}
