//! Every key of the public compose schema, and what happens to it. Decoding and the documentation read the same list.

mod emulator;
mod parts;
mod service;
mod top;

pub(crate) use emulator::{
    EXPORT, HOOKS, MACHINE, PORT_SETTINGS, RECIPIENT, REPLACE, SECRET as EMULATOR_SECRET, SERVICE_EMULATOR,
    SQL, STACK_EMULATOR, WARM_UP,
};
pub(crate) use parts::{
    CONFIG_USE, DEPENDENCY, DEPLOY, ENV_FILE, HEALTH, LIMITS, MEMBERSHIP, PORT, RESOURCES, SECRET_USE, TMPFS,
    ULIMIT, VOLUME_MOUNT, VOLUME_OPTIONS,
};
pub(crate) use service::SERVICE;
pub(crate) use top::{CONFIG, NETWORK, PROJECT, SECRET, VOLUME};

/// The keys of one kind of map.
#[derive(Debug)]
pub struct Scope {
    /// Where such a map is, as a path: `services.*.ports[]`. Empty for the file itself.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What happens to it.
    pub support: Support,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is applied.
    Applied(&'static str),
    /// It is accepted and has no effect, for this reason.
    Ignored(&'static str),
    /// It is an error.
    Refused {
        /// The reason.
        reason: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
}

/// Every kind of map that the public compose schema describes and that is not refused as a whole.
pub const SCOPES: [&Scope; 20] = [
    &PROJECT,
    &SERVICE,
    &PORT,
    &VOLUME_MOUNT,
    &VOLUME_OPTIONS,
    &TMPFS,
    &CONFIG_USE,
    &SECRET_USE,
    &ENV_FILE,
    &DEPENDENCY,
    &HEALTH,
    &MEMBERSHIP,
    &ULIMIT,
    &DEPLOY,
    &RESOURCES,
    &LIMITS,
    &NETWORK,
    &VOLUME,
    &CONFIG,
    &SECRET,
];

/// Every kind of map below `x-emulator`.
pub const EMULATOR_SCOPES: [&Scope; 11] = [
    &STACK_EMULATOR,
    &MACHINE,
    &EMULATOR_SECRET,
    &RECIPIENT,
    &EXPORT,
    &HOOKS,
    &REPLACE,
    &SQL,
    &WARM_UP,
    &SERVICE_EMULATOR,
    &PORT_SETTINGS,
];

impl Scope {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether compose does not know these keys: they are below `x-emulator`.
    pub(crate) fn is_own(&self) -> bool {
        self.path.split('.').any(|part| part == "x-emulator")
    }

    /// Names of the keys that are applied.
    pub(crate) fn applied(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(|key| matches!(key.support, Support::Applied(_))).map(|key| key.name)
    }
}

const fn applied(name: &'static str, effect: &'static str) -> Key {
    Key { name, support: Support::Applied(effect) }
}

const fn ignored(name: &'static str, reason: &'static str) -> Key {
    Key { name, support: Support::Ignored(reason) }
}

const fn refused(name: &'static str, reason: &'static str, instead: &'static str) -> Key {
    Key { name, support: Support::Refused { reason, instead } }
}
