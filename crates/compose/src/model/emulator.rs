//! What `x-emulator` says: what compose has no word for. The shapes are checked, their meaning is not.

use super::Spanned;

/// `x-emulator` at the top of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StackEmulator {
    /// Name of the stack, if it is not the project's.
    pub name: Option<Spanned<String>>,
    /// The port that is called `backend`.
    pub backend: Option<Spanned<PortReference>>,
    /// The machine.
    pub machine: Machine,
    /// What the machine may reach.
    pub network: Option<Spanned<Network>>,
    /// Names of native services.
    pub services: Vec<Spanned<String>>,
    /// What is replaced by fresh values for every session.
    pub secrets: Vec<Secret>,
    /// Variables for programs of developers.
    pub exports: Vec<Export>,
    /// What is done when secrets are replaced.
    pub hooks: Hooks,
    /// Requests that are made before the snapshot is taken.
    pub warm_up: Vec<WarmUp>,
}

/// `x-emulator` of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceEmulator {
    /// Name of a native service that replaces this one.
    pub native: Option<Spanned<String>>,
    /// Path that answers 200 when the service is ready, on its first port.
    pub health: Option<Spanned<String>>,
    /// What is said about its ports.
    pub ports: Vec<PortSettings>,
    /// Paths that are requested on its first port before the snapshot is taken.
    pub warm_up: Vec<Spanned<String>>,
}

/// A port of a service: `web` or `web:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortReference {
    /// Name of the service.
    pub service: String,
    /// The port in its container; its first one if nothing is said.
    pub port: Option<u16>,
}

/// Size of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Memory in MiB.
    pub memory_mib: Option<Spanned<u64>>,
    /// Virtual CPUs.
    pub cpus: Option<Spanned<u32>>,
    /// Virtual size of the disk in GiB.
    pub disk_gib: Option<Spanned<u64>>,
}

/// What a machine may reach outside of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The networks of the host.
    Open,
    /// Nothing.
    Closed,
}

/// What is said about a port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSettings {
    /// The port in the container.
    pub port: Spanned<u16>,
    /// Name that people read and flags are made from.
    pub name: Option<Spanned<String>>,
    /// Path that answers 200 when the service is ready.
    pub health: Option<Spanned<String>>,
    /// Environment variable that overrides the host port.
    pub env: Option<Spanned<String>>,
}

/// A value that every session has its own of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name in records and messages.
    pub name: Spanned<String>,
    /// The variable that carries it.
    pub env: Spanned<String>,
    /// What it looks like.
    pub format: Option<Spanned<String>>,
    /// The value in the image.
    pub placeholder: Option<Spanned<String>>,
    /// Whether it may be sent to every visitor of a site.
    pub publishable: bool,
    /// The services that get it.
    pub into: Vec<Recipient>,
}

/// A service that gets a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Name of the service.
    pub service: Spanned<String>,
    /// How it gets the secret.
    pub delivery: Delivery,
}

/// How a service gets a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// As a variable: this one, or the one of the secret.
    Env(Option<Spanned<String>>),
    /// As a file at this absolute path.
    File(Spanned<String>),
}

/// A variable for programs of developers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value, with placeholders.
    pub value: Spanned<String>,
    /// Prefixes under which it is given once more.
    pub public: Vec<Spanned<String>>,
}

/// What is done when secrets are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Services that are restarted.
    pub restart: Vec<Spanned<String>>,
    /// Files in which placeholders are replaced before that.
    pub replace: Vec<Replace>,
    /// Statements that put secrets into databases.
    pub sql: Vec<Sql>,
}

/// A statement that puts secrets into a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sql {
    /// The database.
    pub database: Database,
    /// Statements that are executed when the connection is opened.
    pub setup: Vec<String>,
    /// The statement: `$1` is the first secret.
    pub statement: Spanned<String>,
    /// Names of secrets.
    pub secrets: Vec<Spanned<String>>,
}

/// A database of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// The one of this connection string, with places for secrets.
    Url(Spanned<String>),
    /// The one of this service, which a native service replaces.
    Service(Spanned<String>),
}

/// A placeholder in a file of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// Name of the service.
    pub service: Spanned<String>,
    /// Absolute path of the file in its container.
    pub file: Spanned<String>,
    /// Name of the secret.
    pub secret: Spanned<String>,
}

/// A request that is made before the snapshot is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// The port; `backend` if nothing is said.
    pub port: Option<Spanned<PortReference>>,
    /// The path.
    pub path: Spanned<String>,
}
