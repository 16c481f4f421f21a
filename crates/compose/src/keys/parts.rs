//! Keys of what a service consists of.

use super::{Key, Scope, applied, ignored, refused};

const SOURCE: Key = applied("source", "name under `configs` or `secrets`");
const UID: Key = applied("uid", "owner, a number");
const GID: Key = applied("gid", "group, a number");
const MODE: Key = applied("mode", "permissions, octal: `0440`");
const ADDRESS: &str = "addresses in the machine are not chosen";
const SWARM: &str = "there is one machine and one container of each service";

pub(crate) const PORT: Scope = Scope {
    path: "services.*.ports[]",
    keys: &[
        applied("target", "port in the container"),
        applied("published", "port of the host, or as many ports as targets"),
        applied("host_ip", "an address of the loopback interface"),
        applied("protocol", "`tcp`"),
        applied("name", "name that people read"),
        applied("app_protocol", "protocol that is spoken"),
        ignored("mode", "there is one machine"),
    ],
};

pub(crate) const VOLUME_MOUNT: Scope = Scope {
    path: "services.*.volumes[]",
    keys: &[
        applied("type", "`volume` or `tmpfs`"),
        applied("source", "name of a volume"),
        applied("target", "absolute path in the container"),
        applied("read_only", "the container cannot write to it"),
        applied("volume", "options of a volume"),
        applied("tmpfs", "options of a file system in memory"),
        ignored("consistency", "the machine's disk is always consistent"),
        refused("bind", "paths of the host are not in the machine", "use a named volume, or `configs`"),
        refused("image", "images are not mounted as volumes", "use a named volume"),
    ],
};

pub(crate) const VOLUME_OPTIONS: Scope = Scope {
    path: "services.*.volumes[].volume",
    keys: &[
        applied("nocopy", "an empty volume is not filled from the image"),
        ignored("labels", "nothing reads labels"),
        refused("subpath", "volumes are mounted as a whole", "use a volume for each directory"),
    ],
};

pub(crate) const TMPFS: Scope = Scope {
    path: "services.*.volumes[].tmpfs",
    keys: &[applied("size", "size"), applied("mode", "permissions of its root, octal: `0700`")],
};

pub(crate) const CONFIG_USE: Scope = Scope {
    path: "services.*.configs[]",
    keys: &[SOURCE, applied("target", "absolute path; `/NAME` without it"), UID, GID, MODE],
};

pub(crate) const SECRET_USE: Scope = Scope {
    path: "services.*.secrets[]",
    keys: &[SOURCE, applied("target", "absolute path, or a name in `/run/secrets`"), UID, GID, MODE],
};

pub(crate) const ENV_FILE: Scope = Scope {
    path: "services.*.env_file[]",
    keys: &[
        applied("path", "path of the file, from the compose file"),
        applied("required", "whether its absence is an error"),
        applied("format", "`raw` for values without quotes and variables"),
    ],
};

pub(crate) const DEPENDENCY: Scope = Scope {
    path: "services.*.depends_on.*",
    keys: &[
        applied("condition", "`service_started`, `service_healthy` or `service_completed_successfully`"),
        applied("restart", "whether this service is restarted after the other one"),
        applied("required", "whether the other one may be missing or fail"),
    ],
};

pub(crate) const HEALTH: Scope = Scope {
    path: "services.*.healthcheck",
    keys: &[
        applied("test", "`CMD`, `CMD-SHELL` or `NONE` with words, or text for a shell"),
        applied("interval", "time between two checks"),
        applied("timeout", "time after which a check has failed"),
        applied("retries", "failures that make the service unhealthy"),
        applied("start_period", "time during which failures do not count"),
        applied("start_interval", "time between two checks during the start period"),
        applied("disable", "removes the health check of the image"),
    ],
};

pub(crate) const MEMBERSHIP: Scope = Scope {
    path: "services.*.networks.*",
    keys: &[
        applied("aliases", "other names of the service"),
        ignored("priority", "there is one network"),
        ignored("gw_priority", "there is one network"),
        refused("ipv4_address", ADDRESS, "use the names of services"),
        refused("ipv6_address", ADDRESS, "use the names of services"),
        refused("link_local_ips", ADDRESS, "remove the key"),
        refused("mac_address", ADDRESS, "remove the key"),
        refused("interface_name", "names of interfaces are not chosen", "remove the key"),
        refused("driver_opts", "drivers of the host are not available", "remove the key"),
        refused("use_service_name_alias", "names of services always resolve", "remove the key"),
    ],
};

pub(crate) const ULIMIT: Scope = Scope {
    path: "services.*.ulimits.*",
    keys: &[
        applied("soft", "the limit, -1 for none"),
        applied("hard", "what it may be raised to, -1 for anything"),
    ],
};

pub(crate) const DEPLOY: Scope = Scope {
    path: "services.*.deploy",
    keys: &[
        applied("resources", "limits"),
        applied("replicas", "`1` is accepted"),
        ignored("labels", "nothing reads labels"),
        refused("mode", SWARM, "remove the key"),
        refused("endpoint_mode", SWARM, "remove the key"),
        refused("placement", SWARM, "remove the key"),
        refused("restart_policy", SWARM, "write `restart` in the service"),
        refused("update_config", SWARM, "remove the key"),
        refused("rollback_config", SWARM, "remove the key"),
    ],
};

pub(crate) const RESOURCES: Scope = Scope {
    path: "services.*.deploy.resources",
    keys: &[
        applied("limits", "what the container may use"),
        refused("reservations", "nothing is reserved in a machine", "write `limits`"),
    ],
};

pub(crate) const LIMITS: Scope = Scope {
    path: "services.*.deploy.resources.limits",
    keys: &[
        applied("memory", "most memory"),
        applied("cpus", "most processors"),
        applied("pids", "most processes"),
    ],
};
