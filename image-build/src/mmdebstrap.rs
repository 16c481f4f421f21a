//! mmdebstrap, in such a way that nothing of it outlives the build that has started it.

use std::time::Duration;

use host::process::Cmd;

/// How long it may take to remove its half-made root, of which it alone can tell what is in there.
const GRACE: Duration = Duration::from_secs(20);

/// mmdebstrap without arguments.
///
/// As root it mounts what a root needs, and installs packages in sessions of their own: it gets namespaces for both, which end
/// with it, even when it is killed. As another user it makes such namespaces itself.
pub(crate) fn command() -> Cmd {
    in_namespaces(rustix::process::geteuid().is_root()).grace(GRACE)
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
}
