//! `stackd keys`: the resident service that replaces the keys of the project `internal` when the machine is resumed.
//!
//! Its connection to PostgreSQL is opened, and its statement prepared, before it is needed, so that a resume costs one round trip.
//! Its process in PostgreSQL is in every copy of a snapshot, which does no harm: nothing random is drawn in it. Beside the backend
//! and not in it, so that keys are replaced while the backend makes its first connections.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use guest::{
    control::{Call, Order, Progress, Secrets, Socket, not_taken},
    postgres::{self, CONNECT_LIMIT, OPTIONS, Standing},
    report, service,
};
use protocol::Secret;
use service_kit::database::PROBE;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, Statement};
use tracing::warn;

use crate::{
    settings::CurrentSettings,
    store::{projects, tokens},
};

/// How long an answer to `drain` may take: less than its sender waits for one.
const REST_LIMIT: Duration = Duration::from_secs(4);

/// Any of them may be null, and stays as it is then.
const UPDATE: &str = r#"UPDATE "ApiKeySet"
    SET "publishableClientKey" = coalesce($2, "publishableClientKey"),
        "secretServerKey" = coalesce($3, "secretServerKey"),
        "superSecretAdminKey" = coalesce($4, "superSecretAdminKey")
    WHERE "projectId" = $1"#;

/// All processes of PostgreSQL's but the one that starts the others; and of these the ones that are connected to a database, which
/// are clients and workers of the autovacuum, without this service and the probe. Their kinds are not shown to this role.
const PROCESSES: &str =
    "SELECT count(*), count(datid) FILTER (WHERE application_name NOT IN ($1, $2)) FROM pg_stat_activity";

/// The name of this connection in PostgreSQL.
const KEYS: &str = "stack-keys";

/// The same processes as the kernel counts them: each until it has ended.
const CGROUP: &str = "/sys/fs/cgroup/system.slice/stack-postgres.service/cgroup.procs";

/// Runs the service until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let control = Socket::bind()?;
    let keys = Keys::new(&CurrentSettings::load()?.get().database_url)?;
    service::run(async { postgres::serve(control, keys.connect(), |call| keys.answer(call)).await })?
}

/// New keys of the project `internal`; those that are not given stay.
#[derive(Debug, Default)]
struct NewKeys {
    publishable_client: Option<Secret>,
    secret_server: Option<Secret>,
    super_secret_admin: Option<Secret>,
}

impl NewKeys {
    /// Takes those out of `secrets` that are keys. The others take effect elsewhere.
    fn of(secrets: &Secrets) -> anyhow::Result<Self> {
        for (name, value) in secrets {
            ensure!(
                tokens::is_well_formed(value.reveal()),
                "the secret `{}` is not 64 lower-case hex digits",
                name.escape_debug()
            );
        }
        let key = |name| secrets.get(name).cloned();
        Ok(Self {
            publishable_client: key("publishable_client_key"),
            secret_server: key("secret_server_key"),
            super_secret_admin: key("super_secret_admin_key"),
        })
    }

    fn is_empty(&self) -> bool {
        self.publishable_client.is_none() && self.secret_server.is_none() && self.super_secret_admin.is_none()
    }
}

/// The connection, as soon as there is one.
struct Keys {
    config: Config,
    session: Standing<Session>,
}

/// A connection with its statement.
struct Session {
    client: Client,
    update: Statement,
}

impl Keys {
    fn new(url: &str) -> anyhow::Result<Self> {
        let mut config: Config =
            url.parse().context("`DATABASE_URL` is not a PostgreSQL connection string")?;
        config.options(OPTIONS).application_name(KEYS).connect_timeout(CONNECT_LIMIT);
        Ok(Self { config, session: Standing::default() })
    }

    /// Opens the connection as soon as PostgreSQL is up.
    async fn connect(&self) {
        if let Err(error) = self.with_session(async |_| Ok(())).await {
            warn!("no connection to PostgreSQL: {}", report(&*error));
        }
    }

    async fn answer(&self, call: Call) {
        let result = self.carry_out(&call).await;
        call.answer(result).await;
    }

    async fn carry_out(&self, call: &Call) -> anyhow::Result<Progress> {
        match call.order {
            Order::Renew => self.renew(&call.secrets).await.map(|()| Progress::Done),
            Order::Drain => self.is_at_rest().await,
            Order::Flush => self.checkpoint().await.map(|()| Progress::Done),
            order @ (Order::Reload | Order::WarmUp | Order::Rehearse | Order::Settle) => {
                Err(not_taken(order))
            }
        }
    }

    /// Replaces the keys that are given, in one transaction. Without any secret, only makes sure of the connection, and that the
    /// next update finds all that it needs.
    async fn renew(&self, secrets: &Secrets) -> anyhow::Result<()> {
        let keys = NewKeys::of(secrets)?;
        if keys.is_empty() && !secrets.is_empty() { Ok(()) } else { self.update(&keys).await }
    }

