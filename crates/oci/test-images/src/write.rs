//! Images as files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base::digest::{self, Sha256};
use serde_json::{Value, json};

use crate::layer::Layer;

/// How the layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
    /// With zstd.
    Zstd,
}

impl Compression {
    /// Compresses `bytes`.
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written")
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("memory can be written"),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

/// An image in the making.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    architecture: String,
    config: Value,
    layers: Vec<Vec<u8>>,
    compression: Compression,
}

/// Files by their path in the archive.
type Files = BTreeMap<String, Vec<u8>>;

impl Image {
    /// Begins an image called `name` (`web:latest`) for Linux on `architecture` (`amd64`, `arm64`).
    pub fn new(name: &str, architecture: &str) -> Self {
        let (name, architecture) = (name.to_owned(), architecture.to_owned());
        Self { name, architecture, config: json!({}), layers: Vec::new(), compression: Compression::None }
    }

    /// Sets what runs in it, in the words of the format: `{"Entrypoint": ["/bin/web"], "Env": ["A=1"]}`.
    #[must_use]
    pub fn config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: &Layer) -> Self {
        self.layers.push(layer.tar());
        self
    }

    /// Sets how layers are compressed.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// Writes a directory with an OCI layout.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_layout(&self, dir: &Path) -> io::Result<()> {
        for (name, bytes) in layout(std::slice::from_ref(self)) {
            let path = dir.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Writes an OCI archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_oci(&self, path: &Path) -> io::Result<()> {
        fs::write(path, Self::oci(std::slice::from_ref(self)))
    }

    /// Writes an archive as `docker save` did before version 25.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_docker(&self, path: &Path) -> io::Result<()> {
        fs::write(path, Self::docker(std::slice::from_ref(self)))
    }

    /// Returns an OCI archive with `images`; those with one name are one image for several platforms.
    pub fn oci(images: &[Self]) -> Vec<u8> {
        packed(&layout(images))
    }

    /// Returns an archive as `docker save` wrote it before version 25: a layer that is there twice is a symbolic link.
    pub fn docker(images: &[Self]) -> Vec<u8> {
        let mut files = Files::new();
        let mut links = BTreeMap::new();
        let mut known: BTreeMap<Sha256, String> = BTreeMap::new();
        let mut manifest = Vec::new();
        for image in images {
            let mut layers = Vec::new();
            for layer in &image.layers {
                let id = digest::of_bytes(format!("{} {}", image.name, links.len() + files.len()).as_bytes());
                let name = format!("{id}/layer.tar");
                let digest = digest::of_bytes(layer);
                if let Some(first) = known.get(&digest) {
                    links.insert(name.clone(), format!("../{first}"));
                } else {
                    known.insert(digest, name.clone());
                    files.insert(name.clone(), image.compression.pack(layer));
                }
                layers.push(name);
            }
            let config = image.config_file();
            let name = format!("{}.json", digest::of_bytes(&config));
            manifest.push(json!({"Config": name, "RepoTags": [image.name], "Layers": layers}));
            files.insert(name, config);
        }
        files.insert("manifest.json".to_owned(), bytes(&Value::Array(manifest)));
        let layer = links.iter().fold(members(&files), |layer, (name, target)| layer.symlink(name, target));
        layer.tar()
    }

    /// Returns an archive as `docker save` writes it from version 25 on: an OCI archive that also has `manifest.json`.
    pub fn docker_25(images: &[Self]) -> Vec<u8> {
        let mut files = layout(images);
        let blob = |digest: Sha256| format!("blobs/sha256/{digest}");
        let manifest = images.iter().map(|image| {
            let layers: Vec<_> = image.blobs().iter().map(|layer| blob(digest::of_bytes(layer))).collect();
            let config = blob(digest::of_bytes(&image.config_file()));
            json!({"Config": config, "RepoTags": [image.name], "Layers": layers})
        });
        files.insert("manifest.json".to_owned(), bytes(&manifest.collect()));
        packed(&files)
    }

    /// Returns the configuration file.
    pub fn config_file(&self) -> Vec<u8> {
        let ids: Vec<_> =
            self.layers.iter().map(|layer| format!("sha256:{}", digest::of_bytes(layer))).collect();
        bytes(&json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        }))
    }

    fn blobs(&self) -> Vec<Vec<u8>> {
        self.layers.iter().map(|layer| self.compression.pack(layer)).collect()
    }

    /// Adds the image to `files`, and returns the descriptor of its manifest.
    fn add(&self, files: &mut Files) -> Value {
        let layer_type = format!("application/vnd.oci.image.layer.v1.tar{}", self.compression.suffix());
        let layers: Vec<_> =
            self.blobs().into_iter().map(|blob| add_blob(files, &layer_type, blob)).collect();
        let config = add_blob(files, "application/vnd.oci.image.config.v1+json", self.config_file());
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut descriptor = add_blob(files, "application/vnd.oci.image.manifest.v1+json", bytes(&manifest));
        descriptor["platform"] = json!({"os": "linux", "architecture": self.architecture});
        descriptor
    }
}

/// Returns the files of a layout with `images`.
fn layout(images: &[Image]) -> Files {
    let mut files = Files::new();
    let mut by_name: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for image in images {
        by_name.entry(&image.name).or_default().push(image.add(&mut files));
    }
    let mut manifests = Vec::new();
    for (name, mut descriptors) in by_name {
        let mut descriptor = match descriptors.as_mut_slice() {
            [only] => only.take(),
            several => {
                let index = json!({"schemaVersion": 2, "manifests": several});
                add_blob(&mut files, "application/vnd.oci.image.index.v1+json", bytes(&index))
            }
        };
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        manifests.push(descriptor);
    }
    files.insert("oci-layout".to_owned(), bytes(&json!({"imageLayoutVersion": "1.0.0"})));
    files.insert("index.json".to_owned(), bytes(&json!({"schemaVersion": 2, "manifests": manifests})));
    files
}

fn add_blob(files: &mut Files, media_type: &str, blob: Vec<u8>) -> Value {
    let (digest, size) = (digest::of_bytes(&blob), blob.len());
    files.insert(format!("blobs/sha256/{digest}"), blob);
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn members(files: &Files) -> Layer {
    files.iter().fold(Layer::new(), |layer, (name, bytes)| layer.file(name, bytes))
}

fn packed(files: &Files) -> Vec<u8> {
    members(files).tar()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
