//! Container images for examples and tests, from Debian's packages: so that both need no registry of images.
//!
//! `examples/images/` has a description of each. An image has one layer, and is kept in the cache by what it is made from; the content
//! of the archives of packages does not count.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::blocking;
use base::digest;
use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock};
use base::process::{Cmd, ProcessError};
use image::arch::Arch;
use serde::Deserialize;
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::base::{Archives, SUITE, keyring};
use crate::inputs::{InputError, Key};
use crate::{leftovers, mmdebstrap};

/// Version of the way in which images are made, which counts for their keys.
const VERSION: u32 = 2;

/// Directory of the cache.
const DIR: &str = "example-images";

/// How the name of a description ends.
pub const EXTENSION: &str = "toml";

/// Images that are kept.
const KEPT: usize = 8;

/// Paths of packages that no program in a container reads, PostgreSQL's compiler, which works without, and the part of Perl that only
/// its tools for several clusters depend on.
const LEFT_OUT: [&str; 11] = [
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/perl/*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
    "/usr/lib/postgresql/*/lib/llvmjit*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/*/libperl.so*",
    "/usr/lib/*/libz3.so*",
    "/usr/lib/*/perl/*",
];

/// What mmdebstrap would clean up in a root that is about to be deleted.
const SKIP: &str = "--skip=cleanup/apt,cleanup/mmdebstrap,cleanup/reproducible,cleanup/run,cleanup/tmp";

/// Packs paths of a root.
const PACK_PATHS: &str = include_str!("example_image/pack-paths");

/// Where a program of npm is in its image.
const APP: &str = "app";

/// The description of an image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    /// Reference of the image.
    name: String,
    /// Packages of Debian that it has.
    packages: Vec<String>,
    /// What of the packages it has, with the libraries that programs among these paths need; everything without it.
    paths: Option<Vec<String>>,
    /// A tree that is copied over its root, beside the description.
    files: Option<PathBuf>,
    /// A directory with a program of npm, from the description; it is at `/app` with what it depends on.
    npm: Option<PathBuf>,
    /// What runs in it, in the words of the format of images.
    config: Value,
}

