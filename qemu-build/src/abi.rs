//! What a compiled QEMU depends on in its host.

use base::process::Cmd;
use etc_os_release::OsRelease;
use serde::Serialize;

/// Identity of the host's system libraries. A QEMU built against one may not run on another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HostAbi {
    /// Processor architecture as Rust names it: `x86_64`.
    pub(crate) arch: String,
    /// Operating system as Rust names it: "linux".
    pub(crate) os: String,
    /// Distribution and its release: "debian 12", "arch" where there are no releases.
    pub(crate) distribution: String,
    /// C library: "glibc 2.36"; empty if `getconf` does not report it.
    pub(crate) libc: String,
}

impl HostAbi {
    /// Reads the identity of this host.
    pub(crate) async fn of_this_host() -> Self {
        let distribution = match OsRelease::open() {
            Ok(release) => distribution(&release),
            // macOS has no os-release(5).
            Err(_) => Cmd::new("sw_vers").arg("-productVersion").text().await.unwrap_or_default(),
        };
        let libc = Cmd::new("getconf").arg("GNU_LIBC_VERSION").text().await.unwrap_or_default();
        let (arch, os) = (std::env::consts::ARCH.to_owned(), std::env::consts::OS.to_owned());
        Self { arch, os, distribution, libc }
    }
}

fn distribution(release: &OsRelease) -> String {
    match release.version_id() {
        Some(version) => format!("{} {version}", release.id()),
        None => release.id().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_named_with_its_release_if_it_has_one() {
        let name = |text: &str| distribution(&text.parse().unwrap());
        assert_eq!(name("ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n"), "debian 12");
        assert_eq!(name("NAME='Arch Linux'\nID=arch\n"), "arch");
    }
}
