//! A stack from a compose file and container images: the same descriptions, units and files that the directory of a stack has, made in
//! memory.
//!
//! `docs/stacks.md` says what becomes of what. Nothing here knows how an image is built; [`Composed`] is what is built.

mod container;
mod environment;
mod error;
mod find;
mod health;
mod layers;
mod names;
mod native;
mod pointer;
mod ports;
mod secrets;
mod skopeo;
mod sql;
mod stack;
mod starting_point;
mod unit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::image::arch::Arch;
use ::image::description::{ServiceFile, StackFile};
use ::image::stack::Port;
use compose::Project;
use compose::model::Spanned;
use oci::Image;
use protocol::containers::Container;
use protocol::sql::Sql;

use crate::source::SourceError;

pub use error::{ContainersError, Missing, NotCopied};
pub use find::{Found, ImageFile, ImagePlace};
pub(crate) use layers::{Layers, prepare};
pub use native::Natives;
pub use starting_point::starting_point;

/// Debian packages that a stack with containers adds to the base.
pub(crate) const PACKAGES: [&str; 2] = ["crun", "nftables"];

/// The word of the kernel's command line that makes limits of memory ineffective.
pub(crate) const NO_MEMORY_LIMITS: &str = "cgroup_disable=memory";

/// Names of compose files, in the order in which they are looked for.
const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// A compose file, and where its images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeFile {
    /// The file.
    pub path: PathBuf,
    /// The profiles whose services are part of the stack.
    pub profiles: Vec<String>,
    /// Where images are.
    pub images: Vec<ImageFile>,
}

/// What a compose file describes, in the terms of an image build.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The compose file.
    pub path: PathBuf,
    /// The stack.
    pub stack: StackFile,
    /// Its services, in the order in which they are started.
    pub services: Vec<Part>,
    /// Its containers, without their layers.
    pub containers: Vec<Container>,
    /// Their images, by the names of the containers.
    pub images: BTreeMap<String, Image>,
    /// More files of the guest: texts by their paths, without the first `/`.
    pub files: BTreeMap<String, String>,
    /// Secrets that databases keep.
    pub sql: Option<Sql>,
    /// The size of the disk in GiB, if the file says it.
    pub disk_gib: Option<Spanned<u64>>,
    /// Whether a container has a limit of memory.
    pub limits_memory: bool,
    /// What the author of the file should look at.
    pub warnings: Vec<String>,
}

/// A service of such a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// One of the directories of the platform's or the stack's services.
    Native {
        /// Its name.
        name: String,
        /// What it serves to the host beside its own ports.
        ports: Vec<Port>,
    },
    /// A container.
    Container {
        /// Its name.
        name: String,
        /// Its description.
        file: Box<ServiceFile>,
        /// The text of its unit.
        unit: String,
    },
}

impl Composed {
    /// What of it shapes an image, as one text: the same text and the same layers give the same image.
    pub(crate) fn key_text(&self) -> String {
        let Self { stack, services, containers, images, files, sql, .. } = self;
        let images: Vec<_> = images.iter().map(|(name, image)| (name, image.id.to_string())).collect();
        format!("{stack:?}\n{services:?}\n{containers:?}\n{images:?}\n{files:?}\n{sql:?}")
    }
}

impl Part {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Native { name, .. } | Self::Container { name, .. } => name,
        }
    }
}

impl ComposeFile {
    /// The compose file at `path`, or in the directory `path`; none if there is none in the directory.
    pub fn at(path: &Path) -> Option<PathBuf> {
        if !path.is_dir() {
            return Some(path.to_owned());
        }
        FILES.iter().map(|name| path.join(name)).find(|file| file.is_file())
    }

    /// Reads the file; variables in its values come from `environment`.
    ///
    /// # Errors
    /// When it is not a compose file that a machine can run.
    pub fn read(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Project, ContainersError> {
        Ok(Project::read(&self.path, environment, &self.profiles)?)
    }

    /// Reads which native services containers can use: those of the platform in `dir`, and those that `project` names in `services`
    /// beside the compose file.
    ///
    /// # Errors
    /// When the description of a service cannot be read, or is not valid.
    pub fn natives(&self, project: &Project, dir: &Path) -> Result<Natives, SourceError> {
        Natives::read(dir, self.path.parent().unwrap_or(Path::new(".")), project)
    }

    /// Finds the images of `project` for `arch`. What is compressed is unpacked in the directory `scratch`.
    ///
    /// # Errors
    /// When an image is missing, is for another architecture, or cannot be read.
    pub async fn find(
        &self,
        project: &Project,
        arch: Arch,
        scratch: &Path,
    ) -> Result<Found, ContainersError> {
        find::find(self, project, arch, scratch).await
    }

    /// Describes the stack.
    ///
    /// # Errors
    /// When a machine cannot run it as it is.
    pub fn compose(
        &self,
        project: &Project,
        natives: &Natives,
        found: &Found,
    ) -> Result<Composed, ContainersError> {
        stack::compose(&self.path, project, natives, found)
    }
}

#[cfg(test)]
mod tests;
