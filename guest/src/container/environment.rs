//! The variables of a container: those that every program expects, those of its description, and those with secrets of the session.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use protocol::{
    Secret,
    containers::{Container, fill},
};

use crate::environment;

/// Where programs are found if the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables of this process, which are the placeholders of the image, and those of the session over them.
pub(super) struct Session(HashMap<String, String>);

impl Session {
    /// Reads them.
    ///
    /// # Errors
    /// When the session file cannot be read.
    pub(super) fn read() -> anyhow::Result<Self> {
        Ok(Self(environment::variables()?))
    }

    /// The value of one.
    pub(super) fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

/// The variables of a container, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variables(BTreeMap<String, Secret>);

impl Variables {
    /// Puts them together, with `home` as the home of the container's user.
    ///
    /// # Errors
    /// When the session lacks a variable.
    pub(super) fn of(container: &Container, home: &str, session: &Session) -> anyhow::Result<Self> {
        let usual = [("PATH", PATH), ("HOSTNAME", &container.hostname), ("HOME", home)];
        let usual = usual.map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let mut variables = BTreeMap::from(usual);
        variables.extend(container.env.iter().map(|(name, value)| (name.clone(), Secret::new(value))));
        for (name, template) in &container.secrets {
            let value = fill(template, |variable| session.get(variable).map(str::to_owned))
                .with_context(|| format!("the variable `{name}` of the container has no value"))?;
            variables.insert(name.clone(), Secret::new(value));
        }
        Ok(Self(variables))
    }

    /// In the form of the kernel, `NAME=value`.
    pub(super) fn entries(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={}", value.reveal())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::container, *};

    #[test]
    fn variables_are_the_usual_ones_the_images_and_the_sessions() {
        let container = container(
            r#", "env": {"PATH": "/bin", "PORT": "80"}, "secrets": {"URL": "postgres://{secret:PASSWORD}@db"}"#,
        );
        let session = Session::of(&[("PASSWORD", "s3cret"), ("OTHER", "x")]);
        let variables = Variables::of(&container, "/home/node", &session).unwrap();
        insta::assert_snapshot!(variables.entries().join("\n"), @"
        HOME=/home/node
        HOSTNAME=web
        PATH=/bin
        PORT=80
        URL=postgres://s3cret@db
        ");
        assert!(!format!("{variables:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_without_a_value_is_named() {
        let container = container(r#", "secrets": {"TOKEN": "{secret:WEB_TOKEN}"}"#);
        let error = Variables::of(&container, "/", &Session::of(&[])).unwrap_err();
        assert_eq!(error.to_string(), "the variable `TOKEN` of the container has no value");
        assert_eq!(error.root_cause().to_string(), "the session has no variable `WEB_TOKEN`");
    }
}
