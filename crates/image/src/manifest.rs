//! The manifest inside an image: all that later stages know about it.
//!
//! It lies in the image's EFI system partition as [`PATH_IN_ESP`], beside the kernel and initrd that it names.

use std::collections::BTreeMap;

use base::text::beginning;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::stack::{InvalidStack, Stack};

/// Version of the manifest's format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// Where the manifest lies in the EFI system partition.
pub const PATH_IN_ESP: &str = "emulator/manifest.json";

/// Longest manifest in bytes: a hundred times that of an image.
pub const SIZE_LIMIT: u64 = 1 << 20;

/// Longest text of one value, in bytes.
const TEXT_LIMIT: usize = 256;

/// Longest command line of a kernel: `COMMAND_LINE_SIZE` of Linux on both architectures.
const CMDLINE_LIMIT: usize = 2048;

/// Oldest QEMU that runs an image of this format: zstd-compressed qcow2 (5.1) and `file:` migration (8.2).
pub const MINIMUM_QEMU: &str = "8.2.0";

/// Everything that is known about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Architecture of the guest.
    pub arch: Arch,
    /// The build that made the image.
    pub build: Build,
    /// The distribution inside.
    pub debian: Debian,
    /// How to boot it without firmware.
    pub boot: Boot,
    /// The stack inside, as its maintainers described it.
    pub stack: Stack,
    /// The container images inside, by the names of their services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, ContainerImage>,
    /// Version of the resume message that the guest understands.
    pub resume_protocol: u32,
    /// Oldest QEMU that can run it, "major.minor.patch".
    pub minimum_qemu: String,
    /// SHA-256 of every input of the build by its name; the image is up to date while these are the same.
    pub inputs: BTreeMap<String, String>,
}

/// A container image inside an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerImage {
    /// What the archive that it came from calls it.
    pub reference: Option<String>,
    /// Digest of its configuration, which `docker images` shows as its id: `sha256:…`.
    pub id: String,
    /// Digests of its layers when unpacked, the lowest first.
    pub layers: Vec<String>,
}

/// The build that made an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Commit that the build ran from; with "-dirty" when the work tree differed, "unknown" outside a checkout.
    pub git_sha: String,
    /// End of the build, RFC 3339, UTC.
    pub time: String,
}

/// The distribution inside an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Debian {
    /// Point release, "13.2".
    pub version: String,
    /// Version of every installed package by its name.
    pub packages: BTreeMap<String, String>,
}

/// How to boot an image directly: paths are in the EFI system partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Boot {
    /// Kernel.
    pub kernel: String,
    /// Initial RAM file system made for this project's machines: virtio only, fast.
    pub initrd: String,
    /// Kernel command line.
    pub cmdline: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of the expected shape.
    #[error("the image's manifest is not valid")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("the image's manifest has format {found}, this program reads up to format {FORMAT_VERSION}")]
    Newer {
        /// The format that the manifest claims.
        found: u32,
    },
    /// Its guest expects a resume message that this program does not know.
    #[error(
        "the image's guest speaks version {found} of the resume message, this program version {}",
        protocol::VERSION
    )]
    Protocol {
        /// The version that the manifest claims.
        found: u32,
    },
    /// Its stack would be refused when it is built.
    #[error("the image's manifest describes a stack that cannot run")]
    Stack(#[source] InvalidStack),
    /// A value of it cannot be right.
    #[error("the image's manifest is not valid: {0}")]
    Invalid(String),
}

impl Manifest {
    /// Parses the bytes of a manifest.
    ///
    /// # Errors
    /// When they are not JSON of the expected shape, of a newer format or another resume message, or describe a stack that
    /// a build would refuse.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = serde_json::from_slice(bytes)?;
        if format_version > FORMAT_VERSION {
            return Err(ManifestError::Newer { found: format_version });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.resume_protocol != protocol::VERSION {
            return Err(ManifestError::Protocol { found: manifest.resume_protocol });
        }
        manifest.stack.check().map_err(ManifestError::Stack)?;
        manifest.check().map_err(ManifestError::Invalid)?;
        Ok(manifest)
    }

    /// Checks all that is not the stack's.
    fn check(&self) -> Result<(), String> {
        let Self { build, debian, boot, minimum_qemu, inputs, .. } = self;
        let single = [&build.git_sha, &build.time, &debian.version, minimum_qemu];
        let images = self
            .images
            .values()
            .flat_map(|ContainerImage { reference, id, layers }| reference.iter().chain([id]).chain(layers));
        let names = self.images.keys();
        let pairs = debian.packages.iter().chain(inputs).flat_map(|(name, value)| [name, value]);
        if let Some(text) =
            single.into_iter().chain(pairs).chain(names).chain(images).find(|text| !is_line(text, TEXT_LIMIT))
        {
            return Err(format!("{:?} is not a text of one short line", beginning(text, 64)));
        }
        if !is_version(minimum_qemu) {
            return Err(format!(
                "{:?} is not a version of QEMU: MAJOR.MINOR.PATCH",
                beginning(minimum_qemu, 64)
            ));
        }
        for path in [&boot.kernel, &boot.initrd] {
            let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !inside || !is_line(path, TEXT_LIMIT) {
                return Err(format!("{:?} is not a path in the EFI system partition", beginning(path, 64)));
            }
        }
        if !is_line(&boot.cmdline, CMDLINE_LIMIT) {
            return Err(format!("the kernel's command line is not a line of at most {CMDLINE_LIMIT} bytes"));
        }
        Ok(())
    }

