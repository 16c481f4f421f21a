//! Kernel modules for the fast initial RAM file system: found with those that they depend on, unpacked, in loading order.

use std::collections::HashMap;
use std::io::Read;

use crate::ext4::{ReadError, Reader};

/// A kernel module, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Name with underscores, as in `/proc/modules`.
    pub name: String,
    /// The object file, not compressed.
    pub object: Vec<u8>,
}

/// A module that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file system cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The kernel has no such module, neither as a file nor built in.
    #[error("kernel {release} has no module `{name}`")]
    Unknown {
        /// The kernel's release.
        release: String,
        /// The module's name.
        name: String,
    },
    /// Its file cannot be unpacked.
    #[error("cannot unpack the kernel module `{path}`")]
    Unpack {
        /// Path below the kernel's module directory.
        path: String,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
}

/// `kernel/drivers/block/virtio_blk.ko.xz` is module `virtio_blk`. Dashes and underscores mean the same.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// What depmod wrote about one kernel's modules.
struct Index {
    /// Paths by module name; each with the paths that it needs.
    files: HashMap<String, (String, Vec<String>)>,
    builtin: Vec<String>,
}

impl Index {
    /// Parses `modules.dep` ("path: dependency dependency") and `modules.builtin` (one path per line), see depmod(8).
    fn parse(dep: &str, builtin: &str) -> Self {
        let files = dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                (name_of(path), (path.to_owned(), needs))
            })
            .collect();
        Self { files, builtin: builtin.lines().map(name_of).collect() }
    }

    /// Returns the paths of the wanted modules and of everything they need, each after what it needs. `Err` is an unknown name.
    fn order(&self, wanted: &[String]) -> Result<Vec<&str>, String> {
        let mut order = Vec::new();
        for name in wanted {
            let name = name.replace('-', "_");
            match self.files.get(&name) {
                // depmod lists all dependencies, nearest first: the reverse is an order of loading.
                Some((path, needs)) => {
                    for path in needs.iter().rev().chain([path]) {
                        if !order.contains(&path.as_str()) {
                            order.push(path.as_str());
                        }
                    }
                }
                None if self.builtin.contains(&name) => {}
                None => return Err(name),
            }
        }
        Ok(order)
    }
}

/// Reads the modules `wanted` of kernel `release` and those that they need, in loading order. Built-in ones are left out.
///
/// # Errors
/// When a module does not exist or cannot be unpacked.
pub fn load(fs: &Reader, release: &str, wanted: &[String]) -> Result<Vec<Module>, ModuleError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let dir = format!("/usr/lib/modules/{release}");
    let text = |name: &str| {
        fs.read(&format!("{dir}/{name}")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let index = Index::parse(&text("modules.dep")?, &text("modules.builtin")?);
    let order =
        index.order(wanted).map_err(|name| ModuleError::Unknown { release: release.to_owned(), name })?;
    let module = |path: &str| {
        let object = unpack(path, fs.read(&format!("{dir}/{path}"))?)
            .map_err(|source| ModuleError::Unpack { path: path.to_owned(), source })?;
        Ok(Module { name: name_of(path), object })
    };
    order.into_iter().map(module).collect()
}

/// Unpacks a module file by the suffix of its name; the guest loads plain objects only.
fn unpack(path: &str, packed: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut object = Vec::new();
    match path.rsplit('.').next() {
        Some("xz") => liblzma::read::XzDecoder::new(packed.as_slice()).read_to_end(&mut object)?,
        Some("zst") => zstd::Decoder::new(packed.as_slice())?.read_to_end(&mut object)?,
        _ => return Ok(packed),
    };
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/virtio/virtio_ring.ko.xz:
kernel/fs/fat/vfat.ko.xz: kernel/fs/fat/fat.ko.xz
kernel/fs/fat/fat.ko.xz:
";

    fn wanted(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_a_module_needs_comes_before_it_and_only_once() {
        let index = Index::parse(DEP, "kernel/fs/ext4/ext4.ko\n");
        let order = index.order(&wanted(&["virtio-blk", "ext4", "virtio", "vfat"])).unwrap();
        let names: Vec<_> = order.into_iter().map(name_of).collect();
        assert_eq!(names, ["virtio_ring", "virtio", "virtio_blk", "fat", "vfat"]);
    }

    #[test]
    fn an_unknown_module_is_named() {
        let index = Index::parse(DEP, "");
        assert_eq!(index.order(&wanted(&["floppy"])), Err("floppy".to_owned()));
    }

    #[tokio::test]
    async fn modules_are_unpacked_whatever_they_are_packed_with() {
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(&b"xz object"[..], 6).read_to_end(&mut xz).unwrap();
        let zst = zstd::encode_all(&b"zst object"[..], 3).unwrap();
        let dep =
            b"kernel/a.ko.xz: kernel/b.ko.zst kernel/c.ko\nkernel/b.ko.zst: kernel/c.ko\nkernel/c.ko:\n";
        let files: &[(&str, &[u8])] = &[
            ("usr/lib/modules/6.1/modules.dep", dep),
            ("usr/lib/modules/6.1/modules.builtin", b""),
            ("usr/lib/modules/6.1/kernel/a.ko.xz", &xz),
            ("usr/lib/modules/6.1/kernel/b.ko.zst", &zst),
            ("usr/lib/modules/6.1/kernel/c.ko", b"plain object"),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        crate::ext4::tests::file_system(&path, 0, files).await;

        let modules = load(&Reader::open(&path, 0).unwrap(), "6.1", &wanted(&["a"])).unwrap();
        let objects: Vec<_> = modules.iter().map(|module| String::from_utf8_lossy(&module.object)).collect();
        assert_eq!(objects, ["plain object", "zst object", "xz object"]);
    }
}
