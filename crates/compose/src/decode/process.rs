//! How the process of a service runs: user, rights, signals, restarts, and what starts before it.

use std::collections::BTreeMap;

use super::At;
use crate::error::Result;
use crate::keys;
use crate::model::{Condition, Dependency, Restart, Spanned};

/// Capabilities of Linux, without `CAP_`: capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// All capabilities.
const ALL: &str = "ALL";

/// Signals of Linux, without `SIG`: signal(7).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Highest number of a signal.
const LAST_SIGNAL: u8 = 64;

impl At<'_> {
    /// `USER` or `USER:GROUP`.
    pub(super) fn user(&self) -> Result<Spanned<String>> {
        let text = self.filled()?;
        let part =
            |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
        let parts: Vec<_> = text.split(':').collect();
        if parts.len() <= 2 && parts.into_iter().all(part) {
            Ok(self.spanned(text.to_owned()))
        } else {
            Err(self.invalid(text, "a user").instead("write `USER`, `UID` or `UID:GID`"))
        }
    }

    /// A list of capabilities.
    pub(super) fn capabilities(&self) -> Result<Vec<String>> {
        let capability = |item: &At<'_>| {
            let text = item.filled()?;
            let upper = text.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            match name {
                ALL => Ok(ALL.to_owned()),
                _ if CAPABILITIES.contains(&name) => Ok(format!("CAP_{name}")),
                _ => Err(item.invalid(text, "a capability of Linux").instead("write one of capabilities(7)")),
            }
        };
        self.list()?.iter().map(capability).collect()
    }

    /// Parameters of the network: a map, or a list of `NAME=VALUE`.
    pub(super) fn sysctls(&self) -> Result<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        if self.is_list() {
            for item in self.list()? {
                let text = item.text()?;
                let (name, value) = text.split_once('=').ok_or_else(|| {
                    item.invalid(text, "a parameter with its value").instead("write `NAME=VALUE`")
                })?;
                parameters.insert(item.sysctl(name)?, value.to_owned());
            }
        } else {
            for (name, at) in self.named()? {
                parameters.insert(at.sysctl(name)?, at.value()?.to_owned());
            }
        }
        Ok(parameters)
    }

    fn sysctl(&self, name: &str) -> Result<String> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if name.starts_with("net.") && name.chars().all(known) && !name.contains("..") {
            return Ok(name.to_owned());
        }
        let error = self.error(format!("the parameter {name:?} is not one of a container's network"));
        Err(error.instead("keep parameters whose names begin with `net.`"))
    }

    /// A name of a signal, with `SIG`, or its number.
    pub(super) fn signal(&self) -> Result<String> {
        let text = self.written()?;
        if text.parse::<u8>().is_ok_and(|number| (1..=LAST_SIGNAL).contains(&number)) {
            return Ok(text.to_owned());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let (base, offset) =
            name.split_once(['+', '-']).map_or((name, None), |(base, offset)| (base, Some(offset)));
        let real_time = |offset: &str| offset.parse::<u8>().is_ok_and(|offset| offset <= 30);
        let is_real_time = ["RTMIN", "RTMAX"].contains(&base) && offset.is_none_or(real_time);
        if is_real_time || SIGNALS.contains(&name) {
            Ok(format!("SIG{name}"))
        } else {
            Err(self.invalid(text, "a signal").instead("write `SIGTERM`, `SIGQUIT`, …"))
        }
    }

    pub(super) fn restart(&self) -> Result<Restart> {
        let choices = "write `\"no\"`, `always`, `on-failure`, `on-failure:N` or `unless-stopped`";
        let text = self.text().map_err(|error| error.instead(choices))?;
        let invalid = || self.invalid(text, "a restart policy").instead(choices);
        match text {
            "no" => Ok(Restart::No),
            "always" => Ok(Restart::Always),
            "unless-stopped" => Ok(Restart::UnlessStopped),
            "on-failure" => Ok(Restart::OnFailure(None)),
            _ => {
                let most = text.strip_prefix("on-failure:").ok_or_else(invalid)?;
                let most = most.parse().map_err(|_| invalid())?;
                Ok(Restart::OnFailure(Some(most).filter(|most| *most > 0)))
            }
        }
    }

    /// `depends_on`, with where each service is named.
    pub(super) fn dependencies(&self) -> Result<Vec<Spanned<Dependency>>> {
        let plain = |service: &str| Dependency {
            service: service.to_owned(),
            condition: Condition::Started,
            restart: false,
            required: true,
        };
        if self.is_list() {
            let items = self.list()?;
            return items.iter().map(|item| Ok(item.spanned(plain(item.filled()?)))).collect();
        }
        let mut dependencies = Vec::new();
        for (name, at) in self.named()? {
            let fields = at.fields(&keys::DEPENDENCY)?;
            let value = Dependency {
                condition: fields.required("condition")?.condition()?,
                restart: fields.or_default("restart", At::boolean)?,
                required: fields.read("required", At::boolean)?.unwrap_or(true),
                ..plain(name)
            };
            let Spanned { place, key, .. } = self.name_of(name);
            dependencies.push(Spanned { value, place, key });
        }
        Ok(dependencies)
    }

    fn condition(&self) -> Result<Condition> {
        match self.text()? {
            "service_started" => Ok(Condition::Started),
            "service_healthy" => Ok(Condition::Healthy),
            "service_completed_successfully" => Ok(Condition::Completed),
            other => Err(self
                .invalid(other, "a condition")
                .instead("write `service_started`, `service_healthy` or `service_completed_successfully`")),
        }
    }
}
