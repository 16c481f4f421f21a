//! The guest's program: built by cargo as one static binary, keyed by its sources.

use std::path::{Path, PathBuf};

use base::events::{Phase, Reporter};
use base::process::{Cmd, ProcessError};
use image::description::Description;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::inputs::{InputError, Key};
use crate::toolchain::Toolchain;

/// Name of the program in the guest.
const NAME: &str = "stackd";

/// What cargo builds as the guest's program. It is a single one, so that all services share its code in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    package: &'static str,
    program: &'static str,
    /// The parts of the process for services, each a feature of the package.
    features: Vec<String>,
}

impl Recipe {
    /// Chooses the platform, with the built-in product if a service is a program of it, and with the parts that the stack lists.
    pub fn of(described: &Description) -> Self {
        let (package, program) = match (described.product, described.parts.is_empty()) {
            (true, _) => ("product", "stackd-product"),
            (false, false) => ("services", "stackd-services"),
            (false, true) => ("guest", NAME),
        };
        Self { package, program, features: described.parts.clone() }
    }

    /// Cargo's arguments for the features. The platform has none.
    fn selection(&self) -> Vec<String> {
        if self.package == "guest" {
            return Vec::new();
        }
        vec!["--no-default-features".to_owned(), format!("--features={}", self.features.join(","))]
    }
}

/// Why the guest's program could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StackdError {
    /// One of its sources cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// cargo failed, or is not there.
    #[error("cannot build the guest's program `{NAME}`")]
    Cargo(#[source] ProcessError),
    /// cargo's description of the workspace has an unknown format.
    #[error("the answer of `cargo metadata` is not valid")]
    Metadata(#[source] serde_json::Error),
}

/// Computes the key of the program that a build would create: the compiler, the crates that go into it with their versions and features, the
/// sources of those in this workspace, and the release profile. `Cargo.lock` as a whole is not part of it, because it
/// changes with every other program's crates.
///
/// # Errors
/// When a source cannot be read, or cargo or the compiler fails.
pub async fn key(toolchain: &Toolchain, workspace: &Path, recipe: &Recipe) -> Result<String, StackdError> {
    let run = |cmd: Cmd| async move { cmd.current_dir(workspace).text().await.map_err(StackdError::Cargo) };
    let rustc = toolchain.version(workspace).await.map_err(StackdError::Cargo)?;
    let tree =
        Cmd::new("cargo").args(["tree", "--locked", "--package", recipe.package, "--edges", "normal,build"]);
    let tree = tree.args(recipe.selection());
    let tree =
        run(tree.args(["--prefix", "none", "--format", "{p} {f}", "--target", &toolchain.target()])).await?;
    let metadata =
        run(Cmd::new("cargo").args(["metadata", "--locked", "--no-deps", "--format-version", "1"])).await?;
    let members = members(&metadata, &tree)?;

    let mut crates: Vec<_> =
        tree.lines().map(|line| line.replace(&*workspace.to_string_lossy(), "")).collect();
    crates.sort_unstable();
    crates.dedup();
    let mut key = Key::default()
        .value("rustc", rustc)
        .value("target", toolchain.target())
        .value("crates", crates.join("\n"));
    key = key.value("profile", release_profile(&workspace.join("Cargo.toml"))?);
    for (name, dir) in members {
        key = key.tree(&name, &dir)?;
    }
    Ok(key.finish())
}

/// Names and directories of the workspace's own packages that are in a listing of `cargo tree`, sorted.
fn members(metadata: &str, tree: &str) -> Result<Vec<(String, PathBuf)>, StackdError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let Metadata { packages } = serde_json::from_str(metadata).map_err(StackdError::Metadata)?;
    let mut members: Vec<_> = packages
        .into_iter()
        .filter_map(|package| Some((package.name, package.manifest_path.parent()?.to_owned())))
        .filter(|(_, dir)| tree.contains(&format!("({})", dir.display())))
        .collect();
    members.sort_unstable();
    Ok(members)
}

/// The release profile in the workspace's manifest, as text.
fn release_profile(manifest: &Path) -> Result<String, StackdError> {
    let text = std::fs::read_to_string(manifest)
        .map_err(|source| InputError { path: manifest.to_owned(), source })?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| InputError { path: manifest.to_owned(), source: std::io::Error::other(error) })?;
    let profile = table.get("profile").and_then(|profiles| profiles.get("release"));
    Ok(profile.map(ToString::to_string).unwrap_or_default())
}

