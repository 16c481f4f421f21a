//! The stacks of `examples/` that are measured.

use std::path::{Path, PathBuf};

use base::events::Reporter;
use base::variables;
use clap::ValueEnum;
use compose::Project;
use compose::model::Spanned;
use image::arch::Arch;
use image_build::containers::{ComposeFile, ImageFile, ImagePlace, Natives};
use image_build::example_image::{description, example_image};

/// Directory of the repository with the examples.
const EXAMPLES: &str = "examples";

/// A stack of `examples/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    /// A program in Go with PostgreSQL, both as containers
    Miniflux,
    /// A program for Node.js with the native PostgreSQL and Redis
    ParseServer,
}

impl Example {
    /// The name of its directory and of the stack.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Miniflux => "miniflux",
            Self::ParseServer => "parse-server",
        }
    }

    /// The example images that its containers are in.
    const fn images(self) -> &'static [&'static str] {
        match self {
            Self::Miniflux => &["miniflux", "postgres"],
            Self::ParseServer => &["parse-server"],
        }
    }

    /// Longest time in seconds that a new session is meant to take.
    pub(super) const fn limit(self) -> f64 {
        match self {
            Self::Miniflux => 0.35,
            Self::ParseServer => 0.6,
        }
    }

    /// Its compose file with the images of its containers, and with those that native services stand for. They are made unless they are
    /// in the cache. `workspace` is the checkout, `platform` its directory with the platform.
    ///
    /// # Errors
    /// When a description cannot be read, or an image cannot be made.
    pub(crate) async fn compose(
        self,
        workspace: &Path,
        platform: &Path,
        arch: Arch,
        cache: &Path,
        console: &dyn Reporter,
    ) -> anyhow::Result<ComposeFile> {
        let examples = workspace.join(EXAMPLES);
        let path = examples.join(self.as_str()).join("compose.yaml");
        let mut file = ComposeFile { path, profiles: Vec::new(), images: Vec::new() };
        let project = file.read(variables::text)?;
        let natives = file.natives(&project, platform)?;
        for name in self.images().iter().copied().chain(native_images(&project, &natives)) {
            let description = description(&examples.join("images"), name)?;
            let path: PathBuf = example_image(&description, arch, cache, console).await?;
            file.images.push(ImageFile { name: None, place: ImagePlace::File(path) });
        }
        Ok(file)
    }
}

/// The example images with the programs of native services.
fn native_images<'a>(project: &'a Project, natives: &'a Natives) -> impl Iterator<Item = &'a str> {
    let replaced = project.services.iter().filter_map(|service| service.emulator.native.as_ref());
    replaced.filter_map(|name| Some(natives.get(&name.value)?.image_name()))
}

/// Replaces native services by the images that they stand for.
pub(super) fn without_native(project: &mut Project, natives: &Natives) {
    for service in &mut project.services {
        let Some(native) = service.emulator.native.take() else { continue };
        if let Some(described) = natives.get(&native.value) {
            service.image = Some(Spanned { value: described.image.clone(), ..native });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_an_example_has_an_image_without_native_services() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let root = workspace.join(EXAMPLES);
        for example in Example::value_variants() {
            let path = root.join(example.as_str()).join("compose.yaml");
            let file = ComposeFile { path, profiles: Vec::new(), images: Vec::new() };
            let mut project = file.read(|_| None).unwrap();
            let natives = file.natives(&project, &workspace.join("cloud-init")).unwrap();
            let native: Vec<_> = native_images(&project, &natives).map(str::to_owned).collect();
            without_native(&mut project, &natives);
            let images: Vec<_> = project.services.iter().map(|service| service.image.is_some()).collect();
            assert_eq!(images, vec![true; example.images().len() + native.len()], "{example:?}");
            for image in example.images().iter().copied().chain(native.iter().map(String::as_str)) {
                assert!(root.join("images").join(format!("{image}.toml")).exists(), "{image}");
            }
        }
    }
}
