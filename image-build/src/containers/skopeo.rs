//! Images that the host's `skopeo` copies into archives: from Docker's daemon, from registries, and from wherever else it reads.
//! The environment variable `DOCKER_HOST` says where the daemon is.

use std::path::{Path, PathBuf};

use base::blocking;
use base::files::FileError;
use base::process::{Cmd, ProcessError};
use base::variables;
use image::arch::Arch;
use oci::{Archive, Image, OciError};

use super::error::ContainersError;

/// What is asked for an image that nothing on the command line has, in this order: the daemon of the host, then registries.
const DAEMON: &str = "docker-daemon:";
const REGISTRY: &str = "docker://";

/// Transports of `skopeo` that read images: containers-transports(5).
const TRANSPORTS: [&str; 7] =
    [DAEMON, REGISTRY, "containers-storage:", "dir:", "docker-archive:", "oci:", "oci-archive:"];

/// The variable that names Docker's daemon where it is not at its usual place.
const DAEMON_VARIABLE: &str = "DOCKER_HOST";

/// Whether this names a place by a transport.
pub(super) fn is_place(text: &str) -> bool {
    TRANSPORTS.iter().any(|transport| text.starts_with(transport))
}

/// The reference of the image at a place that is named by nothing else.
pub(super) fn reference(place: &str) -> Option<&str> {
    place.strip_prefix(DAEMON).or_else(|| place.strip_prefix(REGISTRY))
}

/// Copies the image at `place` into an archive in `scratch`. The archive is read until the layers are written, which is as long as
/// `scratch` exists.
pub(super) async fn copy(place: &str, arch: Arch, scratch: &Path) -> Result<PathBuf, ContainersError> {
    let place = reference(place).map_or_else(
        || place.to_owned(),
        |reference| {
            let transport = place.strip_suffix(reference).unwrap_or_default();
            format!("{transport}{}", with_tag(reference))
        },
    );
    match run(&place, arch, scratch).await? {
        Ok(file) => Ok(file),
        Err(source) => Err(ContainersError::Copy { place, source }),
    }
}

/// The image with this reference, or why `skopeo` found none; nothing if the host has no `skopeo`.
pub(super) async fn found(
    reference: &str,
    arch: Arch,
    scratch: &Path,
) -> Result<Result<Image, Option<String>>, ContainersError> {
    let tagged = with_tag(reference);
    // The daemon does not know images by the digests of registries.
    let transports =
        [DAEMON, REGISTRY].into_iter().filter(|transport| *transport == REGISTRY || !tagged.contains('@'));
    let mut reasons = Vec::new();
    for transport in transports {
        let file = match run(&format!("{transport}{tagged}"), arch, scratch).await? {
            Ok(file) => file,
            Err(ProcessError::NotFound { .. }) => return Ok(Err(None)),
            Err(error) => {
                reasons.push(said(&error));
                continue;
            }
        };
        let scratch = scratch.to_owned();
        let image = blocking::run(move || Archive::open(&file, &scratch)?.image(None, arch.as_str()));
        match image.await {
            Ok(image) => return Ok(Ok(image)),
            // A registry may have it for several platforms.
            Err(OciError::Platform { found, wanted, .. }) => {
                reasons.push(format!("{transport}{tagged} is for {}, not for {wanted}", found.join(", ")));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Err(Some(format!("`{reference}`: {}", reasons.join("; ")))))
}

/// Runs `skopeo`.
async fn run(
    place: &str,
    arch: Arch,
    scratch: &Path,
) -> Result<Result<PathBuf, ProcessError>, ContainersError> {
    let dir = tempfile::Builder::new().prefix("image-").tempdir_in(scratch);
    let dir = dir.map_err(FileError::of("create a directory in", scratch))?;
    let copy = Cmd::new("skopeo")
        .args(["copy", "--quiet", "--override-os", "linux", "--override-arch", arch.as_str()])
        .args(daemon_options(place, variables::text(DAEMON_VARIABLE)))
        .arg(place)
        .arg(format!("oci-archive:{}", dir.path().join(ARCHIVE).display()));
    Ok(match copy.output().await {
        Ok(_) => Ok(dir.keep().join(ARCHIVE)),
        Err(error) => Err(error),
    })
}

/// Where the daemon is, which `skopeo` does not take from the variable.
fn daemon_options(place: &str, host: Option<String>) -> impl Iterator<Item = String> {
    let host = host.filter(|_| place.starts_with(DAEMON));
    host.into_iter().flat_map(|host| ["--src-daemon-host".to_owned(), host])
}

/// Name of the file with the copy.
const ARCHIVE: &str = "image.tar";

/// The reference as `skopeo` takes it: with a tag, or with a digest alone.
fn with_tag(reference: &str) -> String {
    let name_begins = reference.rfind('/').map_or(0, |slash| slash + 1);
    let last = &reference[name_begins..];
    match last.split_once('@') {
        Some((name, digest)) => {
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            format!("{}{name}@{digest}", &reference[..name_begins])
        }
        None if last.contains(':') => reference.to_owned(),
        None => format!("{reference}:latest"),
    }
}

/// What `skopeo` gives as its reason, which it writes as one line of a log: `time="…" level=fatal msg="…"`.
fn said(error: &ProcessError) -> String {
    let ProcessError::Failed { tail, .. } = error else { return error.to_string() };
    let last = tail.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let message = last.split_once("msg=\"").and_then(|(_, message)| message.strip_suffix('"'));
    message.unwrap_or(last).replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_tag_or_a_digest() {
        for (reference, expected) in [
            ("postgres", "postgres:latest"),
            ("team/web:1", "team/web:1"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("localhost:5000/web:1@sha256:0f", "localhost:5000/web@sha256:0f"),
            ("web@sha256:0f", "web@sha256:0f"),
        ] {
            assert_eq!(with_tag(reference), expected);
        }
    }

    #[test]
    fn the_daemon_of_the_environment_is_asked() {
        let options = |place: &str, host: Option<&str>| {
            daemon_options(place, host.map(str::to_owned)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(options("docker-daemon:web:1", Some("unix:///s")), "--src-daemon-host unix:///s");
        assert_eq!(options("docker-daemon:web:1", None) + &options("docker://web:1", Some("unix:///s")), "");
    }

    #[test]
    fn the_reason_is_the_message_of_the_last_line() {
        let tail = "x\ntime=\"2026-01-01T00:00:00Z\" level=fatal msg=\"pinging \\\"it\\\": no such host\"\n"
            .to_owned();
        let error =
            ProcessError::Failed { argv: "skopeo".into(), status: "exited with status 1".into(), tail };
        assert_eq!(said(&error), "pinging \"it\": no such host");
    }
}
