//! What a compose file says, in types: durations, bytes and ports are numbers, references are checked.

pub mod emulator;
mod files;
mod health;
mod limits;
mod mounts;
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

pub use files::{Content, Document, FileUse};
pub use health::{HealthCheck, HealthTest};
pub use limits::{Limits, Ulimit};
pub use mounts::{Mount, Tmpfs, Volume, VolumeSource};
pub use network::{ExtraHost, HostAddress, Membership, Port};

use crate::error::Place;

use emulator::{ServiceEmulator, StackEmulator};

/// A value that a later check may have to point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is written.
    pub place: Place,
    /// The key that it belongs to: `services.web.image`.
    pub key: String,
}

/// A compose file with the services of the active profiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Its services, in the order of the file.
    pub services: Vec<Service>,
    /// Its named volumes.
    pub volumes: Vec<Volume>,
    /// Names of its networks, which are one in a machine.
    pub networks: Vec<String>,
    /// The `configs` that its services use.
    pub configs: Vec<Document>,
    /// The `secrets` that its services use.
    pub secrets: Vec<Document>,
    /// What `x-emulator` at the top says.
    pub emulator: StackEmulator,
    /// What the author of the file should look at.
    pub warnings: Vec<Warning>,
}

/// A variable that a value names without a default, and that is not set: the value has nothing in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where the value is.
    pub place: Place,
    /// The key of the value.
    pub key: String,
    /// Name of the variable.
    pub variable: String,
}

/// A service: one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, which is also its name in the network.
    pub name: String,
    /// Where its name is written.
    pub place: Place,
    /// Reference of its image. Nothing only if a native service replaces it.
    pub image: Option<Spanned<String>>,
    /// What it runs on: `linux/amd64`.
    pub platform: Option<Spanned<String>>,
    /// Replaces the entry point of the image, and with it the command of the image; empty for none.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the command of the image; empty for none.
    pub command: Option<Vec<String>>,
    /// Variables by their names. One without a value is removed, also if the image sets it.
    pub environment: BTreeMap<String, Option<String>>,
    /// User, and perhaps group, by names or numbers: `node`, `1000:1000`.
    pub user: Option<Spanned<String>>,
    /// Absolute path of the working directory.
    pub working_dir: Option<String>,
    /// Ports that the host can reach.
    pub ports: Vec<Port>,
    /// Ports that only other services reach.
    pub expose: Vec<u16>,
    /// What is mounted over the file system of the image.
    pub mounts: Vec<Mount>,
    /// The configs that it sees as files.
    pub configs: Vec<FileUse>,
    /// The secrets that it sees as files.
    pub secrets: Vec<FileUse>,
    /// Services that start before it.
    pub depends_on: Vec<Dependency>,
    /// What replaces the health check of the image.
    pub health: Option<HealthCheck>,
    /// What happens when its process ends.
    pub restart: Restart,
    /// Its networks and its other names in them.
    pub networks: Vec<Membership>,
    /// Another name in the network.
    pub container_name: Option<String>,
    /// What it takes for its own name.
    pub hostname: Option<String>,
    /// More entries of `/etc/hosts`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Whether a small process of the runtime is the first one, and reaps the others.
    pub init: bool,
    /// Whether the file system of the image is read-only.
    pub read_only: bool,
    /// Capabilities beside the usual ones, as `CAP_NET_ADMIN`, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away, in the same form.
    pub cap_drop: Vec<String>,
    /// Kernel parameters of its network, `net.…`, by their names.
    pub sysctls: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// The signal that ends it: `SIGTERM` or a number.
    pub stop_signal: Option<String>,
    /// Time between that signal and SIGKILL.
    pub stop_grace_period: Option<Duration>,
    /// What its own `x-emulator` says.
    pub emulator: ServiceEmulator,
}

/// A service that starts before another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub service: String,
    /// What has to be true of it.
    pub condition: Condition,
    /// Whether the other one is restarted after it.
    pub restart: bool,
    /// Whether the other one fails with it.
    pub required: bool,
}

/// What has to be true of a service before another one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its process has been started.
    Started,
    /// Its health check passes.
    Healthy,
    /// Its process has ended with 0.
    Completed,
}

/// What happens when the process of a service ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It starts again.
    Always,
    /// It starts again if it has failed, at most so often.
    OnFailure(Option<u32>),
    /// It starts again unless it has been stopped.
    UnlessStopped,
}

impl Project {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
