//! Volumes of a service, and its file systems in memory.

use super::At;
use super::at::normal;
use super::units;
use crate::error::{ComposeError, Result};
use crate::keys;
use crate::model::{Mount, Tmpfs, VolumeSource};

/// What to write instead of a path of the host.
const WAY_OUT: &str =
    "use a named volume for data, `configs` for single files, or copy the files into the image";

/// Options of mount(8) that a file system in memory may have.
const TMPFS_FLAGS: [&str; 12] = [
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "nodiratime",
    "relatime",
];

impl At<'_> {
    /// The list `volumes`.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>> {
        self.list()?
            .iter()
            .map(|item| if item.is_map() { item.long_mount() } else { item.short_mount() })
            .collect()
    }

    /// `tmpfs`: one path with options, or a list.
    pub(super) fn tmpfs(&self) -> Result<Vec<Mount>> {
        self.list_or_one()?.iter().map(|item| item.short_tmpfs().map(Mount::Tmpfs)).collect()
    }

    /// `[NAME:]PATH[:OPTIONS]`.
    fn short_mount(&self) -> Result<Mount> {
        let text = self.filled()?;
        if is_windows(text) {
            return Err(self.host_path(text));
        }
        let mut parts = text.split(':');
        let (source, target, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(target), None, ..) if target.starts_with('/') => (None, target, ""),
            (Some(source), None, ..) if is_path(source) => return Err(self.host_path(source)),
            (Some(source), Some(target), options, None) => {
                (Some(source), target, options.unwrap_or_default())
            }
            _ => return Err(self.invalid(text, "a volume").instead("write `NAME:/path`")),
        };
        let source = match source {
            Some(source) if is_path(source) => return Err(self.host_path(source)),
            Some(source) => VolumeSource::Named(self.volume_name(source)?),
            None => VolumeSource::Anonymous,
        };
        let (mut read_only, mut copy) = (false, true);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => read_only = true,
                "nocopy" => copy = false,
                // The last ones are for security modules, and for file systems between Docker and macOS.
                "rw" | "z" | "Z" | "cached" | "consistent" | "delegated" => {}
                _ => return Err(self.invalid(option, "an option of a volume").instead("write `ro` or `rw`")),
            }
        }
        Ok(Mount::Volume { source, target: self.target(target)?, read_only, copy })
    }

    fn long_mount(&self) -> Result<Mount> {
        let kind = self.get("type").map(|at| at.filled()).transpose()?;
        if let (Some("bind"), Some(source)) = (kind, self.get("source")) {
            return Err(source.host_path(source.text()?));
        }
        let fields = self.fields(&keys::VOLUME_MOUNT)?;
        let target = fields.required("target")?;
        let target = target.target(target.filled()?)?;
        match kind {
            Some("volume") => {
                let source = match fields.get("source") {
                    Some(at) if is_path(at.filled()?) => return Err(at.host_path(at.text()?)),
                    Some(at) => VolumeSource::Named(at.volume_name(at.text()?)?),
                    None => VolumeSource::Anonymous,
                };
                let read_only = fields.or_default("read_only", At::boolean)?;
                let nocopy = fields.or_default("volume", |at| {
                    at.fields(&keys::VOLUME_OPTIONS)?.or_default("nocopy", At::boolean)
                })?;
                without(fields.get("tmpfs"), "volume")?;
                Ok(Mount::Volume { source, target, read_only, copy: !nocopy })
            }
            Some("tmpfs") => {
                without(fields.get("volume").or(fields.get("source")), "tmpfs")?;
                let mut options = Vec::new();
                if fields.or_default("read_only", At::boolean)? {
                    options.push("ro".to_owned());
                }
                let (size, mode) = fields.or_default("tmpfs", |at| {
                    let fields = at.fields(&keys::TMPFS)?;
                    Ok((fields.read("size", At::size)?, fields.read("mode", At::mode)?))
                })?;
                Ok(Mount::Tmpfs(Tmpfs { target, size: size.filter(|size| *size > 0), mode, options }))
            }
            Some(other) => Err(self
                .error(format!("the type `{other}` is not supported: a machine has volumes and memory only"))
                .instead(WAY_OUT)),
            None => Err(self.error("has no `type`").instead("write `type: volume` or `type: tmpfs`")),
        }
    }

    /// `PATH[:OPTIONS]`.
    fn short_tmpfs(&self) -> Result<Tmpfs> {
        let text = self.filled()?;
        let (target, written) = text.split_once(':').unwrap_or((text, ""));
        let (mut size, mut mode, mut options) = (None, None, Vec::new());
        for option in written.split(',').filter(|option| !option.is_empty()) {
            let wrong = || {
                let error = self.invalid(option, "an option of a file system in memory");
                error.instead("write `size=64m`, `mode=1777`, `uid=`, `gid=` or `noexec`")
            };
            match option.split_once('=') {
                Some(("size", value)) => size = Some(units::size(value).ok_or_else(wrong)?),
                Some(("mode", value)) => {
                    let value = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    mode = Some(value.ok_or_else(wrong)?);
                }
                Some(("uid" | "gid", value)) if value.parse::<u32>().is_ok() => {
                    options.push(option.to_owned())
                }
                None if TMPFS_FLAGS.contains(&option) => options.push(option.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(Tmpfs { target: self.target(target)?, size: size.filter(|size| *size > 0), mode, options })
    }

    fn target(&self, path: &str) -> Result<String> {
        let below = normal(path).filter(|path| path != "/");
        below.ok_or_else(|| {
            let error = self.invalid(path, "an absolute path below `/` in the container");
            error.instead("write the path from `/` on, without `..`")
        })
    }

    fn volume_name(&self, name: &str) -> Result<String> {
        self.defined(name, "volumes", self.context.defined.volumes)?;
        Ok(name.to_owned())
    }

    fn host_path(&self, path: &str) -> ComposeError {
        self.error(format!("the path {path:?} of the host is not in the machine")).instead(WAY_OUT)
    }
}

/// Refuses options of another type of mount.
fn without(other: Option<&At<'_>>, kind: &str) -> Result<()> {
    match other {
        Some(at) => Err(at.error(format!("does not belong to the type `{kind}`")).instead("remove the key")),
        None => Ok(()),
    }
}

/// What compose takes for a path instead of a name.
fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.contains(['/', '\\'])
}

/// `C:\data` and `C:/data`.
fn is_windows(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [letter, b':', b'\\' | b'/', rest @ ..] if letter.is_ascii_alphabetic()
        && (bytes[2] == b'\\' || rest.contains(&b':')))
}
