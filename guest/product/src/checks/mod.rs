//! Requests to the running services whose answers are checked. `warm-up` makes one of every kind; `smoke` adds those that must
//! be refused. They delete all that they create.

pub(crate) mod api;
pub(crate) mod dashboard;

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode};
use guest::http_client::{Answer, HttpClient, Parts};
use protocol::Secret;
use tracing::{error, info};

use crate::{
    settings::CurrentSettings,
    store::{
        Store,
        keys::{self, AccessType, KeySet},
        projects,
    },
};

/// First requests to cold programs under software emulation on a busy machine are slow; that is what the warm-up is for.
const DEADLINE: Duration = Duration::from_secs(30);
/// How much of an unexpected answer is quoted.
const QUOTED_CHARACTERS: usize = 400;

/// The running services and the credentials for them.
pub(crate) struct Services {
    pub(crate) backend: Service,
    pub(crate) dashboard: Service,
    /// The keys of the project `internal`.
    pub(crate) internal: Project,
    pub(crate) cron_secret: Secret,
}

/// A project's id and keys.
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) keys: KeySet,
}

/// A service to send requests to.
pub(crate) struct Service(HttpClient);

impl Services {
    /// Reads the current keys: the seed's, or those that replaced them.
    pub(crate) async fn find() -> anyhow::Result<Self> {
        let settings = CurrentSettings::load()?.get();
        let store = Store::new(&settings)?;
        let keys = keys::of_project(&store.database, projects::INTERNAL)
            .await?
            .context("the internal project has no keys: the seed has not run")?;
        Ok(Self {
            backend: Service(HttpClient::new(settings.local_backend(), DEADLINE)),
            dashboard: Service(HttpClient::new(settings.local_dashboard(), DEADLINE)),
            internal: Project { id: projects::INTERNAL.to_owned(), keys },
            cron_secret: settings.cron_secret.clone().context("`CRON_SECRET` is not set")?,
        })
    }
}

impl Service {
    /// Sends a request and checks the status of the answer.
    pub(crate) async fn expect(
        &self,
        expected: StatusCode,
        method: Method,
        path: &str,
        parts: Parts,
    ) -> anyhow::Result<Answer> {
        let answer = self.0.send(method.clone(), path, parts).await?;
        if answer.status != expected {
            let quoted: String = answer.text().chars().take(QUOTED_CHARACTERS).collect();
            bail!("`{method} {path}` answered {} instead of {expected}: {quoted}", answer.status);
        }
        Ok(answer)
    }
}

impl Project {
    /// The headers of a request with one of this project's keys.
    pub(crate) fn with_key(&self, access_type: AccessType) -> Parts {
        self.with(access_type, self.keys.key(access_type).reveal())
    }

    /// The headers of a request with this text as its key.
    pub(crate) fn with(&self, access_type: AccessType, key: &str) -> Parts {
        Parts::new()
            .header("x-stack-project-id", &self.id)
            .header("x-stack-access-type", access_type.name())
            .header(access_type.key_header(), key)
    }
}

/// The results of the checks.
#[derive(Default)]
pub(crate) struct Outcome {
    passed: usize,
    failed: Vec<&'static str>,
    quiet: bool,
}

impl Outcome {
    /// An outcome of which only failures are logged.
    pub(crate) fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// An empty one that logs as much as this, for checks that run at the same time.
    pub(crate) fn sibling(&self) -> Self {
        Self { quiet: self.quiet, ..Self::default() }
    }

    /// Waits for a check and logs its result. A failed one does not stop the others.
    pub(crate) async fn check<T>(
        &mut self,
        name: &'static str,
        check: impl Future<Output = anyhow::Result<T>>,
    ) -> Option<T> {
        match check.await {
            Ok(value) => {
                if !self.quiet {
                    info!("ok: {name}");
                }
                self.passed += 1;
                Some(value)
            }
            Err(error) => {
                error!("FAILED: {name}: {error:#}");
                self.failed.push(name);
                None
            }
        }
    }

    /// Adds the results of others.
    pub(crate) fn add(&mut self, others: Self) {
        self.passed += others.passed;
        self.failed.extend(others.failed);
    }

    /// An error that names the failed checks, if there are any.
    pub(crate) fn conclude(self) -> anyhow::Result<()> {
        let total = self.passed + self.failed.len();
        if !self.failed.is_empty() {
            bail!("{} of {total} checks failed: {}", self.failed.len(), self.failed.join(", "));
        }
        if !self.quiet {
            info!("all {total} checks passed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_check_is_named_and_the_next_one_still_runs() {
        let mut outcome = Outcome::default();
        outcome.check("one", async { anyhow::Ok(()) }).await;
        outcome.check("two", async { anyhow::Result::<()>::Err(anyhow::anyhow!("no")) }).await;
        assert_eq!(outcome.check("three", async { anyhow::Ok(3) }).await, Some(3));
        assert_eq!(outcome.conclude().unwrap_err().to_string(), "1 of 3 checks failed: two");
    }
}
