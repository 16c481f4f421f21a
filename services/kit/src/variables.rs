//! Settings of a service from the environment, with what the session of the machine lays over it.

use std::collections::HashMap;

use guest::environment::{self, EnvironmentError};
use thiserror::Error;

/// Why the settings cannot be read.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The environment itself.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A variable must be set, and is not.
    #[error("the environment variable `{0}` is not set")]
    Missing(&'static str),
    /// The value of a variable is not a number in its range.
    #[error("the environment variable `{name}` is `{value}`, which is not a valid number")]
    Number {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        source: std::num::ParseIntError,
    },
}

/// The variables of one moment. A variable that is set to nothing is not set.
#[derive(Debug, Default)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Reads them.
    ///
    /// # Errors
    /// When there is a session file that cannot be read.
    pub fn read() -> Result<Self, SettingsError> {
        Ok(Self(environment::variables()?))
    }

    /// The variables of these pairs.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns a value, if there is one.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Returns a value that the service cannot do without.
    ///
    /// # Errors
    /// When it is not set.
    pub fn required(&self, name: &'static str) -> Result<String, SettingsError> {
        self.text(name).ok_or(SettingsError::Missing(name))
    }

    /// Returns a number.
    ///
    /// # Errors
    /// When the value is not one.
    pub fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(
        &self,
        name: &'static str,
        default: N,
    ) -> Result<N, SettingsError> {
        match self.text(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|source| SettingsError::Number { name, value, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = Variables::of(&[("A", ""), ("B", "x")]);
        assert_eq!((variables.text("A"), variables.text("B")), (None, Some("x".to_owned())));
        assert_eq!(variables.number("A", 7_u16).unwrap(), 7);
    }

    #[test]
    fn a_number_that_is_none_is_refused_with_its_name() {
        let error = Variables::of(&[("PORT", "70000")]).number("PORT", 1_u16).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable `PORT` is `70000`, which is not a valid number"
        );
    }
}
