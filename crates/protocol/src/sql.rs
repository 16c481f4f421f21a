//! What replaces secrets that a database keeps, as the image build writes it into [`FILE`] and `stackd sql` in the guest carries it
//! out in a resume.
//!
//! Each database is one connection, which is open and has its statements prepared before the machine is captured. New secrets are
//! written in one transaction for each database.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::containers::{InvalidTemplate, variables};

/// Where the file is in the guest.
pub const FILE: &str = "/etc/stack/sql.json";

/// Name of the service that does it: its unit is `stack-sql.service`, and it takes the orders `renew`, `drain` and `flush`.
pub const SERVICE: &str = "sql";

/// The databases that keep secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// In the order in which they get new secrets.
    pub databases: Vec<Database>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Connection string of `PostgreSQL`, with places for variables of the session: `postgres://shop:{secret:DB_PASSWORD}@db/shop`, or
    /// `host=/run/postgresql user=stack dbname=stack`. The names of containers are known as hosts.
    pub url: String,
    /// Statements that are executed whenever the connection is opened, before the others are prepared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
    /// What replaces the secrets, in this order.
    pub statements: Vec<Replacement>,
}

/// A statement that replaces secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// Its text: `$1` is the first secret.
    pub statement: String,
    /// Names of secrets, in the order of the parameters. Without any, the statement is executed whenever one of the database's
    /// other statements is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// Why a text does not describe databases with secrets.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// It is not the expected JSON.
    #[error("invalid description of databases with secrets: {0}")]
    Json(#[from] serde_json::Error),
    /// A connection string has places for something else than secrets.
    #[error("invalid connection string of the database number {number}")]
    Url {
        /// Its number, from 1 on.
        number: usize,
        /// What is wrong with it.
        source: InvalidTemplate,
    },
    /// Nothing replaces a secret in a database.
    #[error("no statement of the database number {number} has a secret")]
    NoSecret {
        /// Its number, from 1 on.
        number: usize,
    },
}

impl Sql {
    /// Reads what the image build wrote.
    ///
    /// # Errors
    /// When the text is not the expected JSON, or a connection string is not valid.
    pub fn parse(text: &str) -> Result<Self, SqlError> {
        let sql: Self = serde_json::from_str(text)?;
        sql.verify()?;
        Ok(sql)
    }

    /// The text of [`FILE`].
    ///
    /// # Errors
    /// When a connection string is not valid.
    pub fn to_json(&self) -> Result<String, SqlError> {
        self.verify()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn verify(&self) -> Result<(), SqlError> {
        for (number, database) in (1..).zip(&self.databases) {
            variables(&database.url).map_err(|source| SqlError::Url { number, source })?;
            if database.secrets().is_empty() {
                return Err(SqlError::NoSecret { number });
            }
        }
        Ok(())
    }
}

impl Database {
    /// Names of all secrets that it keeps.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.statements.iter().flat_map(|replacement| &replacement.secrets).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql() -> Sql {
        Sql::parse(
            r#"{"databases": [{
                "url": "postgres://shop:{secret:DB_PASSWORD}@db/shop",
                "setup": ["CREATE EXTENSION IF NOT EXISTS pgcrypto"],
                "statements": [
                    {"statement": "UPDATE users SET password = $1", "secrets": ["admin_password"]},
                    {"statement": "DELETE FROM sessions"}
                ]
            }]}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Sql::parse(&sql().to_json().unwrap()).unwrap(), sql());
        assert_eq!(sql().databases[0].secrets(), BTreeSet::from(["admin_password"]));
    }

    #[test]
    fn what_is_not_a_database_with_secrets_is_refused() {
        let change = |change: fn(&mut Database)| {
            let mut sql = sql();
            change(&mut sql.databases[0]);
            sql.to_json().unwrap_err().to_string()
        };
        assert_eq!(
            change(|it| it.url = "{password}".into()),
            "invalid connection string of the database number 1"
        );
        assert_eq!(
            change(|it| drop(it.statements.remove(0))),
            "no statement of the database number 1 has a secret"
        );
        let unknown = Sql::parse(r#"{"databases": [], "colour": "red"}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `colour`"), "{unknown}");
    }
}
