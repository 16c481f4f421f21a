//! The package managers and their commands.

use std::path::Path;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// Debian, Ubuntu and their kin.
    Apt,
    /// Fedora and its kin.
    Dnf,
    /// Arch and its kin.
    Pacman,
    /// macOS.
    Brew,
}

/// Where apt keeps its package lists.
const APT_LISTS: &str = "/var/lib/apt/lists";

/// Seconds that apt waits for another package manager to finish.
const APT_LOCK_SECONDS: &str = "DPkg::Lock::Timeout=300";

impl Manager {
    /// Every manager that this program knows.
    pub(crate) const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    /// This host's.
    pub(crate) fn of_this_host() -> Option<Self> {
        Self::ALL.into_iter().find(|manager| which::which(manager.program()).is_ok())
    }

    /// The program that is called.
    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    /// Whether it wants to be run by root.
    pub(super) fn wants_root(self) -> bool {
        self != Self::Brew
    }

    /// Command that installs `packages` without asking anything; `options` are for apt.
    pub(super) fn install(self, packages: &[String], options: &[String]) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Apt => &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "-q",
                "-y",
                "-o",
                APT_LOCK_SECONDS,
                "--no-install-recommends",
                // Nothing that is there may go for this.
                "--no-remove",
                "install",
            ],
            Self::Dnf => &["dnf", "-y", "--setopt=install_weak_deps=False", "install"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        };
        let options = if self == Self::Apt { options } else { &[] };
        arguments.iter().map(ToString::to_string).chain(options.iter().chain(packages).cloned()).collect()
    }

    /// Command that brings the lists of packages up to date, for managers that do not do it by themselves; `options` are for
    /// apt.
    pub(super) fn refresh(self, options: &[String]) -> Option<Vec<String>> {
        let arguments = ["apt-get", "-q", "-o", APT_LOCK_SECONDS, "update"].map(str::to_owned);
        (self == Self::Apt).then(|| arguments.iter().chain(options).cloned().collect())
    }

    /// Command that ends what an interrupted installation has left half-done, for managers that refuse to continue before that.
    pub(super) fn repair(self) -> Option<Vec<String>> {
        let command = ["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--configure", "-a"];
        (self == Self::Apt).then(|| command.map(str::to_owned).into())
    }

    /// Whether it has no lists of packages at all, as in a fresh container.
    pub(super) fn has_no_lists(self) -> bool {
        self == Self::Apt && !has_lists(Path::new(APT_LISTS))
    }
}

fn has_lists(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("_Packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manager_installs_without_asking() {
        let packages = ["a".to_owned(), "b".to_owned()];
        let commands = Manager::ALL.map(|manager| manager.install(&packages, &[]).join(" "));
        insta::assert_snapshot!(commands.join("\n"), @r"
        env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends --no-remove install a b
        dnf -y --setopt=install_weak_deps=False install a b
        pacman -S --needed --noconfirm a b
        brew install a b
        ");
    }

    #[test]
    fn options_of_apt_are_for_apt_only() {
        let (packages, options) = (["a".to_owned()], ["-tnew".to_owned()]);
        assert!(Manager::Apt.install(&packages, &options).ends_with(&["-tnew".to_owned(), "a".to_owned()]));
        assert_eq!(Manager::Brew.install(&packages, &options), ["brew", "install", "a"]);
        assert_eq!(Manager::Apt.refresh(&options).unwrap().last().unwrap(), "-tnew");
        assert_eq!(Manager::Dnf.refresh(&options), None);
        assert_eq!(Manager::Dnf.repair(), None);
    }

    #[test]
    fn empty_lists_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("partial")).unwrap();
        assert!(!has_lists(dir.path()));
        std::fs::write(dir.path().join("a.test_dists_x_main_binary-amd64_Packages.lz4"), "").unwrap();
        assert!(has_lists(dir.path()));
    }
}
