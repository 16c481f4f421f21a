//! The host's own QEMU, for when the pinned one cannot be built: the distribution's newest, installed if need be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::packages::{self, InstallError, Manager};
use base::events::{Event, Phase, Reporter};
use base::files::FileError;
use base::process::{Cmd, ProcessError};
use base::variables;
use etc_os_release::OsRelease;
use image::arch::Arch;
use semver::Version;

/// The oldest QEMU that has what this project is made of: `mapped-ram` came with 9.0.
pub(crate) const OLDEST: Version = Version::new(9, 0, 0);

/// Where apt reads its sources.
const SOURCES: &str = "/etc/apt/sources.list.d";

/// Debian's keys, which sign its backports too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A QEMU on `PATH` that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostQemu {
    /// Its version.
    pub(crate) version: Version,
}

/// Why the host's QEMU does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FallbackError {
    /// The distribution has only older ones.
    #[error("the newest QEMU that this host offers is {found}; {OLDEST} is needed")]
    TooOld {
        /// The version that is there.
        found: Version,
    },
    /// There is none after the installation.
    #[error("there is no QEMU on `PATH`")]
    None(#[source] ProcessError),
    /// The installation failed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The temporary list of sources cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl FallbackError {
    /// The command to run next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::TooOld { .. } | Self::None(_) => Some(format!(
                "put a QEMU of at least {OLDEST} on `PATH`, or give `cargo xtask build-qemu --source` its tarball"
            )),
            Self::Install(error) => error.hint(),
            Self::File(_) => None,
        }
    }
}

/// Gives the host's QEMU for machines of `arches`, after installing or updating it where it is too old, and says in one line which
/// one that is.
///
/// # Errors
/// When there is none of at least [`OLDEST`] to be had.
pub(crate) async fn ensure(arches: &[Arch], reporter: &dyn Reporter) -> Result<HostQemu, FallbackError> {
    let version = match installed(arches).await {
        Ok(version) if version >= OLDEST => version,
        _ => {
            install(arches, reporter).await?;
            installed(arches).await.map_err(FallbackError::None)?
        }
    };
    if version < OLDEST {
        return Err(FallbackError::TooOld { found: version });
    }
    reporter.report(&Event::Notice(&format!("continuing with this host's QEMU {version}")));
    Ok(HostQemu { version })
}

/// The oldest of the programs that are needed: they come in packages of their own.
async fn installed(arches: &[Arch]) -> Result<Version, ProcessError> {
    let mut oldest: Option<Version> = None;
    for program in programs(arches) {
        let text = Cmd::new(program).arg("--version").text().await?;
        let version = text.split_whitespace().find_map(upstream_version).unwrap_or(Version::new(0, 0, 0));
        oldest = Some(oldest.map_or(version.clone(), |other| other.min(version)));
    }
    Ok(oldest.expect("one program is always needed"))
}

fn programs(arches: &[Arch]) -> Vec<String> {
    let systems = arches.iter().map(|arch| format!("qemu-system-{}", arch.qemu()));
    systems.chain(["qemu-img".to_owned()]).collect()
}

/// The packages with these programs; apt's are the default.
fn package_names(manager: Option<Manager>, arches: &[Arch]) -> Vec<String> {
    let tools = match manager {
        Some(Manager::Apt) | None => "qemu-utils",
        Some(Manager::Dnf | Manager::Pacman) => "qemu-img",
        Some(Manager::Brew) => return vec!["qemu".to_owned()],
    };
    let systems = arches.iter().flat_map(|arch| -> &[&str] {
        match (manager, arch) {
            (Some(Manager::Dnf), Arch::Amd64) => &["qemu-system-x86-core"],
            (Some(Manager::Dnf), Arch::Arm64) => &["qemu-system-aarch64-core"],
            (Some(Manager::Pacman), Arch::Amd64) => &["qemu-system-x86"],
            (Some(Manager::Pacman), Arch::Arm64) => &["qemu-system-aarch64"],
            (_, Arch::Amd64) => &["qemu-system-x86", "seabios"],
            (_, Arch::Arm64) => &["qemu-system-arm"],
        }
    });
    systems.copied().chain([tools]).map(str::to_owned).collect()
}

async fn install(arches: &[Arch], reporter: &dyn Reporter) -> Result<(), FallbackError> {
    let phase = Phase::start(reporter, "host-qemu", "Install the distribution's QEMU");
    let names = package_names(Manager::of_this_host(), arches);
    // Which releases the host's sources carry is in the lists.
    packages::fetch_lists_if_none(&phase).await?;
    match backports().await? {
        Some(backports) => packages::install_with_apt_options(&names, &backports.options(), &phase).await?,
        None => packages::install_packages(&names, &phase).await?,
    }
    phase.done();
    Ok(())
}

/// Debian's backports as a source beside the host's own, for one call of apt.
struct Backports {
    sources: tempfile::TempDir,
    suite: String,
}

