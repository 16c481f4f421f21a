//! The three keys of a project and what each of them opens.
//!
//! This is the only place that reads keys. It reads them from the database on every request and keeps none, so that a key is
//! invalid in the moment in which the transaction that replaces it commits.

use protocol::Secret;
use thiserror::Error;

use service_kit::database::Database;

use super::StoreError;

/// What a caller claims to be, weakest first. Each needs its own key, and each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AccessType {
    /// Code that runs at an end user: signs users up and in, and acts for the one who is signed in.
    Client,
    /// The team's own server: acts for every user.
    Server,
    /// The team's own tools: acts for the project itself.
    Admin,
}

/// The header `x-stack-access-type` had none of the three values.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("an access type is `client`, `server` or `admin`")]
pub(crate) struct UnknownAccessType;

impl std::str::FromStr for AccessType {
    type Err = UnknownAccessType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownAccessType),
        }
    }
}

impl AccessType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Admin => "admin",
        }
    }

    /// The header that carries the key of this access type.
    pub(crate) fn key_header(self) -> &'static str {
        match self {
            Self::Client => "x-stack-publishable-client-key",
            Self::Server => "x-stack-secret-server-key",
            Self::Admin => "x-stack-super-secret-admin-key",
        }
    }
}

/// A project's row of table `ApiKeySet`.
#[derive(Debug, Clone)]
pub(crate) struct KeySet {
    pub(crate) publishable_client: Secret,
    pub(crate) secret_server: Secret,
    pub(crate) super_secret_admin: Secret,
}

impl KeySet {
    /// The key that opens `access_type`.
    pub(crate) fn key(&self, access_type: AccessType) -> &Secret {
        match access_type {
            AccessType::Client => &self.publishable_client,
            AccessType::Server => &self.secret_server,
            AccessType::Admin => &self.super_secret_admin,
        }
    }

    /// Reads the keys out of a row that has the three columns.
    pub(super) fn from_row(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        let key = |column| row.try_get::<_, String>(column).map(Secret::new);
        Ok(Self {
            publishable_client: key("publishableClientKey")?,
            secret_server: key("secretServerKey")?,
            super_secret_admin: key("superSecretAdminKey")?,
        })
    }
}

/// The keys of a project, or `None` if there is no such project.
pub(crate) async fn of_project(database: &Database, project_id: &str) -> Result<Option<KeySet>, StoreError> {
    let row = database
        .query_opt(
            r#"SELECT "publishableClientKey", "secretServerKey", "superSecretAdminKey"
               FROM "ApiKeySet" WHERE "projectId" = $1"#,
            &[&project_id],
        )
        .await?;
    row.as_ref().map(KeySet::from_row).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_type_has_its_own_key_and_no_other_opens_it() {
        let keys = KeySet {
            publishable_client: Secret::new("client's"),
            secret_server: Secret::new("server's"),
            super_secret_admin: Secret::new("admin's"),
        };
        for access_type in [AccessType::Client, AccessType::Server, AccessType::Admin] {
            for presented in ["client's", "server's", "admin's"] {
                let expected = presented == format!("{}'s", access_type.name());
                assert_eq!(
                    keys.key(access_type).matches(presented),
                    expected,
                    "{access_type:?} with {presented}"
                );
            }
        }
    }

    #[test]
    fn access_types_are_ordered_by_what_they_may_do_and_read_by_name() {
        assert!(AccessType::Client < AccessType::Server && AccessType::Server < AccessType::Admin);
        for access_type in [AccessType::Client, AccessType::Server, AccessType::Admin] {
            assert_eq!(access_type.name().parse(), Ok(access_type));
        }
        assert_eq!("Admin".parse::<AccessType>(), Err(UnknownAccessType));
    }
}
