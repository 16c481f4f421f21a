//! What a machine is compared with: the programs of a stack on this host, with a database that is made for each run.
//!
//! Each program runs in the root of its own image, with the variables, files and volumes that its container would have. All are in one
//! network of their own, so that they have their usual ports whatever this host serves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use base::blocking;
use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock};
use base::process::Cmd;
use base::variables;
use image::arch::Arch;
use image_build::containers::{ComposeFile, Composed, Part};
use oci::LayerStore;
use tempfile::TempDir;

use super::example;
use super::network::{Network, Sign};
use super::program::{Program, Running};

/// The name of the port that a client of a stack talks to.
const MAIN_PORT: &str = "backend";

/// Beginning of the names of directories of the cache with roots and data.
const PREFIX: &str = "native-";

/// The file of the cache that is locked as long as one of them is in use.
const LOCK: &str = "native.lock";

/// How a layer is unpacked: as in the machine.
const UNPACK: [&str; 5] =
    ["--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--xattrs"];

/// The programs of a stack.
#[derive(Debug)]
pub(crate) struct Native {
    /// What the main one needs, then the main one.
    programs: Vec<Program>,
    dir: TempDir,
    /// What another task needs to remove the directory.
    _lock: FileLock,
}

/// Refuses what only the end of long preparations would show.
///
/// # Errors
/// When this process is not root, which may change the root of programs.
pub(crate) fn check_rights() -> anyhow::Result<()> {
    ensure!(
        base::advice::is_root(),
        "`bench --stack` runs programs in roots, networks and mounts of their own, which needs root: run it as root, as in \
         `sudo --preserve-env cargo xtask bench --stack NAME`"
    );
    Ok(())
}

impl Native {
    /// Unpacks the images of the stack at `file` in a directory of `cache`, and removes what a task that was killed has left there.
    /// `platform` has the native services that they replace.
    ///
    /// # Errors
    /// When an image cannot be unpacked.
    pub(crate) async fn prepare(
        file: &ComposeFile,
        platform: &Path,
        arch: Arch,
        cache: &Path,
        console: &dyn Reporter,
    ) -> anyhow::Result<Self> {
        let waiting = || console.report(&Event::Notice("waiting for another benchmark of a stack"));
        let lock = FileLock::acquire(&cache.join(LOCK), waiting).await?;
        sweep(cache)?;
        let phase = Phase::start(console, "bench-native", "Unpack the images for programs without a machine");
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(cache);
        let dir = dir.map_err(FileError::of("create a directory in", cache))?;
        let mut project = file.read(variables::text)?;
        let natives = file.natives(&project, platform)?;
        example::without_native(&mut project, &natives);
        let found = file.find(&project, arch, dir.path()).await?;
        let composed = file.compose(&project, &natives, &found)?;
        for (name, image) in &composed.images {
            phase.detail(name);
            unpack(image, dir.path(), name).await?;
        }
        let programs = programs(&composed, dir.path())?;
        phase.done();
        Ok(Self { programs, dir, _lock: lock })
    }

    /// Runs them from nothing: how many seconds it takes until the main one answers. Nothing is left of them.
    ///
    /// # Errors
    /// When one of them fails, or does not answer.
    pub(super) async fn run(&self) -> anyhow::Result<f64> {
        let data = tempfile::Builder::new().prefix("run-").tempdir_in(self.dir.path());
        let data = data.map_err(FileError::of("create a directory in", self.dir.path()))?;
        let mut running = Vec::new();
        let seconds = self.answered(data.path(), &mut running).await;
        // Those that need others end before them.
        for program in running.into_iter().rev() {
            program.end().await?;
        }
        seconds
    }

    async fn answered(&self, data: &Path, running: &mut Vec<Running>) -> anyhow::Result<f64> {
        let (main, others) = self.programs.split_last().context("there are no programs")?;
        let begun = Instant::now();
        let mut network: Option<Network> = None;
        for program in others {
            let mut started = program.start(data, network.as_ref())?;
            if network.is_none() {
                network = Some(started.network().await?);
            }
            running.push(started);
        }
        let needed = network.as_ref();
        for (program, started) in others.iter().zip(running.iter_mut()) {
            started.shows(&program.sign, needed.context("no program has a network")?).await?;
        }
        let mut started = main.start(data, needed)?;
        let own = if network.is_none() { Some(started.network().await?) } else { network };
        let shown = started.shows(&main.sign, own.as_ref().context("no program has a network")?).await;
        let seconds = begun.elapsed().as_secs_f64();
        running.push(started);
        shown.map(|()| seconds)
    }
}

