//! mmdebstrap, in such a way that nothing of it outlives the build that has started it.

use std::path::Path;
use std::time::Duration;

use base::process::Cmd;

/// How long it may take to remove its half-made root, of which it alone can tell what is in there.
const GRACE: Duration = Duration::from_secs(20);

/// mmdebstrap without arguments.
///
/// As root it mounts what a root needs, and installs packages in sessions of their own: it gets namespaces for both, which end
/// with it, even when it is killed. As another user it makes such namespaces itself.
pub(crate) fn command() -> Cmd {
    in_namespaces(rustix::process::geteuid().is_root()).grace(GRACE)
}

/// Removes everything in `dir`, which another user than root has had mmdebstrap make: the files are those of subordinate users,
/// whom only the namespace that they were made in can speak for.
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
    fn root_gets_namespaces_and_others_make_their_own() {
        assert_eq!(in_namespaces(true).argv(), "unshare --mount --pid --kill-child mmdebstrap");
        assert_eq!(in_namespaces(false).argv(), "mmdebstrap");
    }

    #[test]
    fn a_root_of_others_is_emptied_in_the_namespace_that_it_was_made_in() {
        assert_eq!(
            empty(Path::new("/var/tmp/stage/root")).argv(),
            "mmdebstrap --unshare-helper find /var/tmp/stage/root -mindepth 1 -delete"
        );
    }
}
