//! Turns a copy of a machine into a machine of its own.

use std::path::Path;

use anyhow::ensure;
use protocol::Resume;

use super::{
    clock,
    entropy::Entropy,
    hooks::{self, Plan},
    orders::Orders,
    rehearsal,
    session_env::{Place, SessionEnv},
    steps::{Failure, Steps, timed},
};
use crate::control::Secrets;

/// A message that has been checked as a whole, before anything is changed.
struct Checked {
    time: u64,
    entropy: Entropy,
    secrets: Secrets,
    env: SessionEnv,
    hooks: Plan,
}

impl Checked {
    fn of(message: &Resume) -> Result<Self, Failure> {
        Ok(Self {
            time: message.time,
            entropy: Entropy::parse(&message.entropy).map_err(Failure::of("entropy"))?,
            secrets: well_formed(&message.secrets).map_err(Failure::of("secrets"))?,
            env: SessionEnv::of(&message.env).map_err(Failure::of("env"))?,
            hooks: Plan::of(&message.hooks, &message.secrets).map_err(Failure::of("hooks"))?,
        })
    }

    /// Whether no secrets came: this is a suspended session, and not a copy.
    fn has_same_secrets(&self) -> bool {
        self.secrets.is_empty()
    }
}

/// The secrets, each of which is 32 bytes in hexadecimal digits (the format `hex64` of a stack's description).
fn well_formed(secrets: &Secrets) -> anyhow::Result<Secrets> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    for (name, value) in secrets {
        ensure!(
            value.reveal().len() == 64 && value.reveal().bytes().all(is_digit),
            "the secret `{}` is not 64 lower-case hex digits",
            name.escape_debug()
        );
    }
    Ok(secrets.clone())
}

/// Carries out `message`.
pub(super) async fn resume(
    orders: &Orders,
    session: &Place,
    message: Resume,
    steps: &mut Steps,
) -> Result<(), Failure> {
    // Nothing random is drawn for it, so this may come before the generator is fed.
    orders.begin_rehearsal();
    let checked = Checked::of(&message)?;
    steps.run("clock", async { clock::step(checked.time) }).await?;
    // Before anything random is drawn.
    steps.run("entropy", async { checked.entropy.feed() }).await?;
    // Not earlier: a service may draw something random for its answer.
    let mut rehearsal = rehearsal::of_health_paths(orders.services());
    // Meanwhile, what keeps the secrets replaces them on the other processor.
    let services = async {
        // Before the services are ordered to read it; one that starts meanwhile reads it anyway.
        let (changed, env) = timed("env", async { checked.env.write(session) }).await?;
        // What a service keeps connections to may draw random numbers, which are the same in every copy: none may be used any more.
        // The pools of a suspended session are its own.
        let reload = async {
            if checked.has_same_secrets() && !changed {
                return Ok(());
            }
            orders.reload().await
        };
        let ((), reload) = timed("reload", reload).await?;
        Ok::<_, Failure>([env, reload])
    };
    let renewal =
        async { if checked.has_same_secrets() { Ok(()) } else { orders.renew(&checked.secrets).await } };
    let (secrets, services) = tokio::join!(timed("secrets", renewal), services);
    let (((), secrets), [env, reload]) = (secrets?, services?);
    for step in [secrets, env, reload] {
        steps.note(step);
    }
    if !checked.hooks.is_empty() {
        steps.run("hooks", checked.hooks.carry_out(Path::new(hooks::PRISTINE))).await?;
    }
    // What is under way is answered beside the host's requests.
    rehearsal.detach_all();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::{Hooks, Replace, Secret};

    use super::*;

    fn message() -> Resume {
        let key = || Secret::new("1".repeat(64));
        Resume {
            time: 1,
            entropy: Secret::new("0".repeat(128)),
            secrets: BTreeMap::from([("secret_server_key".to_owned(), key())]),
            env: BTreeMap::from([("CRON_SECRET".to_owned(), key())]),
            hooks: Hooks::default(),
        }
    }

    #[test]
    fn a_secret_of_another_format_is_refused_and_not_shown() {
        for value in ["", "hunter2", &"A".repeat(64), &"1".repeat(63)] {
            let secrets = Secrets::from([("cron_secret".to_owned(), Secret::new(value))]);
            let error = well_formed(&secrets).unwrap_err().to_string();
            assert_eq!(error, "the secret `cron_secret` is not 64 lower-case hex digits");
        }
    }

    #[test]
    fn a_message_is_refused_by_the_step_that_could_not_be_done() {
        let spoiled = |spoil: fn(&mut Resume)| {
            let mut message = message();
            spoil(&mut message);
            Checked::of(&message).err().map(|failure| failure.step)
        };
        assert_eq!(spoiled(|_| ()), None);
        assert_eq!(spoiled(|message| message.entropy = Secret::new("00")), Some("entropy"));
        let short = |message: &mut Resume| {
            message.secrets.insert("theirs".to_owned(), Secret::new("short"));
        };
        assert_eq!(spoiled(short), Some("secrets"));
        let name = |message: &mut Resume| {
            message.env.insert("A=B".to_owned(), Secret::new("x"));
        };
        assert_eq!(spoiled(name), Some("env"));
        let hook = |message: &mut Resume| {
            let replace = Replace { file: "/f".into(), secret: "none".into(), placeholder: "p".into() };
            message.hooks.replace.push(replace);
        };
        assert_eq!(spoiled(hook), Some("hooks"));
    }
}
