//! What the builds and tests take from the host: finding what is missing, and installing it with the host's package
//! manager.
//!
//! `prerequisites.toml` says what is needed for which feature, how to see it, and which packages have it. Everything is
//! looked for on the host itself, so what was installed by hand counts.

mod install;
mod manager;
mod probe;
mod table;

use std::fmt::{self, Write as _};

use serde::Deserialize;

pub(crate) use install::{InstallError, fetch_lists_if_none, install_packages, install_with_apt_options};
pub(crate) use manager::Manager;
use table::{Fix, Prerequisite};

use base::events::{Phase, Reporter};

/// A part of the work that needs something from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Feature {
    /// Compiling QEMU.
    BuildQemu,
    /// Making the base of an image from Debian's archive.
    Bootstrap,
    /// Running programs of another architecture while a base is made.
    Foreign,
    /// Making an image from a base.
    Provision,
    /// Copying container images from Docker's daemon and from registries.
    ContainerImages,
    /// Running the checks, and the tests without virtual machines.
    Test,
    /// Running the tests that boot virtual machines.
    VmTest,
    /// Running the one of them that verifies an image.
    Smoke,
    /// Measuring a stack beside its programs without a machine.
    StackBench,
    /// Building the program for other machines than this.
    Dist,
}

impl Feature {
    /// Every feature.
    pub(crate) const ALL: [Self; 10] = [
        Self::BuildQemu,
        Self::Bootstrap,
        Self::Foreign,
        Self::Provision,
        Self::ContainerImages,
        Self::Test,
        Self::VmTest,
        Self::Smoke,
        Self::StackBench,
        Self::Dist,
    ];
}

/// Something that the host lacks.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// What people call it.
    pub(crate) name: String,
    fix: Fix,
    features: Vec<Feature>,
}

impl Missing {
    /// Whether this host's package manager, or cargo, has it.
    pub(crate) fn can_be_installed(&self) -> bool {
        self.fix != Fix::None
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fix {
            Fix::Packages(packages) => write!(f, "{}: package `{}`", self.name, packages.join("`, `")),
            Fix::Crate(name) => write!(f, "{}: `cargo install --locked {name}`", self.name),
            Fix::None => write!(f, "{}: this host's package manager does not have it", self.name),
        }
    }
}

/// Why the host still lacks something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackagesError {
    /// The host's package manager is none that this program knows, or does not have it.
    #[error("this host lacks what cannot be installed here:{}", lines(.0))]
    Unavailable(Vec<Missing>),
    /// Installing failed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Everything was installed, and something is missing all the same.
    #[error("still missing after the installation:{}", lines(.0))]
    StillMissing(Vec<Missing>),
}

impl PackagesError {
    /// The command to run next. `arch` is this host's, as images call it.
    pub(crate) fn hint(&self, arch: &str) -> Option<String> {
        match self {
            Self::Unavailable(missing) => {
                Some(if missing.iter().all(|one| one.features == [Feature::Bootstrap]) {
                    format!(
                        "install it by hand, or do without: `cargo xtask build-image {arch} --base cloud`"
                    )
                } else {
                    "install it by hand, and run `cargo xtask setup --check`".to_owned()
                })
            }
            Self::Install(error) => error.hint(),
            Self::StillMissing(_) => None,
        }
    }
}

fn lines(missing: &[Missing]) -> String {
    missing.iter().fold(String::new(), |mut text, one| {
        let _ = write!(text, "\n  {one}");
        text
    })
}

/// What the host lacks for `features`, in the order of the table. Takes a few hundredths of a second.
pub(crate) async fn missing(features: &[Feature]) -> Vec<Missing> {
    let manager = Manager::of_this_host();
    let wanted: Vec<Prerequisite> = table::all()
        .into_iter()
        .filter(|one| one.features.iter().any(|feature| features.contains(feature)))
        .filter(|one| one.is_needed_on(manager, std::env::consts::ARCH))
        .collect();
    let there = probe::all(wanted.iter().map(|one| &one.probe)).await;
    let lacking = wanted.into_iter().zip(there).filter(|(_, there)| !there);
    lacking.map(|(one, _)| one.missing(manager)).collect()
}

/// Makes the host fit for `features`: installs what is missing and looks again. Silent and quick when nothing is.
///
/// # Errors
/// When something cannot be installed here, or the installation fails.
pub(crate) async fn ensure(features: &[Feature], reporter: &dyn Reporter) -> Result<(), PackagesError> {
    let lacking = missing(features).await;
    if lacking.is_empty() {
        return Ok(());
    }
    let (helpless, fixable): (Vec<_>, Vec<_>) =
        lacking.into_iter().partition(|missing| !missing.can_be_installed());
    if !helpless.is_empty() {
        return Err(PackagesError::Unavailable(helpless));
    }
    let names: Vec<&str> = fixable.iter().map(|missing| missing.name.as_str()).collect();
    let phase =
        Phase::start(reporter, "setup", &format!("Install what this host lacks: {}", names.join(", ")));
    let mut packages = Vec::new();
    let mut crates = Vec::new();
    for missing in &fixable {
        match &missing.fix {
            Fix::Packages(names) => packages.extend(names.iter().cloned()),
            Fix::Crate(name) => crates.push(name.clone()),
            Fix::None => {}
        }
    }
    packages.sort();
    packages.dedup();
    install_packages(&packages, &phase).await?;
    install::crates(&crates, &phase).await?;
    let lacking = missing(features).await;
    if !lacking.is_empty() {
        return Err(PackagesError::StillMissing(lacking));
    }
    phase.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_thing_is_shown_with_what_brings_it() {
        let missing = |fix| Missing { name: "ninja".to_owned(), fix, features: vec![Feature::BuildQemu] };
        let packages = Fix::Packages(vec!["ninja-build".to_owned(), "samurai".to_owned()]);
        assert_eq!(missing(packages).to_string(), "ninja: package `ninja-build`, `samurai`");
        assert_eq!(missing(Fix::Crate("n".to_owned())).to_string(), "ninja: `cargo install --locked n`");
        let error = PackagesError::Unavailable(vec![missing(Fix::None)]);
        assert_eq!(
            error.to_string(),
            "this host lacks what cannot be installed here:\n  ninja: this host's package manager does not have it"
        );
    }
    #[test]
    fn the_way_without_bootstrap_tools_is_shown_when_nothing_else_is_missing() {
        let hint = |manager| {
            let all = table::all().into_iter();
            let wanted = all.filter(|one| one.features.contains(&Feature::Bootstrap));
            let missing = wanted.map(|one| one.missing(manager)).filter(|one| !one.can_be_installed());
            PackagesError::Unavailable(missing.collect()).hint("arm64").unwrap()
        };
        assert_eq!(
            hint(Some(Manager::Dnf)),
            "install it by hand, or do without: `cargo xtask build-image arm64 --base cloud`"
        );
        assert_eq!(hint(None), "install it by hand, and run `cargo xtask setup --check`");
    }
}
