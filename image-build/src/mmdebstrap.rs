//! Starts mmdebstrap so that none of its processes outlives the build.

use std::path::Path;
use std::time::Duration;

use base::process::Cmd;

/// How long it may take to remove its incomplete root, of which only it knows the content.
const GRACE: Duration = Duration::from_secs(20);

/// Returns mmdebstrap without arguments.
///
/// As root it mounts what a root needs, and installs packages in sessions of their own: it runs in namespaces for both, which end
/// with it, even when it is killed. As another user it creates such namespaces itself.
pub(crate) fn command() -> Cmd {
    in_namespaces(rustix::process::geteuid().is_root()).grace(GRACE)
}

/// Removes everything in `dir`, which mmdebstrap has created for another user than root: the files belong to subordinate users,
/// who exist only in a namespace like the one in which the files were created.
pub(crate) fn empty(dir: &Path) -> Cmd {
    Cmd::new("mmdebstrap").args(["--unshare-helper", "find"]).arg(dir).args(["-mindepth", "1", "-delete"])
}

fn in_namespaces(root: bool) -> Cmd {
    if root {
        Cmd::new("unshare").args(["--mount", "--pid", "--kill-child", "mmdebstrap"])
    } else {
        Cmd::new("mmdebstrap")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gets_namespaces_and_others_create_their_own() {
        assert_eq!(in_namespaces(true).argv(), "unshare --mount --pid --kill-child mmdebstrap");
        assert_eq!(in_namespaces(false).argv(), "mmdebstrap");
    }

    #[test]
    fn a_root_of_another_user_is_emptied_in_a_namespace_like_its_own() {
        assert_eq!(
            empty(Path::new("/var/tmp/stage/root")).argv(),
            "mmdebstrap --unshare-helper find /var/tmp/stage/root -mindepth 1 -delete"
        );
    }
}