/// The program of one build, which is built when it is first needed.
pub struct Program<'a> {
    toolchain: &'a Toolchain,
    workspace: &'a Path,
    recipe: Recipe,
    log: PathBuf,
    reporter: &'a dyn Reporter,
    path: PathBuf,
    built: OnceCell<()>,
}

impl<'a> Program<'a> {
    /// The program that `toolchain` builds from the workspace; cargo's output goes to `log`.
    pub fn new(
        toolchain: &'a Toolchain,
        workspace: &'a Path,
        recipe: Recipe,
        log: PathBuf,
        reporter: &'a dyn Reporter,
    ) -> Self {
        let path = toolchain.built(workspace, recipe.program);
        Self { toolchain, workspace, recipe, log, reporter, path, built: OnceCell::new() }
    }

    /// Returns the program as a file, and builds it first if necessary. Other callers wait meanwhile.
    ///
    /// # Errors
    /// When cargo fails; the error has the last lines.
    pub async fn file(&self) -> Result<&Path, StackdError> {
        self.built.get_or_try_init(|| self.build()).await.map_err(StackdError::Cargo)?;
        Ok(&self.path)
    }

    async fn build(&self) -> Result<(), ProcessError> {
        let Self { toolchain, workspace, recipe, log, .. } = self;
        let title = format!("Build the guest's program with {}", toolchain.name());
        let phase = Phase::start(self.reporter, "stackd", &title);
        toolchain.fetch(workspace, log, &phase).await?;
        toolchain
            .cargo(workspace, recipe.package, recipe.program)
            .args(recipe.selection())
            .logged(log, |line| phase.detail(line))
            .await?;
        phase.done();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::events::Silent;
    use image::arch::Arch;
    use image::description::{ServiceFile, StackFile};

    use super::*;

    /// A workspace with the guest, a library that it uses, and another one.
    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"guest\", \"used\", \"other\"]\n");
        put("rust-toolchain.toml", include_str!("../../rust-toolchain.toml"));
        for (name, dependencies) in
            [("guest", "used = { path = \"../used\" }\n"), ("used", ""), ("other", "")]
        {
            let text =
                format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n{dependencies}");
            put(&format!("{name}/Cargo.toml"), &text);
            put(&format!("{name}/src/lib.rs"), "");
        }
        let versions = ["guest", "other", "used"].map(|name| {
            let dependencies = if name == "guest" { "dependencies = [\n \"used\",\n]\n" } else { "" };
            format!("[[package]]\nname = \"{name}\"\nversion = \"0.0.0\"\n{dependencies}\n")
        });
        put("Cargo.lock", &format!("version = 4\n\n{}", versions.concat()));
        dir
    }

    fn described(product: bool, parts: &[&str]) -> Description {
        let file = StackFile::parse(include_str!("source/tests/stack.toml")).unwrap();
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        let service = ServiceFile::parse(include_str!("source/tests/service.toml")).unwrap();
        let described = Description::merge(file, &[("web".to_owned(), service)]).unwrap();
        Description { product, parts, ..described }
    }

    #[test]
    fn a_stack_without_programs_of_the_product_gets_the_platform_alone() {
        let recipe = |product, parts: &[&str]| {
            let recipe = Recipe::of(&described(product, parts));
            (recipe.package, recipe.program, recipe.selection().join(" "))
        };
        assert_eq!(recipe(false, &[]), ("guest", "stackd", String::new()));
        let none = "--no-default-features --features=".to_owned();
        assert_eq!(recipe(true, &[]), ("product", "stackd-product", none.clone()));
        assert_eq!(recipe(false, &["s3"]), ("services", "stackd-services", none + "s3"));
    }

    #[tokio::test]
    async fn the_key_follows_what_goes_into_the_program_and_nothing_else() {
        let dir = workspace();
        let host = Arch::host().unwrap();
        let toolchain = Toolchain::choose(host, dir.path(), dir.path(), &Silent).await.unwrap();
        let key = async || key(&toolchain, dir.path(), &Recipe::of(&described(false, &[]))).await.unwrap();
        let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
        let first = key().await;

        write("other/src/lib.rs", "// changed");
        assert_eq!(key().await, first, "a crate that is not in the program");
        write("used/src/lib.rs", "// changed");
        let second = key().await;
        assert_ne!(second, first, "a crate of the workspace that is in the program");

        let manifest = std::fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
        write("Cargo.toml", &format!("{manifest}[profile.release]\nlto = true\n"));
        assert_ne!(key().await, second, "the release profile");
    }
}
