//! The settings of the service.

use service_kit::variables::Variables;

use crate::address::Naming;

/// Largest message in bytes. Inbucket has the same.
const MESSAGE_BYTES: usize = 10_240_000;

/// Most recipients of a message: RFC 5321 asks for at least 100.
const RECIPIENTS: usize = 100;

const MEBIBYTE: i64 = 1 << 20;

/// Where the service is, what it takes, and what it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `STACK_MAIL_PORT`: where pages and REST are in the machine.
    pub(crate) port: u16,
    /// `STACK_SMTP_PORT`: where SMTP is in the machine.
    pub(crate) smtp_port: u16,
    /// `DATABASE_URL`: a libpq connection string.
    pub(crate) database_url: String,
    /// `MAIL_MAILBOX_NAMING`: `local`, `full` or `domain`.
    pub(crate) naming: Naming,
    /// What SMTP takes.
    pub(crate) limits: Limits,
    /// What is kept.
    pub(crate) keep: Keep,
}

/// What SMTP takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `MAIL_MAX_BYTES`: bytes of a message.
    pub(crate) message_bytes: usize,
    /// `MAIL_MAX_RECIPIENTS`: recipients of a message.
    pub(crate) recipients: usize,
}

/// What is kept. The oldest messages go first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// `MAIL_KEEP_PER_MAILBOX`: messages of one mailbox.
    pub(crate) per_mailbox: i64,
    /// `MAIL_KEEP_MESSAGES`: messages of all mailboxes.
    pub(crate) messages: i64,
    /// `MAIL_KEEP_MIB`: bytes of all messages, given in MiB.
    pub(crate) bytes: i64,
    /// `MAIL_KEEP_DAYS`: days since a message came.
    pub(crate) days: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: MESSAGE_BYTES, recipients: RECIPIENTS }
    }
}

impl Settings {
    pub(crate) fn from_variables(variables: &Variables) -> anyhow::Result<Self> {
        let naming = variables.text("MAIL_MAILBOX_NAMING");
        // Nothing can be kept or taken with a limit of nothing.
        let count = |name, default: u32| variables.number(name, default).map(|count| i64::from(count.max(1)));
        Ok(Self {
            port: variables.number("STACK_MAIL_PORT", 9001)?,
            smtp_port: variables.number("STACK_SMTP_PORT", 2500)?,
            database_url: variables
                .text("DATABASE_URL")
                .unwrap_or_else(|| "host=/run/postgresql user=stack dbname=stack".to_owned()),
            naming: naming.as_deref().map_or(Ok(Naming::Local), str::parse)?,
            limits: Limits {
                message_bytes: variables.number("MAIL_MAX_BYTES", MESSAGE_BYTES)?.max(1),
                recipients: variables.number("MAIL_MAX_RECIPIENTS", RECIPIENTS)?.max(1),
            },
            keep: Keep {
                per_mailbox: count("MAIL_KEEP_PER_MAILBOX", 500)?,
                messages: count("MAIL_KEEP_MESSAGES", 5000)?,
                bytes: count("MAIL_KEEP_MIB", 512)? * MEBIBYTE,
                days: i32::from(variables.number("MAIL_KEEP_DAYS", 30_u16)?.max(1)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variables_the_defaults_are_those_of_the_machine() {
        let settings = Settings::from_variables(&Variables::of(&[])).unwrap();
        assert_eq!((settings.port, settings.smtp_port, settings.naming), (9001, 2500, Naming::Local));
    }

    #[test]
    fn an_unknown_naming_is_refused_with_those_that_there_are() {
        let error = Settings::from_variables(&Variables::of(&[("MAIL_MAILBOX_NAMING", "x")])).unwrap_err();
        assert_eq!(error.to_string(), "invalid naming of mailboxes `x`: use `local`, `full` or `domain`");
    }

    #[test]
    fn a_limit_of_nothing_is_a_limit_of_one() {
        let zero = [("MAIL_KEEP_PER_MAILBOX", "0"), ("MAIL_MAX_RECIPIENTS", "0")];
        let settings = Settings::from_variables(&Variables::of(&zero)).unwrap();
        assert_eq!((settings.keep.per_mailbox, settings.limits.recipients), (1, 1));
    }
}
