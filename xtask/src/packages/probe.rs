//! Looking at the host itself. Probes that need a program share one run of it: when all is well, which is nearly always, a
//! whole table costs three short processes.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::Deserialize;

use base::process::Cmd;
use base::variables;

/// Directories of programs that administrators use, which an ordinary user's `PATH` may lack.
const SBIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// How to see whether something is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields, rename_all_fields = "kebab-case")]
pub(super) enum Probe {
    /// A program of a fitting version.
    Version { command: String, version: VersionReq, argument: String },
    /// A program.
    Command { command: String },
    /// A library with a pkg-config file.
    PkgConfig { pkg_config: String },
    /// A header that the C compiler finds.
    Header { header: String },
    /// A library that the C compiler finds.
    Library { library: String },
    /// A module of python3.
    Python { python: String },
    /// Any of these files.
    File { file: Vec<PathBuf> },
}

/// Whether each probe finds what it looks for, in the same order.
pub(super) async fn all<'a>(probes: impl Iterator<Item = &'a Probe>) -> Vec<bool> {
    let probes: Vec<&Probe> = probes.collect();
    let pick =
        |name: fn(&Probe) -> Option<&str>| probes.iter().filter_map(move |probe| name(probe)).collect();
    let modules = all_or_each(
        pick(|probe| match probe {
            Probe::PkgConfig { pkg_config } => Some(pkg_config),
            _ => None,
        }),
        async |names| Cmd::new("pkg-config").arg("--exists").args(names).output().await.is_ok(),
    );
    let headers = all_or_each(
        pick(|probe| match probe {
            Probe::Header { header } => Some(header),
            _ => None,
        }),
        async |names| preprocesses(names).await,
    );
    let (modules, headers) = tokio::join!(modules, headers);
    let mut results = Vec::with_capacity(probes.len());
    for probe in &probes {
        results.push(match probe {
            Probe::PkgConfig { pkg_config } => modules.contains(pkg_config.as_str()),
            Probe::Header { header } => headers.contains(header.as_str()),
            Probe::Version { command, version, argument } => says_version(command, version, argument).await,
            Probe::Command { command } => program(command).is_some(),
            Probe::Library { library } => has_library(library).await,
            Probe::Python { python } => imports(python).await,
            Probe::File { file } => file.iter().any(|path| path.exists()),
        });
    }
    results
}

/// The names that `check` accepts. It is asked for all at once; only if that fails, for each alone.
async fn all_or_each<'a>(names: Vec<&'a str>, check: impl AsyncFn(&[&str]) -> bool) -> HashSet<&'a str> {
    if names.is_empty() || check(&names).await {
        return names.into_iter().collect();
    }
    let mut found = HashSet::new();
    for name in names {
        if check(&[name]).await {
            found.insert(name);
        }
    }
    found
}

/// Path of a program, sought like `PATH` does and in the administrators' directories.
fn program(name: &str) -> Option<PathBuf> {
    let path = variables::raw("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    which::which_in(name, Some(env::join_paths(dirs).ok()?), "/").ok()
}

/// Whether the C preprocessor finds all headers.
async fn preprocesses(headers: &[&str]) -> bool {
    let includes = headers.iter().flat_map(|header| ["-include", header]);
    let preprocess =
        Cmd::new("cc").args(["-x", "c", "-E", "-o", "/dev/null"]).args(includes).arg("/dev/null");
    preprocess.output().await.is_ok()
}

/// Whether the C compiler finds the library: it prints the path then, and the bare name otherwise.
async fn has_library(library: &str) -> bool {
    let printed = Cmd::new("cc").arg(format!("-print-file-name={library}")).text().await;
    printed.is_ok_and(|path| Path::new(&path).is_absolute())
}

async fn imports(module: &str) -> bool {
    // Isolated and without site packages: the standard library is meant, and nothing else is worth loading.
    Cmd::new("python3").args(["-I", "-S", "-c", &format!("import {module}")]).output().await.is_ok()
}

/// Whether the first version in what the program prints, on either stream, fits.
async fn says_version(command: &str, wanted: &VersionReq, argument: &str) -> bool {
    let Some(path) = program(command) else { return false };
    let Ok(finished) = Cmd::new(path).arg(argument).finished().await else { return false };
    let printed = [finished.stdout, finished.stderr].concat();
    first_version(&String::from_utf8_lossy(&printed)).is_some_and(|version| wanted.matches(&version))
}

/// The first word that is a version with three parts.
fn first_version(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| Version::parse(word.trim_matches(['(', ')', ',', 'v'])).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_print() {
        let version = first_version("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0\n");
        assert_eq!(version, Some(Version::new(1, 47, 0)));
        assert_eq!(first_version("no version 12 here"), None);
    }

    #[tokio::test]
    async fn what_every_test_machine_has_is_found_and_what_none_has_is_not() {
        let probe = |text: &str| toml::from_str::<Probe>(text).unwrap();
        let there =
            [probe("command = 'sh'"), probe("file = ['/no/such', '/']"), probe("header = 'stdlib.h'")];
        let not = [
            probe("command = 'no-such-program'"),
            probe("file = ['/no/such']"),
            probe("header = 'no/such.h'"),
            probe("pkg-config = 'no-such-library'"),
            probe("library = 'libnosuch.a'"),
            probe("python = 'no_such_module'"),
            probe("command = 'cargo'\nversion = '>=999'\nargument = '--version'"),
        ];
        assert_eq!(all(there.iter().chain(&not)).await, [vec![true; 3], vec![false; 7]].concat());
    }

    #[test]
    fn a_probe_with_a_misspelt_field_is_an_error() {
        assert!(toml::from_str::<Probe>("comand = 'x'").is_err());
        assert!(toml::from_str::<Probe>("command = 'x'\nheader = 'y'").is_err());
    }
}
