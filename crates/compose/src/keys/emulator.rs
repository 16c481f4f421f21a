//! Keys below `x-emulator`.

use super::{Key, Scope, applied};

const NAME: Key = applied("name", "name");
const HEALTH: Key = applied("health", "path that answers 200 when the service is ready");
const WARM_UP_REQUESTS: Key = applied("warmUp", "requests before the snapshot is taken");
const SERVICE: Key = applied("service", "name of a service");

pub(crate) const STACK_EMULATOR: Scope = Scope {
    path: "x-emulator",
    keys: &[
        NAME,
        applied("backend", "the main port: `SERVICE` or `SERVICE:PORT`"),
        applied("machine", "size of the machine"),
        applied("network", "`open` or `closed`"),
        applied("services", "names of native services"),
        applied("secrets", "values that every session has its own of"),
        applied("exports", "variables for programs of developers"),
        applied("hooks", "what is done when secrets are replaced"),
        WARM_UP_REQUESTS,
    ],
};

pub(crate) const SERVICE_EMULATOR: Scope = Scope {
    path: "services.*.x-emulator",
    keys: &[
        applied("native", "name of a native service that replaces this one"),
        HEALTH,
        applied("ports", "settings by port in the container"),
        WARM_UP_REQUESTS,
    ],
};

pub(crate) const MACHINE: Scope = Scope {
    path: "x-emulator.machine",
    keys: &[
        applied("memoryMib", "memory in MiB"),
        applied("cpus", "virtual CPUs"),
        applied("diskGib", "size of the disk in GiB"),
    ],
};

pub(crate) const PORT_SETTINGS: Scope = Scope {
    path: "services.*.x-emulator.ports.*",
    keys: &[NAME, HEALTH, applied("env", "variable that overrides the port of the host")],
};

pub(crate) const SECRET: Scope = Scope {
    path: "x-emulator.secrets[]",
    keys: &[
        NAME,
        applied("env", "variable that carries it"),
        applied("format", "what it looks like"),
        applied("placeholder", "value in the image"),
        applied("publishable", "whether visitors of a site may have it"),
        applied("into", "services that get it"),
    ],
};

pub(crate) const RECIPIENT: Scope = Scope {
    path: "x-emulator.secrets[].into[]",
    keys: &[
        SERVICE,
        applied("env", "variable in the container"),
        applied("file", "absolute path in the container"),
    ],
};

pub(crate) const EXPORT: Scope = Scope {
    path: "x-emulator.exports[]",
    keys: &[NAME, applied("value", "value with placeholders"), applied("public", "prefixes of other names")],
};

pub(crate) const HOOKS: Scope = Scope {
    path: "x-emulator.hooks",
    keys: &[
        applied("restart", "services that are restarted"),
        applied("replace", "files in which placeholders are replaced"),
        applied("sql", "statements that put secrets into databases"),
    ],
};

pub(crate) const SQL: Scope = Scope {
    path: "x-emulator.hooks.sql[]",
    keys: &[
        applied("url", "connection string of PostgreSQL, with `{secret:NAME}`"),
        applied("service", "instead of `url`: a service that is the native PostgreSQL"),
        applied("setup", "statements that are executed when the connection is opened"),
        applied("statement", "what replaces secrets: `$1` is the first one"),
        applied("secrets", "names of secrets"),
    ],
};

pub(crate) const REPLACE: Scope = Scope {
    path: "x-emulator.hooks.replace[]",
    keys: &[
        SERVICE,
        applied("file", "absolute path in the container"),
        applied("secret", "name of a secret"),
    ],
};

pub(crate) const WARM_UP: Scope = Scope {
    path: "x-emulator.warmUp[]",
    keys: &[applied("port", "`SERVICE` or `SERVICE:PORT`"), applied("path", "path of the request")],
};