/// Why there is no example image.
#[derive(Debug, thiserror::Error)]
pub enum ExampleImageError {
    /// There is no such description.
    #[error("there is no example image `{name}`: there are {}; or name the file of a description, `FILE.{EXTENSION}`", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A description is wrong.
    #[error("`{}` is not valid", path.display())]
    Invalid {
        /// The description.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Packages of another architecture do not run here.
    #[error("example images are made on a machine of their architecture, and this one is not {0}")]
    Foreign(Arch),
    /// Something that the image is made from cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program fails.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Makes the image that `description` describes, unless it is in the cache, and returns its archive, as `docker save` writes one.
///
/// # Errors
/// When the description cannot be read or is not valid, or the image cannot be made.
pub async fn example_image(
    description: &Path,
    arch: Arch,
    cache: &Path,
    reporter: &dyn Reporter,
) -> Result<PathBuf, ExampleImageError> {
    if Arch::host() != Some(arch) {
        return Err(ExampleImageError::Foreign(arch));
    }
    let recipe = recipe(description)?;
    let dir = description.parent().unwrap_or(Path::new("."));
    let name = description.file_stem().unwrap_or_default().to_string_lossy();
    let images = cache.join(DIR);
    fs::create_dir_all(&images).map_err(FileError::of("create", &images))?;
    let key = key(description, &recipe, arch)?;
    let (own, prefix) = (images.join(&key), format!(".{key}-"));
    let _lock = FileLock::acquire(&images.join(format!("{key}.lock")), || {
        reporter.report(&Event::Notice("waiting for another task that makes the same image"));
    })
    .await?;
    let file = format!("{name}.tar");
    if !own.join(&file).exists() {
        leftovers::sweep(&images, &prefix)?;
        let title = format!("Make the container image {name}");
        let phase = Phase::start(reporter, "example-image", &title);
        let work = tempfile::Builder::new().prefix(&prefix).tempdir_in(&images);
        let work = work.map_err(FileError::of("create a directory in", &images))?;
        root(dir, &recipe, arch, work.path()).await?;
        let (made, to) = (work.path().to_owned(), work.path().join(&file));
        blocking::run(move || pack(&recipe, arch, &made, &to)).await?;
        base::files::publish(&work.keep(), &own)?;
        phase.done();
    }
    leftovers::touch(&own)?;
    leftovers::keep_used(&images, KEPT)?;
    Ok(own.join(file))
}

/// Names of the images that `dir` describes.
///
/// # Errors
/// When it cannot be read.
pub fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let is_recipe = |path: &PathBuf| path.extension().is_some_and(|extension| extension == EXTENSION);
    let name = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    Ok(base::files::entries(dir)?.into_iter().filter(is_recipe).filter_map(name).collect())
}

/// The description of the image `name` in `dir`.
///
/// # Errors
/// When there is none.
pub fn description(dir: &Path, name: &str) -> Result<PathBuf, ExampleImageError> {
    let known = names(dir)?;
    if !known.iter().any(|other| other == name) {
        return Err(ExampleImageError::Unknown { name: name.to_owned(), known });
    }
    Ok(dir.join(name).with_extension(EXTENSION))
}

fn recipe(path: &Path) -> Result<Recipe, ExampleImageError> {
    let text = fs::read_to_string(path).map_err(FileError::of("read", path))?;
    let invalid = |error| ExampleImageError::Invalid { path: path.to_owned(), source: Box::new(error) };
    toml::from_str(&text).map_err(invalid)
}

fn key(description: &Path, recipe: &Recipe, arch: Arch) -> Result<String, InputError> {
    let mut key = Key::default().value("version", VERSION.to_le_bytes()).value("arch", arch.as_str());
    key = key.value("pack-paths", PACK_PATHS);
    key = key.tree("recipe", description)?;
    let dir = description.parent().unwrap_or(Path::new("."));
    for tree in recipe.files.iter().chain(&recipe.npm) {
        key = key.tree("tree", &dir.join(tree))?;
    }
    Ok(key.finish())
}

/// Name of the layer in the directory where an image is made.
const LAYER: &str = "layer.tar";

/// Installs the packages, and writes the root as the layer.
async fn root(dir: &Path, recipe: &Recipe, arch: Arch, work: &Path) -> Result<(), ExampleImageError> {
    let mut command = mmdebstrap::command()
        .arg("--variant=essential")
        .arg(format!("--architectures={arch}"))
        .arg(format!("--include={}", recipe.packages.join(",")))
        .args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    if let Some(keyring) = keyring() {
        command = command.arg(format!("--keyring={}", keyring.display()));
    }
    let mut copied = Vec::new();
    if let Some(files) = &recipe.files {
        copied.extend(base::files::entries(&dir.join(files))?);
    }
    if let Some(npm) = &recipe.npm {
        copied.push(installed(&dir.join(npm), work).await?);
    }
    for path in copied {
        command = command.arg(format!("--customize-hook=copy-in '{}' /", path.display()));
    }
    let layer = work.join(LAYER);
    command = match &recipe.paths {
        None => command.args(["--format=tar", "--skip=output/dev", SUITE]).arg(layer),
        Some(paths) => command
            .args(["--format=null", SKIP])
            .arg(format!("--customize-hook={}", packing(paths)))
            .arg(format!("--customize-hook=download /{LAYER} '{}'", layer.display()))
            .args([SUITE, "/dev/null"]),
    };
    let sources = Archives::of_host().await?.sources(SUITE);
    let command = command
        .args(&sources)
        .env("TMPDIR", work)
        .env("DPKG_FORCE", "unsafe-io")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    command.output().await?;
    Ok(())
}

/// The hook that packs these paths as the layer.
fn packing(paths: &[String]) -> String {
    let paths = paths.iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(" ");
    format!("set -- \"$1\" {paths}\n{PACK_PATHS}")
}

/// A copy of the program of npm in `from`, with what it depends on.
async fn installed(from: &Path, work: &Path) -> Result<PathBuf, ExampleImageError> {
    let app = work.join(APP);
    Cmd::new("cp").args(["-R", "--"]).arg(from).arg(&app).output().await?;
    let arguments = ["install", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"];
    Cmd::new("npm").args(arguments).current_dir(&app).output().await?;
    Ok(app)
}

/// Packs the layer and the configuration as `docker save` does, and removes what is not in the archive.
fn pack(recipe: &Recipe, arch: Arch, work: &Path, to: &Path) -> Result<(), ExampleImageError> {
    let layer = work.join(LAYER);
    let id = digest::of_file(&layer).map_err(FileError::of("read", &layer))?;
    let config = json!({
        "architecture": arch.as_str(),
        "os": "linux",
        "config": recipe.config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{id}")]},
    });
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", digest::of_bytes(&config));
    let manifest = json!([{"Config": name, "RepoTags": [recipe.name], "Layers": [LAYER]}]).to_string();
    let write = || -> io::Result<()> {
        let mut archive = Builder::new(File::create_new(to)?);
        archive.append_path_with_name(&layer, LAYER)?;
        for (name, bytes) in [(name.as_str(), config.as_slice()), ("manifest.json", manifest.as_bytes())] {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, bytes)?;
        }
        archive.into_inner()?.sync_all()
    };
    write().map_err(FileError::of("write", to))?;
    fs::remove_file(&layer).map_err(FileError::of("remove", &layer))?;
    let app = work.join(APP);
    Ok(base::files::remove_dir_if_there(&app)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/images");

    #[test]
    fn every_description_is_valid_and_its_trees_exist() {
        let dir = Path::new(EXAMPLES);
        let names = names(dir).unwrap();
        assert!(!names.is_empty());
        for name in names {
            let description = description(dir, &name).unwrap();
            let recipe = recipe(&description).unwrap();
            key(&description, &recipe, Arch::Amd64).unwrap();
        }
        let error = description(dir, "nothing").unwrap_err().to_string();
        assert!(error.starts_with("there is no example image `nothing`: there are "), "{error}");
    }

    #[test]
    fn a_description_elsewhere_has_its_trees_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let description = dir.path().join("own.toml");
        let text = "name = 'own:1'\npackages = []\nfiles = 'root'\n[config]\nCmd = ['true']\n";
        fs::write(&description, text).unwrap();
        let own = recipe(&description).unwrap();
        assert!(key(&description, &own, Arch::Amd64).is_err(), "its tree is missing");
        fs::create_dir(dir.path().join("root")).unwrap();
        let before = key(&description, &own, Arch::Amd64).unwrap();
        fs::write(dir.path().join("root/file"), "").unwrap();
        assert_ne!(key(&description, &own, Arch::Amd64).unwrap(), before);
        fs::write(&description, text.replace("files", "trees")).unwrap();
        let error = recipe(&description).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` is not valid", description.display()));
    }

    #[test]
    fn an_image_that_is_packed_can_be_read() {
        let work = tempfile::tempdir().unwrap();
        let layer = test_images::Layer::new().file("program", b"program");
        fs::write(work.path().join(LAYER), layer.tar()).unwrap();
        let recipe = recipe(&Path::new(EXAMPLES).join("postgres.toml")).unwrap();
        let file = work.path().join("postgres.tar");
        pack(&recipe, Arch::Amd64, work.path(), &file).unwrap();
        let archive = oci::Archive::open(&file, work.path()).unwrap();
        let image = archive.image(Some("postgres:17"), "amd64").unwrap();
        assert_eq!(image.config.entrypoint.unwrap(), ["/usr/local/bin/entrypoint"]);
        assert!(!work.path().join(LAYER).exists());
    }
}
