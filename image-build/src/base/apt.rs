//! The archives from which the host's own apt gets Debian, so that the source code contains no address of an archive.

use base::process::{Cmd, ProcessError};

/// The format for apt-get: one line per index, fields separated by tabs.
const FORMAT: &str = "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)";

/// Addresses of Debian's archives as the host has them set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archives {
    /// The main archive; `None` where the host is not set up for Debian.
    main: Option<String>,
    /// The archive of security updates.
    security: Option<String>,
}

impl Archives {
    /// Reads the host's settings of apt. A host without apt has no archives.
    ///
    /// # Errors
    /// When apt is there and fails.
    pub(crate) async fn of_host() -> Result<Self, ProcessError> {
        let query = Cmd::new("apt-get").args(["indextargets", "--format", FORMAT, "Identifier: Packages"]);
        match query.text().await {
            Ok(listing) => Ok(Self::parse(&listing)),
            Err(ProcessError::NotFound { .. }) => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(listing: &str) -> Self {
        let address = |wanted: &str| {
            listing.lines().find_map(|line| {
                let mut fields = line.split('\t');
                let matches = fields.next() == Some("Debian") && fields.next() == Some(wanted);
                fields.next().filter(|_| matches).map(str::to_owned)
            })
        };
        Self { main: address("Debian"), security: address("Debian-Security") }
    }

    /// Sources in apt's one-line format for `suite`, or none where the host is not set up for Debian: mmdebstrap then uses
    /// its own defaults.
    pub(crate) fn sources(&self, suite: &str) -> Vec<String> {
        let Some(main) = &self.main else { return Vec::new() };
        let mut sources =
            vec![format!("deb {main} {suite} main"), format!("deb {main} {suite}-updates main")];
        sources.extend(self.security.iter().map(|security| format!("deb {security} {suite}-security main")));
        sources
    }

    /// The source of `suite` in the main archive alone: unpublished releases have no updates of their own.
    pub(crate) fn main_only(&self, suite: &str) -> Vec<String> {
        self.main.iter().map(|main| format!("deb {main} {suite} main")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debian_host_gives_its_own_archives() {
        let listing = "\tcloud-sdk\thttp://other.example/apt/\n\
            Debian\tDebian\thttp://mirror.example/debian/\n\
            Debian\tDebian-Security\thttp://mirror.example/security/\n";
        insta::assert_snapshot!(Archives::parse(listing).sources("trixie").join("\n"), @r"
        deb http://mirror.example/debian/ trixie main
        deb http://mirror.example/debian/ trixie-updates main
        deb http://mirror.example/security/ trixie-security main
        ");
    }

    #[test]
    fn another_distribution_gives_no_sources() {
        let listing = "Ubuntu\tUbuntu\thttp://mirror.example/ubuntu/\n";
        assert_eq!(Archives::parse(listing).sources("trixie"), Vec::<String>::new());
    }
}
