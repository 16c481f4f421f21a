//! One database that keeps secrets.

use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::{Context as _, anyhow, ensure};
use protocol::{Secret, containers::fill, sql};
use tokio_postgres::{Client, Config, Error, Statement, config::Host, error::SqlState, types::ToSql};

use crate::{
    control::Secrets,
    environment,
    postgres::{self, CONNECT_LIMIT, OPTIONS, Standing},
};

/// The name of the connection in PostgreSQL.
const NAME: &str = "stack-sql";

/// A value as long as that of a secret.
const REHEARSED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A database, with the connection to it as soon as there is one.
pub(super) struct Database {
    description: sql::Database,
    /// Addresses of containers by their names.
    hosts: BTreeMap<String, Ipv4Addr>,
    session: Standing<Session>,
}

/// A connection with its statements, in the order of the description.
struct Session {
    client: Client,
    statements: Vec<Statement>,
}

/// The values for one statement.
type Values<'a> = Vec<&'a str>;

impl Database {
    pub(super) fn new(description: sql::Database, hosts: BTreeMap<String, Ipv4Addr>) -> Self {
        Self { description, hosts, session: Standing::default() }
    }

    /// Replaces those of `secrets` that it keeps, in one transaction. Without any secret, only makes sure of the connection, and
    /// rehearses the statements.
    ///
    /// # Errors
    /// When only some of its secrets are given, or PostgreSQL refuses or is not there in time.
    pub(super) async fn renew(&self, secrets: &Secrets) -> anyhow::Result<()> {
        let values = values(&self.description, secrets)?;
        if values.is_none() && !secrets.is_empty() {
            return Ok(());
        }
        let work = async |session: &Session| match &values {
            Some(values) => session.replace(values).await,
            None => session.rehearse().await.map(|()| Vec::new()),
        };
        let rows = self.with_session(work).await.context("secrets in a database cannot be replaced")?;
        for (row_count, replacement) in rows.into_iter().zip(&self.description.statements) {
            let is_needed = !replacement.secrets.is_empty();
            ensure!(row_count > 0 || !is_needed, "`{}` has changed nothing", replacement.statement);
        }
        Ok(())
    }

    /// Has PostgreSQL write a checkpoint, if the role may ask for one: another role's data is recovered after a crash.
    ///
    /// # Errors
    /// When PostgreSQL fails, or is not there in time.
    pub(super) async fn checkpoint(&self) -> anyhow::Result<()> {
        let work = async |session: &Session| match session.client.batch_execute("CHECKPOINT").await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
            result => result,
        };
        self.with_session(work).await.context("PostgreSQL made no checkpoint")
    }

    async fn with_session<T>(&self, work: impl AsyncFn(&Session) -> Result<T, Error>) -> anyhow::Result<T> {
        // Only then: a resume has the connection, and no time for the connection string.
        let open = async || {
            let variables = environment::variables()?;
            let config = config(&self.description.url, &self.hosts, |name| variables.get(name).cloned())?;
            Ok(Session::open(&self.description, &config).await?)
        };
        self.session.with(open, is_unready, async |session| Ok(work(session).await?)).await
    }
}

impl Session {
    async fn open(description: &sql::Database, config: &Config) -> Result<Self, Error> {
        let client = postgres::connect(config).await?;
        for setup in &description.setup {
            client.batch_execute(setup).await?;
        }
        let mut statements = Vec::new();
        for replacement in &description.statements {
            statements.push(client.prepare(&replacement.statement).await?);
        }
        Ok(Self { client, statements })
    }