impl Backports {
    fn options(&self) -> Vec<String> {
        let parts = format!("Dir::Etc::SourceParts={}", self.sources.path().display());
        ["-o".to_owned(), parts, format!("-t{}", self.suite)].into()
    }
}

/// The backports of this host's Debian, if its own suites have too old a QEMU.
async fn backports() -> Result<Option<Backports>, FallbackError> {
    let Some(codename) = OsRelease::open().ok().and_then(|release| debian_codename(&release)) else {
        return Ok(None);
    };
    let policy = Cmd::new("apt-cache").args(["policy", "qemu-utils"]).env("LC_ALL", "C").text().await;
    if candidate(&policy.unwrap_or_default()).is_some_and(|version| version >= OLDEST) {
        return Ok(None);
    }
    let format = "$(REPO_URI) $(CODENAME) $(LABEL)";
    let targets = Cmd::new("apt-get").args(["indextargets", "--format", format]).text().await;
    let Some(mirror) = mirror(&targets.unwrap_or_default(), &codename) else { return Ok(None) };
    let suite = format!("{codename}-backports");
    let temporary = variables::temp_dir();
    let sources =
        tempfile::tempdir_in(&temporary).map_err(FileError::of("create a directory in", &temporary))?;
    write_sources(sources.path(), &format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))?;
    Ok(Some(Backports { sources, suite }))
}

/// Fills a directory with the host's sources and one more.
fn write_sources(dir: &Path, line: &str) -> Result<(), FileError> {
    for entry in fs::read_dir(SOURCES).into_iter().flatten().flatten() {
        let copy = dir.join(entry.file_name());
        symlink(entry.path(), &copy).map_err(FileError::of("create", &copy))?;
    }
    let extra: PathBuf = dir.join("backports.list");
    fs::write(&extra, line).map_err(FileError::of("write", &extra))
}

fn debian_codename(release: &OsRelease) -> Option<String> {
    let codename = release.version_codename().filter(|_| release.id() == "debian");
    codename.map(ToString::to_string)
}

/// The mirror from which the host takes this release of Debian.
fn mirror(targets: &str, codename: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let (uri, rest) = line.split_once(' ')?;
        (rest == format!("{codename} Debian")).then(|| uri.to_owned())
    })
}

/// The upstream version of the candidate in the output of `apt-cache policy`.
fn candidate(policy: &str) -> Option<Version> {
    upstream_version(policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?)
}

/// The upstream part of a version, with as many parts as semantic versions have: `1:7.2+dfsg-7` is 7.2.0.
fn upstream_version(text: &str) -> Option<Version> {
    let text = text.split_once(':').map_or(text, |(_, version)| version);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some(Version::new(major, minor, parts.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_compared_by_their_upstream_part() {
        let version = |text| upstream_version(text).map(|version| version.to_string());
        assert_eq!(version("1:7.2+dfsg-7+deb12u13").unwrap(), "7.2.0");
        assert_eq!(version("1:10.0.2+ds-2+deb13u1~bpo12+1").unwrap(), "10.0.2");
        assert_eq!(version("8.2.2").unwrap(), "8.2.2");
        assert_eq!(version("(none)"), None);
        assert!(upstream_version("10.0.2") > upstream_version("9.2.4"));
    }

    #[test]
    fn programs_and_packages_are_those_for_the_machines_that_are_wanted() {
        assert_eq!(programs(&[Arch::Arm64]), ["qemu-system-aarch64", "qemu-img"]);
        let managers =
            [Some(Manager::Apt), Some(Manager::Dnf), Some(Manager::Pacman), Some(Manager::Brew), None];
        let names = managers.map(|manager| package_names(manager, &[Arch::Arm64]).join(" "));
        insta::assert_snapshot!(names.join("\n"), @r"
        qemu-system-arm qemu-utils
        qemu-system-aarch64-core qemu-img
        qemu-system-aarch64 qemu-img
        qemu
        qemu-system-arm qemu-utils
        ");
        assert_eq!(
            package_names(Some(Manager::Apt), &Arch::ALL).join(" "),
            "qemu-system-x86 seabios qemu-system-arm qemu-utils"
        );
    }

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n";
        assert_eq!(candidate(policy), Some(Version::new(7, 2, 0)));
        assert_eq!(candidate(""), None);
    }

    #[test]
    fn backports_come_from_the_mirror_of_the_release_not_of_security() {
        let targets = "http://a.test/security/ bookworm-security Debian-Security\n\
                       http://a.test/debian/ bookworm Debian\nhttp://b.test/x/ bookworm Other\n";
        assert_eq!(mirror(targets, "bookworm").unwrap(), "http://a.test/debian/");
        assert_eq!(mirror(targets, "trixie"), None);
    }

    #[test]
    fn only_debian_has_debian_backports() {
        let codename = |text: &str| debian_codename(&text.parse().unwrap());
        assert_eq!(codename("ID=debian\nNAME=x\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
        assert_eq!(codename("ID=ubuntu\nNAME=x\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
    }
}