    /// The manifest as indented JSON with a final line break.
    ///
    /// # Panics
    /// Never: the types serialise to JSON.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("the manifest serialises");
        text.push('\n');
        text
    }
}

fn is_line(text: &str, limit: usize) -> bool {
    text.len() <= limit && !text.contains(char::is_control)
}

/// Whether this is a version as QEMU's are: three numbers.
fn is_version(text: &str) -> bool {
    let is_number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u32>().is_ok();
    text.split('.').count() == 3 && text.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format_version: FORMAT_VERSION,
            arch: Arch::Amd64,
            build: Build { git_sha: "unknown".into(), time: "2026-01-01T00:00:00Z".into() },
            debian: Debian {
                version: "13.2".into(),
                packages: BTreeMap::from([("redis".into(), "5".into())]),
            },
            boot: Boot {
                kernel: "emulator/vmlinuz".into(),
                initrd: "emulator/initrd".into(),
                cmdline: "quiet".into(),
            },
            stack: crate::description::tests::built_in().stack,
            images: BTreeMap::from([(
                "web".into(),
                ContainerImage {
                    reference: Some("shop/web:1".into()),
                    id: "sha256:1".into(),
                    layers: vec!["sha256:2".into()],
                },
            )]),
            resume_protocol: protocol::VERSION,
            minimum_qemu: MINIMUM_QEMU.into(),
            inputs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        assert_eq!(Manifest::parse(manifest().to_json().as_bytes()).unwrap(), manifest());
    }

    #[test]
    fn a_stack_that_a_build_refuses_is_refused_in_an_image() {
        let refused = |change: fn(&mut Stack)| {
            let mut manifest = manifest();
            change(&mut manifest.stack);
            matches!(Manifest::parse(manifest.to_json().as_bytes()), Err(ManifestError::Stack(_)))
        };
        assert!(refused(|stack| stack.ports[1].guest = stack.ports[0].guest));
        assert!(refused(|stack| stack.ports.clear()));
        assert!(refused(|stack| stack.ports[0].health = Some("/a\nb".into())));
        assert!(refused(|stack| stack.ports[0].health = Some("/a b".into())));
        assert!(refused(|stack| stack.ports[0].name = "\u{1b}[2J".into()));
        assert!(refused(|stack| stack.name = "../up".into()));
    }

    #[test]
    fn values_that_no_build_writes_are_refused() {
        let refused = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            matches!(Manifest::parse(manifest.to_json().as_bytes()), Err(ManifestError::Invalid(_)))
        };
        assert!(refused(|manifest| manifest.boot.kernel = "../vmlinuz".into()));
        assert!(refused(|manifest| manifest.boot.initrd = "/initrd".into()));
        assert!(refused(|manifest| manifest.boot.cmdline = "quiet\ninit=/bin/sh".into()));
        assert!(refused(|manifest| manifest.boot.cmdline = "x".repeat(CMDLINE_LIMIT + 1)));
        for version in [
            "",
            "8",
            "8.2",
            "8.2.0.1",
            "8.2.x",
            "8.2.+1",
            "99999999999999999999.0.0",
            "99999999999999999999.x",
        ] {
            let manifest = Manifest { minimum_qemu: version.into(), ..manifest() };
            let error = Manifest::parse(manifest.to_json().as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with("is not a version of QEMU: MAJOR.MINOR.PATCH"), "{error}");
        }
        assert!(refused(|manifest| manifest.build.time = "\u{1b}[2J".into()));
        assert!(refused(|manifest| manifest.build.git_sha = "a".repeat(TEXT_LIMIT + 1)));
        assert!(refused(|manifest| drop(manifest.inputs.insert("a\tb".into(), "c".into()))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = Manifest::parse(&bytes);
        }

        #[test]
        fn a_manifest_with_changed_bytes_is_refused_or_harmless(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = manifest().to_json().into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(manifest) = Manifest::parse(&bytes) {
                prop_assert!(manifest.stack.check().is_ok());
                prop_assert!(!manifest.build.time.contains(char::is_control));
            }
        }
    }

    #[test]
    fn another_resume_message_is_refused() {
        let manifest = Manifest { resume_protocol: 99, ..manifest() };
        let error = Manifest::parse(manifest.to_json().as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Protocol { found: 99 }));
    }

    #[test]
    fn a_newer_format_is_refused_before_its_shape_is_looked_at() {
        let error = Manifest::parse(br#"{"formatVersion": 99}"#).unwrap_err().to_string();
        assert_eq!(error, "the image's manifest has format 99, this program reads up to format 2");
    }
}
