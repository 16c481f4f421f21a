//! The settings of the service.

use std::path::PathBuf;

use protocol::Secret;
use service_kit::variables::{SettingsError, Variables};

/// Where the service is, who may use it, and where it keeps what it has.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `STACK_S3_PORT`: where it listens in the machine.
    pub(crate) port: u16,
    /// `DATABASE_URL`: a libpq connection string.
    pub(crate) database_url: String,
    /// `S3_DIRECTORY`: where the files are. The default is in the directory that systemd gives to the process.
    pub(crate) directory: PathBuf,
    /// `S3_REGION`: the region that buckets are in.
    pub(crate) region: String,
    /// `S3_ACCESS_KEY_ID`: the name of the only user.
    pub(crate) access_key: Secret,
    /// `S3_SECRET_ACCESS_KEY`: the key that signatures are made with.
    pub(crate) secret_key: Secret,
}

impl Settings {
    pub(crate) fn from_variables(variables: &Variables) -> Result<Self, SettingsError> {
        let state = variables.text("STATE_DIRECTORY").unwrap_or_else(|| "/var/lib/stack-services".to_owned());
        Ok(Self {
            port: variables.number("STACK_S3_PORT", 9090)?,
            database_url: variables
                .text("DATABASE_URL")
                .unwrap_or_else(|| "host=/run/postgresql user=stack dbname=stack".to_owned()),
            directory: variables
                .text("S3_DIRECTORY")
                .map_or_else(|| PathBuf::from(state).join("s3"), PathBuf::from),
            region: variables.text("S3_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
            access_key: Secret::new(variables.required("S3_ACCESS_KEY_ID")?),
            secret_key: Secret::new(variables.required("S3_SECRET_ACCESS_KEY")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_there_is_no_service() {
        let error = Settings::from_variables(&Variables::of(&[("S3_ACCESS_KEY_ID", "a")])).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable `S3_SECRET_ACCESS_KEY` is not set");
    }

    #[test]
    fn files_are_in_the_directory_of_the_process() {
        let keys = [("S3_ACCESS_KEY_ID", "a"), ("S3_SECRET_ACCESS_KEY", "b"), ("STATE_DIRECTORY", "/d")];
        let settings = Settings::from_variables(&Variables::of(&keys)).unwrap();
        assert_eq!((settings.port, settings.directory), (9090, PathBuf::from("/d/s3")));
    }
}
