//! Fresh values for a stack's secrets, and the message that brings them to the guest.

use std::collections::BTreeMap;
use std::io;

use image::stack::{self, SecretFormat};
use protocol::{ENTROPY_BYTES, Hooks, Resume, Secret};
use vm::agent;

use super::config;
use super::name::InstanceName;
use super::ports::PublishedPort;
use super::record::Secrets;

/// Bytes of a secret: 64 hexadecimal digits.
const SECRET_BYTES: usize = 32;

/// Fresh random values, one for each secret.
///
/// # Errors
/// When the operating system gives no random bytes.
pub(super) fn fresh(secrets: &[stack::Secret]) -> io::Result<Secrets> {
    secrets.iter().map(|secret| Ok((secret.name.clone(), value(secret.format)?))).collect()
}

fn value(format: SecretFormat) -> io::Result<Secret> {
    match format {
        SecretFormat::Hex64 => random::<SECRET_BYTES>(),
    }
}

/// So many random bytes in hexadecimal digits, from the operating system's generator.
fn random<const BYTES: usize>() -> io::Result<Secret> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(hex::encode(bytes)))
}

/// What a guest has to be told.
pub(crate) struct Telling<'a> {
    /// The instance.
    pub(crate) name: &'a InstanceName,
    /// Where the services are found.
    pub(crate) ports: &'a [PublishedPort],
    /// The stack's secrets as the manifest describes them.
    pub(crate) described: &'a [stack::Secret],
    /// What daemons need that cannot take secrets while they run.
    pub(crate) hooks: &'a Hooks,
    /// The session's values; none where the placeholders stay.
    pub(crate) secrets: Option<&'a Secrets>,
}

impl Telling<'_> {
    /// The message of this moment. `renew` is whether the secrets have to be put in place, where they are not there already.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(crate) fn message(&self, renew: bool) -> io::Result<Resume> {
        let entropy = random::<ENTROPY_BYTES>()?;
        let secrets = self.secrets.filter(|_| renew).cloned().unwrap_or_default();
        let hooks = if secrets.is_empty() { Hooks::default() } else { self.hooks() };
        Ok(Resume { time: agent::now(), entropy, secrets, env: self.variables(), hooks })
    }

    fn variables(&self) -> BTreeMap<String, Secret> {
        let addresses = config::runtime_variables(self.name, self.ports);
        let addresses = addresses.into_iter().map(|(name, value)| (name, Secret::new(value)));
        let value =
            |secret: &stack::Secret| Some((secret.env.clone(), self.secrets?.get(&secret.name)?.clone()));
        addresses.chain(self.described.iter().filter_map(value)).collect()
    }

    /// The hooks, each with the placeholder of its secret.
    fn hooks(&self) -> Hooks {
        let mut hooks = self.hooks.clone();
        for replace in &mut hooks.replace {
            if let Some(secret) = self.described.iter().find(|secret| secret.name == replace.secret) {
                replace.placeholder.clone_from(&secret.placeholder);
            }
        }
        hooks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = include_str!("../../../../cloud-init/stack.toml");

    fn described() -> Vec<stack::Secret> {
        stack::Stack::parse(STACK).unwrap().secrets
    }

    #[test]
    fn every_secret_gets_a_value_of_its_own_in_its_format() {
        let (first, second) = (fresh(&described()).unwrap(), fresh(&described()).unwrap());
        assert_eq!(first.len(), 4);
        for secret in described() {
            let value = first[&secret.name].reveal();
            assert!(secret.format.accepts(value), "{}", secret.name);
            assert_ne!(value, second[&secret.name].reveal());
            assert_ne!(value, secret.placeholder);
        }
    }

    #[test]
    fn the_message_holds_secrets_to_renew_only_when_they_have_to_be() {
        let secrets = fresh(&described()).unwrap();
        let replace = protocol::Replace {
            file: "/etc/app".into(),
            secret: "cron_secret".into(),
            placeholder: String::new(),
        };
        let hooks = Hooks { replace: vec![replace], restart: vec!["app.service".into()] };
        let name = InstanceName::default();
        let telling = Telling {
            name: &name,
            ports: &[],
            described: &described(),
            hooks: &hooks,
            secrets: Some(&secrets),
        };
        let renewing = telling.message(true).unwrap();
        assert_eq!(renewing.secrets, secrets);
        assert_eq!(renewing.hooks.replace[0].placeholder, described()[3].placeholder);
        let keeping = telling.message(false).unwrap();
        assert!(keeping.secrets.is_empty() && keeping.hooks == Hooks::default());
        assert_eq!(keeping.env["CRON_SECRET"], secrets["cron_secret"]);
        assert_ne!(renewing.entropy, keeping.entropy);
        let without = Telling { secrets: None, ..telling }.message(true).unwrap();
        assert!(without.secrets.is_empty());
        assert_eq!(without.env.keys().collect::<Vec<_>>(), ["STACK_INSTANCE"]);
    }
}
