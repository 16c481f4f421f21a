//! The text of releases.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::plan::{Built, Image};
use crate::github::Repo;
use crate::names::Names;
use crate::program::{self, Archive};

/// Version of the benchmark's JSON that is read here.
const BENCH_SCHEMA: u32 = 1;

/// The starts that the notes report, by their names in the benchmark's JSON.
const STARTS: [(&str, &str); 4] = [
    ("template", "New session from the snapshot, with fresh secrets"),
    ("template_no_rotation", "The same without rotation"),
    ("suspended", "A suspended session"),
    ("cold", "A boot"),
];

/// What a benchmark has measured of the image: the JSON of `cargo xtask bench`, as far as the notes report it.
#[derive(Debug, Clone, Deserialize)]
pub struct Figures {
    host: Host,
    scenarios: BTreeMap<String, Scenario>,
}

#[derive(Debug, Clone, Deserialize)]
struct Host {
    cpu: Option<String>,
    cpus: u32,
    accelerator: String,
    qemu: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Scenario {
    seconds: Seconds,
}

#[derive(Debug, Clone, Deserialize)]
struct Seconds {
    median: f64,
    min: f64,
    max: f64,
    runs: Vec<f64>,
}

/// Why the figures cannot be reported.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// Not what the benchmark writes.
    #[error("they are not the figures of a benchmark")]
    Parse(#[from] serde_json::Error),
    /// Written by another version of the benchmark.
    #[error("the figures have schema {0}, this program reads schema {BENCH_SCHEMA}")]
    Schema(u32),
}

impl Figures {
    /// Reads the JSON of a benchmark.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn parse(bytes: &[u8]) -> Result<Self, FiguresError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_slice(bytes)?;
        if schema_version != BENCH_SCHEMA {
            return Err(FiguresError::Schema(schema_version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

pub(super) fn of_images(
    repo: &Repo,
    names: &Names,
    tag: &str,
    branch: &str,
    built: &Built,
    images: &[Image],
    figures: Option<&Figures>,
) -> String {
    let time = built.time.format(&Rfc3339).expect("the time was read from this format");
    let mut text = format!("Built from {} of `{branch}`, {time}.\n\n", built.commit);
    let stack = if names.is_default() { String::new() } else { format!(" --stack {}", names.stack()) };
    let _ = writeln!(text, "```sh\nemulator pull{stack} --repo {repo} --tag {tag}\n```\n");
    text.push_str("| Image | Size | Debian | Needs QEMU | SHA-256 |\n| --- | --- | --- | --- | --- |\n");
    for Image { size, sha256, manifest, .. } in images {
        let (file, debian, qemu) =
            (names.file(manifest.arch), &manifest.debian.version, &manifest.minimum_qemu);
        let _ = writeln!(text, "| `{file}` | {} | {debian} | {qemu} | `{sha256}` |", mib(*size));
    }
    if let Some(figures) = figures {
        starts(&mut text, figures);
    }
    packages(&mut text, images);
    text
}

/// When and from what the images were built whose release has these notes.
pub(super) fn built(notes: &str) -> Option<Built> {
    let (commit, rest) = notes.lines().next()?.strip_prefix("Built from ")?.split_once(' ')?;
    let (_, time) = rest.strip_suffix('.')?.rsplit_once(' ')?;
    Some(Built { commit: commit.to_owned(), time: OffsetDateTime::parse(time, &Rfc3339).ok()? })
}

fn starts(text: &mut String, Figures { host, scenarios }: &Figures) {
    let reported: Vec<_> =
        STARTS.iter().filter_map(|(name, what)| Some((what, &scenarios.get(*name)?.seconds))).collect();
    let Some(runs) = reported.iter().map(|(_, seconds)| seconds.runs.len()).max() else { return };
    let cpu = host.cpu.as_deref().unwrap_or("unknown processor");
    let _ = writeln!(
        text,
        "\n## Starts\n\nMedians of {runs} runs on {} CPUs ({cpu}), QEMU {} with {}.\n\n| What | Median | Range |\n| --- | --- | --- |",
        host.cpus, host.qemu, host.accelerator,
    );
    for (what, Seconds { median, min, max, .. }) in reported {
        let _ = writeln!(text, "| {what} | {median:.2} s | {min:.2} to {max:.2} s |");
    }
}

/// A table of every package, folded up.
fn packages(text: &mut String, images: &[Image]) {
    let mut names: Vec<&str> =
        images.iter().flat_map(|image| image.manifest.debian.packages.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let column = |image: &Image| format!(" {} |", image.arch());
    let heads: String = images.iter().map(column).collect();
    let rules = " --- |".repeat(images.len());
    let _ = writeln!(
        text,
        "\n<details><summary>{} packages</summary>\n\n| Package |{heads}\n| --- |{rules}",
        names.len()
    );
    for name in names {
        let version = |image: &Image| {
            let version = image.manifest.debian.packages.get(name).map_or("", String::as_str);
            format!(" {version} |")
        };
        let versions: String = images.iter().map(version).collect();
        let _ = writeln!(text, "| {name} |{versions}");
    }
    text.push_str("\n</details>\n");
}

pub(super) fn of_program(repo: &Repo, web: &str, tag: &str, archives: &[Archive]) -> String {
    let mut text = format!(
        "```sh\ncurl -fsSL {web}/{repo}/releases/download/{tag}/{} | sh\n```\n\n",
        program::INSTALLER
    );
    text.push_str("| Archive | Size | SHA-256 |\n| --- | --- | --- |\n");
    for Archive { name, size, sha256, .. } in archives {
        let _ = writeln!(text, "| `{name}` | {} | `{sha256}` |", mib(*size));
    }
    let _ = writeln!(
        text,
        "\nWhere an archive comes from is attested: `gh attestation verify ARCHIVE --repo {repo}`."
    );
    text
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
