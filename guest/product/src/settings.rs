//! The settings from the environment, in one place that can be read again while the program runs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use guest::{
    environment::{self, EnvironmentError},
    report,
};
use protocol::Secret;
use thiserror::Error;
use tracing::error;

/// The settings of every service; each reads what it needs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `DATABASE_URL`: a libpq connection string.
    pub(crate) database_url: String,
    /// `REDIS_URL`: `unix:///path/to/socket`.
    pub(crate) redis_url: String,
    /// `STACK_BACKEND_PORT`: where the backend listens in here.
    pub(crate) backend_port: u16,
    /// `STACK_DASHBOARD_PORT`: where the dashboard listens in here.
    pub(crate) dashboard_port: u16,
    /// `STACK_BACKEND_URL`: the backend as the developer's machine reaches it.
    pub(crate) backend_url: String,
    /// `STACK_DASHBOARD_URL`: the dashboard as the developer's machine reaches it.
    pub(crate) dashboard_url: String,
    /// `STACK_INSTANCE`: the name of this virtual machine, if the host gave it one.
    pub(crate) instance: Option<String>,
    /// `CRON_SECRET`: the bearer token of the calls that only the cron service makes. Without it they all fail.
    pub(crate) cron_secret: Option<Secret>,
}

/// The settings without any variable.
impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: "host=/run/postgresql user=stack dbname=stack".to_owned(),
            redis_url: "unix:///run/redis/redis.sock".to_owned(),
            backend_port: 8102,
            dashboard_port: 8101,
            backend_url: "http://127.0.0.1:26701".to_owned(),
            dashboard_url: "http://127.0.0.1:26700".to_owned(),
            instance: None,
            cron_secret: None,
        }
    }
}

/// Why the settings cannot be read.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("the environment variable `{name}` is `{value}`, which is not a port")]
    Port { name: &'static str, value: String, source: std::num::ParseIntError },
}

/// Whether the settings were read again. Reports in the journal why the old ones stay if they were not.
pub(crate) fn has_reloaded(result: Result<(), SettingsError>) -> bool {
    result.inspect_err(|error| error!("the old settings stay: {}", report(error))).is_ok()
}

impl Settings {
    fn load() -> Result<Self, SettingsError> {
        Self::from_variables(&environment::variables()?)
    }

    fn from_variables(variables: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let text = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let port = |name: &'static str, default: u16| match text(name) {
            None => Ok(default),
            Some(value) => {
                value.parse().map_err(|source| SettingsError::Port { name, value: value.clone(), source })
            }
        };
        let defaults = Self::default();
        Ok(Self {
            database_url: text("DATABASE_URL").unwrap_or(defaults.database_url),
            redis_url: text("REDIS_URL").unwrap_or(defaults.redis_url),
            backend_port: port("STACK_BACKEND_PORT", defaults.backend_port)?,
            dashboard_port: port("STACK_DASHBOARD_PORT", defaults.dashboard_port)?,
            backend_url: text("STACK_BACKEND_URL").unwrap_or(defaults.backend_url),
            dashboard_url: text("STACK_DASHBOARD_URL").unwrap_or(defaults.dashboard_url),
            instance: text("STACK_INSTANCE"),
            cron_secret: text("CRON_SECRET").map(Secret::new),
        })
    }

    /// The backend as the other programs in here reach it.
    pub(crate) fn local_backend(&self) -> String {
        format!("http://127.0.0.1:{}", self.backend_port)
    }

    /// The dashboard as the other programs in here reach it.
    pub(crate) fn local_dashboard(&self) -> String {
        format!("http://127.0.0.1:{}", self.dashboard_port)
    }
}

/// The settings as they are now: everything that may change while a service runs is asked for here, at the moment of use.
#[derive(Clone)]
pub(crate) struct CurrentSettings(Arc<RwLock<Arc<Settings>>>);

impl CurrentSettings {
    /// Reads the settings for the first time.
    pub(crate) fn load() -> Result<Self, SettingsError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(Settings::load()?)))))
    }

    /// Settings for a test, from no environment.
    #[cfg(test)]
    pub(crate) fn fixed(settings: Settings) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(settings))))
    }

    /// The settings of this moment.
    pub(crate) fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads them again. On failure the old ones stay.
    pub(crate) fn reload(&self) -> Result<(), SettingsError> {
        let settings = Arc::new(Settings::load()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use guest::environment::overlaid;

    use super::*;

    fn variables_of(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn without_any_variable_the_guests_defaults_hold() {
        let settings = Settings::from_variables(&HashMap::new()).unwrap();
        assert_eq!((settings.dashboard_port, settings.backend_port), (8101, 8102));
        assert_eq!(settings.backend_url, "http://127.0.0.1:26701");
        assert!(settings.cron_secret.is_none());
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let settings =
            Settings::from_variables(&variables_of(&[("CRON_SECRET", ""), ("STACK_BACKEND_PORT", "")]))
                .unwrap();
        assert!(settings.cron_secret.is_none());
        assert_eq!(settings.backend_port, 8102);
    }

    #[test]
    fn a_port_that_is_none_is_refused_with_its_name() {
        let error = Settings::from_variables(&variables_of(&[("STACK_BACKEND_PORT", "70000")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable `STACK_BACKEND_PORT` is `70000`, which is not a port"
        );
    }

    #[test]
    fn the_session_file_overrides_the_environment_and_may_be_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("session.env");
        let environment = || variables_of(&[("CRON_SECRET", "old"), ("REDIS_URL", "unix:///r")]).into_iter();

        let before = Settings::from_variables(&overlaid(environment(), &path).unwrap()).unwrap();
        assert!(before.cron_secret.unwrap().matches("old"));

        std::fs::File::create(&path).unwrap().write_all(b"CRON_SECRET=new\n").unwrap();
        let after = Settings::from_variables(&overlaid(environment(), &path).unwrap()).unwrap();
        assert!(after.cron_secret.unwrap().matches("new"));
        assert_eq!(after.redis_url, "unix:///r");
    }
}