/// Removes the directories of tasks that were killed. The lock must be held.
fn sweep(cache: &Path) -> Result<(), FileError> {
    for path in base::files::entries(cache)? {
        let is_ours =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        if is_ours && path.is_dir() {
            fs::remove_dir_all(&path).map_err(FileError::of("remove", &path))?;
        }
    }
    Ok(())
}

/// Unpacks the only layer of an image into the directory `name` of `dir`.
async fn unpack(image: &oci::Image, dir: &Path, name: &str) -> anyhow::Result<()> {
    let (work, own) = (dir.join("layers"), dir.join(name));
    for dir in [&work, &own] {
        fs::create_dir_all(dir).map_err(FileError::of("create", dir))?;
    }
    let (image, store) = (image.clone(), work.clone());
    let layers = blocking::run(move || LayerStore::new(store).add(&image)).await?;
    let [layer] = layers.as_slice() else {
        anyhow::bail!("the image of `{name}` has {} layers: only overlayfs could show them", layers.len());
    };
    let tar = Cmd::new("tar").args(UNPACK).arg("--xattrs-include=*");
    tar.arg("--file").arg(&layer.path).arg("--directory").arg(&own).output().await?;
    fs::remove_dir_all(&work).map_err(FileError::of("remove", &work))?;
    Ok(())
}

/// The programs of the stack's containers, whose roots are in `dir`.
fn programs(composed: &Composed, dir: &Path) -> anyhow::Result<Vec<Program>> {
    let placeholders: BTreeMap<String, String> = (composed.services.iter())
        .filter_map(|part| if let Part::Container { file, .. } = part { Some(file) } else { None })
        .flat_map(|file| &file.secrets)
        .map(|secret| (secret.env.clone(), secret.placeholder.clone()))
        .collect();
    let names =
        composed.containers.iter().flat_map(|one| [&one.name, &one.hostname].into_iter().chain(&one.aliases));
    let names = ["localhost"].into_iter().chain(names.map(String::as_str));
    let hosts = names.map(|name| ["127.0.0.1 ", name, "\n"].concat()).collect::<Vec<_>>().concat();
    let program = |container| {
        let sign = sign(composed, container)?;
        Program::new(container, sign, dir, &hosts, &placeholders)
    };
    composed.containers.iter().map(program).collect()
}

/// What shows that the program of `container` works.
fn sign(composed: &Composed, container: &protocol::containers::Container) -> anyhow::Result<Sign> {
    let of_container = |part: &&Part| part.name() == container.name;
    if let Some(Part::Container { file, .. }) = composed.services.iter().find(of_container)
        && let Some(port) = file.ports.iter().find(|port| port.name == MAIN_PORT)
    {
        let inner = container.published.iter().find(|published| published.guest == port.guest);
        return Ok(Sign::Answers {
            port: inner.map_or(port.guest, |published| published.container),
            path: port.health.clone().context("the main port of the stack has no health path")?,
        });
    }
    let exposed = composed.images.get(&container.name).map(|image| image.config.exposed_ports.as_slice());
    let port = exposed.into_iter().flatten().find_map(|port| port.strip_suffix("/tcp")?.parse().ok());
    let port = port.with_context(|| format!("the image of `{}` exposes no port", container.name))?;
    Ok(Sign::of_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_benchmark_has_left_is_removed() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join("native-1/web/etc")).unwrap();
        for other in ["layers", "native"] {
            fs::create_dir(cache.path().join(other)).unwrap();
        }
        fs::write(cache.path().join(LOCK), "").unwrap();
        sweep(cache.path()).unwrap();
        let mut left: Vec<_> = base::files::entries(cache.path()).unwrap();
        left.sort();
        assert_eq!(left, ["layers", "native", LOCK].map(|name| cache.path().join(name)));
    }
}
