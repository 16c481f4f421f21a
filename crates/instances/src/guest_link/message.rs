//! The message that gives a resumed or booted guest the current time and the settings of its instance.

use std::collections::BTreeMap;
use std::io;

use image::stack;
use protocol::{Command, ENTROPY_BYTES, Hooks, Resume, Secret};
use vm::agent;

use super::settings;
use crate::name::InstanceName;
use crate::ports::PublishedPort;
use crate::secrets::{Secrets, random};

/// The contents of the message.
pub(crate) struct Message<'a> {
    /// The instance.
    pub(crate) name: &'a InstanceName,
    /// Where the services are reached.
    pub(crate) ports: &'a [PublishedPort],
    /// The stack's secrets as the manifest describes them.
    pub(crate) described: &'a [stack::Secret],
    /// The hooks for daemons that cannot take secrets while they run.
    pub(crate) hooks: &'a Hooks,
    /// The session's values; none where the placeholders stay.
    pub(crate) secrets: Option<&'a Secrets>,
}

impl Message<'_> {
    /// Creates the command with the current time. `renew` is whether the guest has to replace the secrets that it has.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub(crate) fn command(&self, renew: bool) -> io::Result<Command> {
        Ok(Command::Resume(Box::new(self.resume(renew)?)))
    }

    fn resume(&self, renew: bool) -> io::Result<Resume> {
        let entropy = random::<ENTROPY_BYTES>()?;
        let secrets = self.secrets.filter(|_| renew).cloned().unwrap_or_default();
        let hooks = if secrets.is_empty() { Hooks::default() } else { self.hooks() };
        Ok(Resume { time: agent::now(), entropy, secrets, env: self.variables(), hooks })
    }

    fn variables(&self) -> BTreeMap<String, Secret> {
        let addresses = settings::runtime_variables(self.name, self.ports);
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
    use crate::secrets::fresh;
    use crate::secrets::tests::described;

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
        let message = Message {
            name: &name,
            ports: &[],
            described: &described(),
            hooks: &hooks,
            secrets: Some(&secrets),
        };
        let renewing = message.resume(true).unwrap();
        assert_eq!(renewing.secrets, secrets);
        assert_eq!(renewing.hooks.replace[0].placeholder, described()[3].placeholder);
        let keeping = message.resume(false).unwrap();
        assert!(keeping.secrets.is_empty() && keeping.hooks == Hooks::default());
        assert_eq!(keeping.env["CRON_SECRET"], secrets["cron_secret"]);
        assert_ne!(renewing.entropy, keeping.entropy);
        let without = Message { secrets: None, ..message }.resume(true).unwrap();
        assert!(without.secrets.is_empty());
        assert_eq!(without.env.keys().collect::<Vec<_>>(), ["STACK_INSTANCE"]);
    }
}
