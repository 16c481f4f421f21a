//! What a container may use: keys of a service, and `deploy.resources.limits`.

use super::At;
use super::at::Fields;
use crate::error::Result;
use crate::keys;
use crate::model::{Limits, Ulimit};

/// Names of the limits of a process that Docker knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The limits that the keys of a service say.
pub(super) fn limits(fields: &Fields<'_>) -> Result<Limits> {
    fields.read("scale", At::single)?;
    let deployed = fields.or_default("deploy", At::deploy)?;
    Ok(Limits {
        memory: one(fields, "mem_limit", At::limited_size, (deployed.memory, "memory"))?,
        nano_cpus: one(fields, "cpus", At::nano_cpus, (deployed.nano_cpus, "cpus"))?,
        pids: one(fields, "pids_limit", At::pids, (deployed.pids, "pids"))?,
        shm_size: fields.read("shm_size", At::limited_size)?.flatten(),
        ulimits: fields.or_default("ulimits", At::ulimits)?,
    })
}

/// What a key of the service says of a limit, else `deploy`. Only one of them counts in compose, so that they must not differ.
fn one<'a>(
    fields: &Fields<'a>,
    key: &str,
    read: impl Fn(&At<'a>) -> Result<Option<u64>>,
    (deployed, name): (Option<u64>, &str),
) -> Result<Option<u64>> {
    let Some(at) = fields.get(key) else { return Ok(deployed) };
    let own = read(at)?;
    if deployed.is_some() && own != deployed {
        let error = at.error(format!("differs from `deploy.resources.limits.{name}`"));
        return Err(error.instead("remove one of the two"));
    }
    Ok(own)
}

impl At<'_> {
    fn deploy(&self) -> Result<Limits> {
        if self.is_null() {
            return Ok(Limits::default());
        }
        let fields = self.fields(&keys::DEPLOY)?;
        fields.read("replicas", At::single)?;
        fields.or_default("resources", |at| {
            at.fields(&keys::RESOURCES)?.or_default("limits", |at| {
                let fields = at.fields(&keys::LIMITS)?;
                Ok(Limits {
                    memory: fields.read("memory", At::limited_size)?.flatten(),
                    nano_cpus: fields.read("cpus", At::nano_cpus)?.flatten(),
                    pids: fields.read("pids", At::pids)?.flatten(),
                    ..Limits::default()
                })
            })
        })
    }

    /// The number 1.
    fn single(&self) -> Result<()> {
        match self.integer::<u32>()? {
            1 => Ok(()),
            other => Err(self
                .error(format!("{other} containers are not supported: each service is one"))
                .instead("remove the key, or write a service for each")),
        }
    }

    /// A size, where 0 means unlimited.
    fn limited_size(&self) -> Result<Option<u64>> {
        Ok(Some(self.size()?).filter(|size| *size > 0))
    }

    /// A number of processes, where -1 and 0 mean unlimited.
    fn pids(&self) -> Result<Option<u64>> {
        Ok(u64::try_from(self.integer::<i64>()?).ok().filter(|pids| *pids > 0))
    }

    fn ulimits(&self) -> Result<Vec<Ulimit>> {
        self.named()?.into_iter().map(|(name, at)| at.ulimit(name)).collect()
    }

    fn ulimit(&self, name: &str) -> Result<Ulimit> {
        if !ULIMITS.contains(&name) {
            return Err(self.invalid(name, "a limit").instead(format!("use one of {}", ULIMITS.join(", "))));
        }
        let (soft, hard) = if self.is_map() {
            let fields = self.fields(&keys::ULIMIT)?;
            (fields.required("soft")?.ulimit_value()?, fields.required("hard")?.ulimit_value()?)
        } else {
            let both = self.ulimit_value()?;
            (both, both)
        };
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(self.error("`soft` is more than `hard`").instead("raise `hard`"));
        }
        Ok(Ulimit { name: name.to_owned(), soft, hard })
    }

    /// A limit, where -1 is none.
    fn ulimit_value(&self) -> Result<Option<u64>> {
        match self.integer::<i64>()? {
            -1 => Ok(None),
            value => u64::try_from(value).map(Some).map_err(|_| {
                self.error(format!("the number {value} is out of range")).instead("write -1 for no limit")
            }),
        }
    }
}
