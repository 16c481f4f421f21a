//! Values as people read them.

use base::text::harmless;
use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};

use crate::{
    links,
    store::{Mailbox, Summary},
};

const TIME: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

/// A message in a list.
pub(super) struct Row {
    pub(super) link: String,
    pub(super) subject: String,
    pub(super) from: String,
    pub(super) mailbox: String,
    pub(super) mailbox_link: String,
    pub(super) time: String,
    pub(super) size: String,
    pub(super) seen: bool,
}

impl Row {
    pub(super) fn of(summary: &Summary) -> Self {
        Self {
            link: links::message(&summary.mailbox, summary.id),
            subject: subject(summary),
            from: harmless(&summary.from).into_owned(),
            mailbox: harmless(&summary.mailbox).into_owned(),
            mailbox_link: links::mailbox(&summary.mailbox),
            time: time(summary.received),
            size: size(summary.size),
            seen: summary.seen,
        }
    }
}

/// A mailbox in a list.
pub(super) struct Box {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) messages: i64,
    pub(super) unseen: i64,
    pub(super) time: String,
}

impl Box {
    pub(super) fn of(mailbox: &Mailbox) -> Self {
        Self {
            link: links::mailbox(&mailbox.name),
            name: harmless(&mailbox.name).into_owned(),
            messages: mailbox.messages,
            unseen: mailbox.unseen,
            time: time(mailbox.latest),
        }
    }
}

pub(super) fn subject(summary: &Summary) -> String {
    if summary.subject.is_empty() {
        "(no subject)".to_owned()
    } else {
        harmless(&summary.subject).into_owned()
    }
}

/// `2026-11-29 21:45:03 UTC`.
pub(super) fn time(time: OffsetDateTime) -> String {
    time.format(&TIME).unwrap_or_default()
}

/// `812 B`, `3.4 KiB`, `2.0 MiB`.
pub(super) fn size(bytes: i64) -> String {
    let count = bytes as f64;
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", count / 1024.0),
        _ => format!("{:.1} MiB", count / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_largest_unit_that_fits() {
        assert_eq!(
            [0, 1023, 1024, 1_048_575, 3_500_000].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1024.0 KiB", "3.3 MiB"]
        );
    }

    #[test]
    fn a_time_is_in_utc() {
        assert_eq!(time(OffsetDateTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }
}