    /// Executes all statements in one transaction, and returns how many rows each has changed. A single statement is one by itself.
    async fn replace(&self, values: &[Values<'_>]) -> Result<Vec<u64>, Error> {
        if self.statements.len() == 1 {
            return self.execute(values).await;
        }
        self.client.batch_execute("BEGIN").await?;
        let rows = self.execute(values).await;
        // The first failure is the one that says why.
        let end = self.client.batch_execute(if rows.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        rows.and_then(|rows| end.map(|()| rows))
    }

    /// Executes all statements with values that are not kept, so that PostgreSQL has planned them and loaded the extensions that they need.
    async fn rehearse(&self) -> Result<(), Error> {
        let values: Vec<Values<'_>> =
            self.statements.iter().map(|statement| vec![REHEARSED; statement.params().len()]).collect();
        self.client.batch_execute("BEGIN").await?;
        let rows = self.execute(&values).await;
        let end = self.client.batch_execute("ROLLBACK").await;
        rows.and(end)
    }

    async fn execute(&self, values: &[Values<'_>]) -> Result<Vec<u64>, Error> {
        let mut rows = Vec::new();
        for (statement, values) in self.statements.iter().zip(values) {
            let values: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            rows.push(self.client.execute(statement, &values).await?);
        }
        Ok(rows)
    }
}

/// The values for each statement; `None` when no secret of the database is given.
fn values<'a>(description: &sql::Database, secrets: &'a Secrets) -> anyhow::Result<Option<Vec<Values<'a>>>> {
    let kept = description.secrets();
    if !kept.iter().any(|name| secrets.contains_key(*name)) {
        return Ok(None);
    }
    let value = |name: &String| {
        let value = secrets.get(name).map(Secret::reveal);
        value.ok_or_else(|| anyhow!("there is no secret `{}` for a database", name.escape_debug()))
    };
    let of_one = |replacement: &sql::Replacement| replacement.secrets.iter().map(value).collect();
    description.statements.iter().map(of_one).collect::<anyhow::Result<_>>().map(Some)
}

/// How the database is reached: containers are found by their names, although this machine's resolver does not know them.
fn config(
    url: &str,
    hosts: &BTreeMap<String, Ipv4Addr>,
    value: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Config> {
    let url = Secret::new(fill(url, value).context("the connection string of a database is not complete")?);
    // Its error says where, and shows nothing of it.
    let mut config: Config = url.reveal().parse().context("invalid connection string of a database")?;
    config.application_name(NAME).connect_timeout(CONNECT_LIMIT);
    let options = match config.get_options() {
        Some(options) => format!("{OPTIONS} {options}"),
        None => OPTIONS.to_owned(),
    };
    config.options(options);
    let address = match config.get_hosts() {
        [Host::Tcp(name)] if config.get_hostaddrs().is_empty() => hosts.get(name).copied(),
        _ => None,
    };
    if let Some(address) = address {
        config.hostaddr(address.into());
    }
    Ok(config)
}

/// Whether it is worth trying again. What creates roles, databases and tables may still be at work.
fn is_unready(error: &anyhow::Error) -> bool {
    const UNREADY: [&SqlState; 8] = [
        &SqlState::INVALID_CATALOG_NAME,
        &SqlState::INVALID_SCHEMA_NAME,
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        &SqlState::INVALID_PASSWORD,
        &SqlState::UNDEFINED_TABLE,
        &SqlState::UNDEFINED_COLUMN,
        &SqlState::UNDEFINED_FUNCTION,
        &SqlState::UNDEFINED_OBJECT,
    ];
    error.downcast_ref::<Error>().is_some_and(|error| {
        postgres::is_absent(error) || error.code().is_some_and(|code| UNREADY.contains(&code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> sql::Database {
        let replacement = |secrets: &[&str]| sql::Replacement {
            statement: "UPDATE x".into(),
            secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
        };
        sql::Database {
            url: "postgres://shop:{secret:DB_PASSWORD}@db/shop".into(),
            setup: Vec::new(),
            statements: vec![replacement(&["one", "two"]), replacement(&[])],
        }
    }

    fn secrets(names: &[&str]) -> Secrets {
        names.iter().map(|name| ((*name).to_owned(), Secret::new(format!("{name}!")))).collect()
    }

    #[test]
    fn values_come_in_the_order_of_the_parameters() {
        let secrets = secrets(&["two", "one", "other"]);
        assert_eq!(values(&database(), &secrets).unwrap(), Some(vec![vec!["one!", "two!"], Vec::new()]));
    }

    #[test]
    fn secrets_that_are_kept_elsewhere_need_no_statement() {
        assert_eq!(values(&database(), &secrets(&["other"])).unwrap(), None);
        let error = values(&database(), &secrets(&["one"])).unwrap_err().to_string();
        assert_eq!(error, "there is no secret `two` for a database");
    }

    #[test]
    fn a_container_is_found_by_its_name() {
        let hosts = BTreeMap::from([("db".to_owned(), Ipv4Addr::new(172, 30, 0, 3))]);
        let password = |name: &str| (name == "DB_PASSWORD").then(|| "s3cret".to_owned());
        let config = config(&database().url, &hosts, password).unwrap();
        assert_eq!(config.get_hostaddrs(), [Ipv4Addr::new(172, 30, 0, 3)]);
        assert_eq!(config.get_password(), Some(b"s3cret".as_slice()));
        let elsewhere = super::config("host=/run/postgresql user=stack", &hosts, password).unwrap();
        assert!(elsewhere.get_hostaddrs().is_empty());
    }

    #[test]
    fn a_connection_string_that_is_invalid_is_not_shown() {
        let error = config("postgres://a:s3cret@db:port/x", &BTreeMap::new(), |_| None).unwrap_err();
        assert!(!format!("{error:#}").contains("s3cret"), "{error:#}");
        let error = config(&database().url, &BTreeMap::new(), |_| None).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "the connection string of a database is not complete: the session has no variable `DB_PASSWORD`"
        );
    }

    #[tokio::test]
    async fn secrets_that_are_kept_elsewhere_need_no_database() {
        let database = Database::new(database(), BTreeMap::new());
        database.renew(&secrets(&["other"])).await.unwrap();
    }
}
