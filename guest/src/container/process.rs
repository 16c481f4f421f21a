//! A process in a container, as `crun` reads it: the part `process` of the runtime specification of the Open Container Initiative.

use protocol::containers::{Container, Ulimit};
use serde_json::{Value, json};

use super::{accounts::User, capabilities, environment::Variables};

/// What the processes of one container have in common.
pub(super) struct Template<'a> {
    pub(super) container: &'a Container,
    pub(super) user: &'a User,
    pub(super) variables: &'a Variables,
}

impl Template<'_> {
    /// A process that runs `args`, without a terminal.
    pub(super) fn process(&self, args: &[String]) -> Value {
        let Self { container, user, variables } = self;
        let capabilities = capabilities::set(&container.cap_add, &container.cap_drop);
        json!({
            "terminal": false,
            "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.groups},
            "args": args,
            "env": variables.entries(),
            "cwd": container.working_dir.as_deref().unwrap_or("/"),
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": container.ulimits.iter().map(limit).collect::<Vec<_>>(),
        })
    }
}

/// No limit is the largest number.
fn limit(Ulimit { name, soft, hard }: &Ulimit) -> Value {
    json!({
        "type": format!("RLIMIT_{}", name.to_ascii_uppercase()),
        "soft": soft.unwrap_or(u64::MAX),
        "hard": hard.unwrap_or(u64::MAX),
    })
}
