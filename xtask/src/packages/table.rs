//! `prerequisites.toml`.

use serde::Deserialize;

use super::probe::Probe;
use super::{Feature, Manager, Missing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    prerequisite: Vec<Prerequisite>,
}

/// One thing that some feature needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prerequisite {
    /// What people call it.
    pub(super) name: String,
    /// What needs it.
    pub(super) features: Vec<Feature>,
    /// Processor architectures of the hosts that need it; empty for all.
    #[serde(default)]
    architectures: Vec<String>,
    /// How to see whether it is there.
    pub(super) probe: Probe,
    packages: Option<Packages>,
    /// A crate to install with cargo, "name@version".
    #[serde(rename = "cargo")]
    crate_name: Option<String>,
}

/// The packages by manager. No manager may be left out: each answers for itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packages {
    apt: Answer,
    dnf: Answer,
    pacman: Answer,
    brew: Answer,
}

/// What a package manager has for a prerequisite.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Install(Vec<String>),
    Other(Other),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Other {
    /// The system has it, or the need does not arise there.
    NotNeeded,
    /// There is no package.
    Unavailable,
}

/// How to bring something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fix {
    /// With packages.
    Packages(Vec<String>),
    /// With `cargo install`.
    Crate(String),
    /// Not at all.
    None,
}

/// Every prerequisite.
pub(super) fn all() -> Vec<Prerequisite> {
    let table: Table =
        toml::from_str(include_str!("../../prerequisites.toml")).expect("a test parses the table");
    table.prerequisite
}

impl Prerequisite {
    /// Whether a host with this manager and processor needs it at all.
    pub(super) fn is_needed_on(&self, manager: Option<Manager>, architecture: &str) -> bool {
        let here = self.architectures.is_empty() || self.architectures.iter().any(|one| one == architecture);
        here && !matches!(self.answer(manager), Some(Answer::Other(Other::NotNeeded)))
    }

    /// How a host with this manager gets it.
    pub(super) fn fix(&self, manager: Option<Manager>) -> Fix {
        match (&self.crate_name, self.answer(manager)) {
            (Some(name), _) => Fix::Crate(name.clone()),
            (None, Some(Answer::Install(packages))) => Fix::Packages(packages.clone()),
            (None, _) => Fix::None,
        }
    }

    /// This, as something that a host with this manager lacks.
    pub(super) fn missing(self, manager: Option<Manager>) -> Missing {
        Missing { fix: self.fix(manager), name: self.name, features: self.features }
    }

    fn answer(&self, manager: Option<Manager>) -> Option<&Answer> {
        let packages = self.packages.as_ref()?;
        Some(match manager? {
            Manager::Apt => &packages.apt,
            Manager::Dnf => &packages.dnf,
            Manager::Pacman => &packages.pacman,
            Manager::Brew => &packages.brew,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prerequisite_says_what_it_is_for_and_where_it_comes_from() {
        let all = all();
        for one in &all {
            assert!(!one.features.is_empty(), "{}", one.name);
            assert!(one.packages.is_some() != one.crate_name.is_some(), "{}", one.name);
        }
        let mut names: Vec<_> = all.iter().map(|one| &one.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len(), "a name is used twice");
    }

    #[test]
    fn every_feature_is_available_unless_a_manager_says_otherwise() {
        for feature in Feature::ALL {
            for manager in Manager::ALL {
                let wanted: Vec<_> =
                    all().into_iter().filter(|one| one.features.contains(&feature)).collect();
                let needed = wanted.iter().filter(|one| one.is_needed_on(Some(manager), "x86_64")).count();
                assert!(needed > 0, "{feature:?} needs nothing under {manager:?}");
                for one in &wanted {
                    let empty = Fix::Packages(Vec::new());
                    assert_ne!(one.fix(Some(manager)), empty, "{} under {manager:?}", one.name);
                }
            }
        }
    }

    #[test]
    fn on_debian_everything_can_be_installed() {
        for one in all() {
            assert!(!matches!(one.fix(Some(Manager::Apt)), Fix::None), "{}", one.name);
        }
    }

    #[test]
    fn the_checks_and_the_tests_without_machines_run_on_macos_too() {
        let (all, brew) = (all(), Some(Manager::Brew));
        let needed = all.iter().filter(|one| one.is_needed_on(brew, "aarch64"));
        for one in needed.filter(|one| one.features.contains(&Feature::Test)) {
            assert_ne!(one.fix(brew), Fix::None, "{}", one.name);
        }
    }

    #[test]
    fn what_cargo_installs_is_pinned() {
        let crates = all().into_iter().filter_map(|one| one.crate_name);
        for name in crates {
            let (_, version) = name.split_once('@').unwrap_or_else(|| panic!("`{name}` has no version"));
            semver::Version::parse(version).unwrap();
        }
    }

    #[test]
    fn without_a_known_manager_only_crates_can_be_installed() {
        for one in all().into_iter().filter(|one| one.is_needed_on(None, "x86_64")) {
            assert_eq!(one.fix(None) == Fix::None, one.crate_name.is_none(), "{}", one.name);
        }
    }

    #[test]
    fn a_manager_that_is_left_out_is_an_error() {
        let text = "[[prerequisite]]\nname = 'x'\nfeatures = ['test']\nprobe = { command = 'x' }\n\
                    packages = { apt = ['x'], dnf = ['x'], pacman = ['x'] }";
        let error = toml::from_str::<Table>(text).unwrap_err().to_string();
        assert!(error.contains("missing field `brew`"), "{error}");
    }
}
