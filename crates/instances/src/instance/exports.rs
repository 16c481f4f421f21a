//! The environment variables that a developer's programs get, with the values that they have now.

use std::collections::BTreeMap;
use std::path::Path;

use image::stack::template::{Piece, Template};
use protocol::Secret;

use super::Instance;
use super::error::InstanceError;
use super::live::Live;
use crate::name::INSTANCE_VARIABLE;
use crate::ports::LOOPBACK;
use crate::secrets::Secrets;

pub use project::ProjectError;

mod project;

/// The environment variables of a running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exports {
    /// The variables, in the order of the stack's description. Each name is there once.
    pub variables: Vec<Variable>,
    /// Whether it is unknown if the guest has the secrets in them: they were sent, and no answer came.
    pub unconfirmed: bool,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, hidden like a secret even if it is not one. Without a zero byte, which no environment can have.
    pub value: Secret,
    /// Whether it must only be shown on request.
    pub secret: bool,
}

impl Instance {
    /// The variables of the running machine `live`; of the project of `config_file`, if there is one.
    ///
    /// # Errors
    /// When the ports cannot be reached from here, the record cannot be read, or there is no project for the file.
    pub async fn exports(&self, live: &Live, config_file: Option<&Path>) -> Result<Exports, InstanceError> {
        if live.is_in_other_network() {
            return Err(InstanceError::OtherNetwork(self.name.clone()));
        }
        let session = self.session()?;
        let unconfirmed = session.as_ref().is_some_and(|session| session.unconfirmed);
        let secrets = session.and_then(|session| session.secrets);
        let values = Values { instance: self, live, secrets: secrets.as_ref() };
        let project = match config_file {
            Some(file) => values.project(file).await?,
            None => BTreeMap::new(),
        };
        Ok(Exports { variables: values.variables(&project)?, unconfirmed })
    }
}

/// What the places of templates stand for.
struct Values<'a> {
    instance: &'a Instance,
    live: &'a Live,
    secrets: Option<&'a Secrets>,
}

impl Values<'_> {
    /// The variables, with the values of `project` instead of those that it replaces.
    fn variables(&self, project: &BTreeMap<String, Secret>) -> Result<Vec<Variable>, InstanceError> {
        let mut variables = Vec::new();
        for export in self.live.stack.exports.iter().flatten() {
            let own = export.project.as_ref().and_then(|field| project.get(field));
            let value = match own {
                Some(value) => value.clone(),
                None => self.render(&export.value)?,
            };
            let secret = export.is_secret(&self.live.stack.secrets);
            variables.extend(export.names().map(|name| Variable { name, value: value.clone(), secret }));
        }
        let instance = Secret::new(self.instance.name.as_str());
        variables.push(Variable { name: INSTANCE_VARIABLE.to_owned(), value: instance, secret: false });
        Ok(variables)
    }

    fn render(&self, template: &Template) -> Result<Secret, InstanceError> {
        let mut text = String::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Host => text.push_str(&LOOPBACK.to_string()),
                Piece::Port(name) => text.push_str(&self.port(name).host.to_string()),
                Piece::Url(name) => text.push_str(&self.port(name).url()),
                Piece::Secret(name) => text.push_str(self.secret(name)?),
            }
        }
        Ok(Secret::new(text))
    }

    fn port(&self, name: &str) -> &crate::ports::PublishedPort {
        let port = self.live.stack.ports.iter().find(|port| port.name == name);
        port.expect("the names in a live record were checked when it was read or made")
    }

    /// What the services have: the session's value, or the placeholder.
    fn secret(&self, name: &str) -> Result<&str, InstanceError> {
        let missing =
            || InstanceError::NoSecret { name: self.instance.name.clone(), secret: name.to_owned() };
        if self.live.run.rotated {
            let value = self.secrets.and_then(|secrets| secrets.get(name));
            return value.map(Secret::reveal).ok_or_else(missing);
        }
        let described = self.live.stack.secrets.iter().find(|secret| secret.name == name);
        described.map(|secret| secret.placeholder.as_str()).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests;