    async fn update(&self, keys: &NewKeys) -> anyhow::Result<()> {
        let [client, server, admin] =
            [&keys.publishable_client, &keys.secret_server, &keys.super_secret_admin]
                .map(|key| key.as_ref().map(Secret::reveal));
        let rows = self
            .with_session(async |session| {
                session
                    .client
                    .execute(&session.update, &[&projects::INTERNAL, &client, &server, &admin])
                    .await
            })
            .await
            .context("the keys of the internal project cannot be replaced")?;
        ensure!(rows == 1, "the internal project has no keys: the seed has not run");
        Ok(())
    }

    /// Writes all of PostgreSQL's memory to its files, so that a start after a crash has nothing to recover.
    async fn checkpoint(&self) -> anyhow::Result<()> {
        self.with_session(async |session| session.client.batch_execute("CHECKPOINT").await)
            .await
            .context("PostgreSQL made no checkpoint")
    }

    /// Answers whether PostgreSQL is idle. A connection that has to be opened again takes too long for one answer.
    async fn is_at_rest(&self) -> anyhow::Result<Progress> {
        match timeout(REST_LIMIT, self.is_alone()).await {
            Ok(Ok(true)) => Ok(Progress::Done),
            Ok(Err(error)) => Err(error),
            Ok(Ok(false)) | Err(_) => Ok(Progress::Busy),
        }
    }

    /// Whether only this service and the probe are at work in PostgreSQL. A process that has disconnected counts until it has ended:
    /// the rest of its work would be done in every copy of the machine.
    async fn is_alone(&self) -> anyhow::Result<bool> {
        let (processes, connected) = self
            .with_session(async |session| {
                let row = session.client.query_one(PROCESSES, &[&KEYS, &PROBE]).await?;
                Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, i64>(1)?))
            })
            .await
            .context("PostgreSQL does not say who is connected")?;
        let running =
            fs::read_to_string(CGROUP).with_context(|| format!("cannot read `{CGROUP}`"))?.lines().count();
        Ok(connected == 0 && i64::try_from(running)? == processes + 1)
    }

    /// Does `work` over the connection, and again over a new one while the connection is what fails.
    async fn with_session<T>(
        &self,
        work: impl AsyncFn(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> anyhow::Result<T> {
        let open = async || Session::open(&self.config).await;
        Ok(self.session.with(open, postgres::is_absent, work).await?)
    }
}

impl Session {
    async fn open(config: &Config) -> Result<Self, tokio_postgres::Error> {
        let client = postgres::connect(config).await?;
        let update = client.prepare(UPDATE).await?;
        Ok(Self { client, update })
    }
}

#[cfg(test)]
mod tests {
    use guest::postgres::LIMIT;
    use tokio::time::Instant;

    use super::*;

    fn secrets(pairs: &[(&str, &str)]) -> Secrets {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
    }

    #[test]
    fn keys_are_distinguished_from_other_secrets_by_their_names() {
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        let keys =
            NewKeys::of(&secrets(&[("secret_server_key", &one), ("cron_secret", &two), ("theirs", &two)]))
                .unwrap();
        assert!(keys.secret_server.as_ref().unwrap().matches(&one));
        assert!(keys.publishable_client.is_none() && keys.super_secret_admin.is_none());
        assert!(NewKeys::of(&secrets(&[("cron_secret", &two)])).unwrap().is_empty());
    }

    #[test]
    fn a_value_that_is_not_a_key_is_refused_and_not_shown() {
        for value in ["", "hunter2", &"A".repeat(64), &"1".repeat(63)] {
            let error = NewKeys::of(&secrets(&[("cron_secret", value)])).unwrap_err().to_string();
            assert_eq!(error, "the secret `cron_secret` is not 64 lower-case hex digits");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_never_comes_up_ends_the_wait() {
        let keys = Keys::new("host=/nonexistent user=stack").unwrap();
        let started = Instant::now();
        let error = format!("{:#}", keys.renew(&Secrets::new()).await.unwrap_err());
        assert!(started.elapsed() >= LIMIT, "it may still be starting");
        assert!(error.starts_with("the keys of the internal project cannot be replaced"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_answer_is_busy() {
        let keys = Keys::new("host=/nonexistent user=stack").unwrap();
        assert_eq!(keys.is_at_rest().await.unwrap(), Progress::Busy);
    }

    #[tokio::test]
    async fn secrets_that_are_not_keys_need_no_database() {
        let keys = Keys::new("host=/nonexistent user=stack").unwrap();
        keys.renew(&secrets(&[("cron_secret", &"1".repeat(64))])).await.unwrap();
    }
}
