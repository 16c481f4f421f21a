//! Keys of the file itself, and of networks, volumes, configs and secrets.

use super::{Key, Scope, applied, ignored, refused};

const LABELS: Key = ignored("labels", "nothing reads labels");
const NAME: Key = ignored("name", "names inside of a machine do not meet others");
const DRIVER_OPTS: Key = refused("driver_opts", "drivers of the host are not available", "remove the key");
const EXTERNAL: &str = "there is nothing outside of the file in a machine";

pub(crate) const PROJECT: Scope = Scope {
    path: "",
    keys: &[
        applied("services", "each service is one container"),
        applied("networks", "all networks are one flat network; service names and aliases resolve"),
        applied("volumes", "named volumes are directories on the machine's disk"),
        applied("configs", "files in containers"),
        applied("secrets", "files in containers"),
        applied("name", "name of the project"),
        ignored("version", "compose ignores it too"),
        refused(
            "include",
            "only one file is read",
            "write the services into this file: `docker compose config` prints them",
        ),
        refused("models", "there are no language models in a machine", "remove the key"),
        refused("jobs", "jobs are not supported", "write a service with `restart: no`"),
    ],
};

pub(crate) const NETWORK: Scope = Scope {
    path: "networks.*",
    keys: &[
        applied("driver", "`bridge` and `default` are accepted"),
        NAME,
        ignored("attachable", "only services of the file use the network"),
        LABELS,
        DRIVER_OPTS,
        refused("ipam", "addresses in the machine are not chosen", "use the names of services"),
        refused("external", EXTERNAL, "remove the key"),
        refused(
            "internal",
            "all networks of a file are one",
            "write `network: closed` under `x-emulator` to keep the machine from reaching others",
        ),
        refused("enable_ipv4", "addresses in the machine are not chosen", "remove the key"),
        refused("enable_ipv6", "addresses in the machine are not chosen", "remove the key"),
    ],
};

pub(crate) const VOLUME: Scope = Scope {
    path: "volumes.*",
    keys: &[
        applied("driver", "`local` is accepted"),
        NAME,
        LABELS,
        DRIVER_OPTS,
        refused("external", EXTERNAL, "remove the key: the volume is created in the machine"),
    ],
};

pub(crate) const CONFIG: Scope = Scope {
    path: "configs.*",
    keys: &[
        applied("file", "content of this file, at most 1 MiB"),
        applied("environment", "value of this variable"),
        applied("content", "this text"),
        NAME,
        LABELS,
        refused("external", EXTERNAL, "write `file`, `environment` or `content`"),
        refused("template_driver", "templates are not supported", "write the content as it is"),
    ],
};

pub(crate) const SECRET: Scope = Scope {
    path: "secrets.*",
    keys: &[
        applied("file", "content of this file, at most 1 MiB"),
        applied("environment", "value of this variable"),
        NAME,
        LABELS,
        refused("external", EXTERNAL, "write `file` or `environment`"),
        refused("driver", "drivers of secrets are not available", "write `file` or `environment`"),
        DRIVER_OPTS,
        refused("template_driver", "templates are not supported", "write the content as it is"),
    ],
};
