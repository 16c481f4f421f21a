//! The guest's journal, read by the guest agent: `journalctl` runs in the guest and prints JSON lines.
//!
//! Format: systemd's "Journal Export Formats", section "Journal JSON Format".

use std::time::Duration;

use image::stack::Service;
use serde::Deserialize;
use time::OffsetDateTime;
use vm::qga::{Exec, Qga};

use super::error::InstanceError;
use super::line::Line;

/// Where systemd has it on Debian.
const JOURNALCTL: &str = "/usr/bin/journalctl";

/// Longest wait for one read. Software emulation needs a second for thousands of lines.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// How many entries are read at once: the guest agent keeps a program's output in memory, and cuts it off at 16 MiB.
const CHUNK: usize = 4096;

/// How often a read is repeated that has perhaps missed a file: `journalctl` leaves out a file that grows while it opens it, as one of
/// a machine that has just resumed does.
const RETRIES: usize = 2;

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    /// With the first entry of this time or later.
    pub(super) since: Option<OffsetDateTime>,
    /// With as many of the last entries.
    pub(super) lines: Option<usize>,
}

/// Reads the journals of some services in steps.
#[derive(Debug)]
pub(super) struct Journal<'a> {
    qga: Qga,
    services: &'a [Service],
    beginning: Beginning,
    cursor: Option<String>,
    at_its_end: bool,
}

/// One entry as `journalctl --output=json` prints it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    microseconds: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Message>,
    /// The unit that wrote it.
    #[serde(rename = "_SYSTEMD_UNIT")]
    writer: Option<String>,
    /// The unit that systemd wrote it about.
    #[serde(rename = "UNIT")]
    subject: Option<String>,
}

/// A message is text, or its bytes where they are not text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

impl<'a> Journal<'a> {
    /// The journals of `services`, through the guest agent.
    pub(super) fn new(qga: Qga, services: &'a [Service], beginning: Beginning) -> Self {
        Self { qga, services, beginning, cursor: None, at_its_end: false }
    }

    /// Whether the last read has come to the newest entry.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.at_its_end
    }

    /// The first time the entries from the beginning on; from then on those that have come since. It may take several calls to come to
    /// the newest one.
    ///
    /// # Errors
    /// When the guest agent does not answer, or `journalctl` fails.
    pub(super) async fn read(&mut self) -> Result<Vec<Line>, InstanceError> {
        let units = self.services.iter().map(|service| format!("--unit={}", service.unit));
        let (from, limit) = self.selection();
        let fixed = ["--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE,_SYSTEMD_UNIT,UNIT"];
        let exec = Exec::new(JOURNALCTL).args(fixed).args(units).args(from);
        let output = self.output(&exec).await?;
        let (mut lines, mut count) = (Vec::new(), 0);
        for line in output.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let entry: Entry = serde_json::from_slice(line).map_err(InstanceError::Journal)?;
            count += 1;
            lines.push(self.line(&entry));
            self.cursor = Some(entry.cursor);
        }
        self.at_its_end = limit.is_none_or(|limit| count < limit);
        // `journalctl` was asked for whole seconds.
        let since = self.beginning.since;
        lines.retain(|line| since.is_none_or(|since| line.time.is_none_or(|time| time >= since)));
        Ok(lines)
    }

    /// Runs `journalctl`, and again if it complains about a file, or finds nothing at all where every service has written something.
    async fn output(&mut self, journalctl: &Exec) -> Result<Vec<u8>, InstanceError> {
        let everything = self.cursor.is_none() && self.beginning.since.is_none();
        let mut retries = RETRIES;
        loop {
            let done = self.qga.exec(journalctl, READ_LIMIT).await?;
            let complains = !done.stderr.is_empty();
            let output = done.success()?;
            if retries == 0 || !(complains || everything && output.is_empty()) {
                return Ok(output);
            }
            retries -= 1;
        }
    }

    /// What the next read asks for, and how many of the oldest entries of that at most, unless it asks for the newest ones.
    fn selection(&self) -> (Vec<String>, Option<usize>) {
        let since = self.beginning.since.map(|time| format!("--since=@{}", time.unix_timestamp()));
        let (from, lines) = match (&self.cursor, self.beginning.lines) {
            (Some(cursor), _) => (Some(format!("--after-cursor={cursor}")), None),
            (None, lines) => (since, lines),
        };
        let (count, limit) = match lines {
            Some(lines) => (format!("--lines={lines}"), None),
            None => (format!("--lines=+{CHUNK}"), Some(CHUNK)),
        };
        (from.into_iter().chain([count]).collect(), limit)
    }

    fn line(&self, entry: &Entry) -> Line {
        let service = self.services.iter().find(|service| {
            [&entry.writer, &entry.subject].into_iter().flatten().any(|unit| *unit == service.unit)
        });
        let text = match &entry.message {
            Some(Message::Text(text)) => text.clone(),
            Some(Message::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            None => String::new(),
        };
        let nanoseconds = entry.microseconds.parse().unwrap_or(0_i128).saturating_mul(1000);
        Line {
            source: service.map_or_else(String::new, |service| service.name.clone()),
            time: OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok(),
            text: vm::tail::plain(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fake_monitor::{Server, Step, answer, answer_with};

    use super::*;

    fn journal(services: &[Service], since: Option<OffsetDateTime>, lines: Option<usize>) -> Journal<'_> {
        Journal::new(Qga::new(Path::new("/none")), services, Beginning { since, lines })
    }

    #[test]
    fn a_read_begins_at_a_time_with_the_last_lines_or_after_the_read_before() {
        let time = time::macros::datetime!(2026-01-02 03:04:05.6 UTC);
        let selected = |since, lines| journal(&[], since, lines).selection();
        assert_eq!(selected(None, Some(7)), (vec!["--lines=7".to_owned()], None));
        let (args, limit) = selected(Some(time), None);
        assert_eq!((args.join(" "), limit), ("--since=@1767323045 --lines=+4096".to_owned(), Some(CHUNK)));
        assert_eq!(selected(Some(time), Some(7)).0.join(" "), "--since=@1767323045 --lines=7");
        let further = Journal { cursor: Some("c".to_owned()), ..journal(&[], Some(time), Some(7)) };
        assert_eq!(further.selection().0.join(" "), "--after-cursor=c --lines=+4096");
    }

    /// The steps of a guest agent that runs a program which ends with `status`.
    fn runs(status: &'static str) -> [Step; 2] {
        [answer("guest-exec", r#"{"return": {"pid": 7}}"#), answer("guest-exec-status", status)]
    }

    #[tokio::test]
    async fn a_read_that_misses_a_file_is_repeated() {
        let synced =
            answer_with("guest-sync", |sync| format!(r#"{{"return": {}}}"#, sync["arguments"]["id"]));
        let nothing = r#"{"return": {"exited": true, "exitcode": 0}}"#;
        let complaint = r#"{"return": {"exited": true, "exitcode": 0, "err-data": "dHJ1bmNhdGVkCg=="}}"#;
        let entry = r#"{"return": {"exited": true, "exitcode": 0, "out-data": "eyJfX0NVUlNPUiI6ImMiLCJfX1JFQUxUSU1FX1RJTUVTVEFNUCI6IjEiLCJNRVNTQUdFIjoidXAifQo="}}"#;
        let script = [runs(nothing), runs(complaint), runs(entry)].into_iter().flatten();
        let server = Server::start(vec![[synced].into_iter().chain(script).collect()]);
        let beginning = Beginning { since: None, lines: Some(7) };
        let mut journal = Journal::new(Qga::new(server.path()), &[], beginning);
        let lines = journal.read().await.unwrap();
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["up"]);
    }

    fn line(json: &str) -> Line {
        let service = |name: &str| Service {
            name: name.into(),
            unit: format!("stack-{name}.service"),
            container: false,
        };
        let services = [service("backend"), service("redis")];
        let journal = journal(&services, None, None);
        journal.line(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_entry_belongs_to_the_service_that_wrote_it_or_that_it_is_about() {
        let written = line(
            r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000123456","MESSAGE":"up","_SYSTEMD_UNIT":"stack-redis.service"}"#,
        );
        assert_eq!((written.source.as_str(), written.text.as_str()), ("redis", "up"));
        assert_eq!(written.time.unwrap().unix_timestamp(), 1_700_000_000);
        let about = line(
            r#"{"__CURSOR":"s=2","__REALTIME_TIMESTAMP":"1","MESSAGE":"Started","_SYSTEMD_UNIT":"init.scope","UNIT":"stack-backend.service"}"#,
        );
        assert_eq!(about.source, "backend");
    }

    #[test]
    fn a_message_that_is_not_text_is_still_shown() {
        let entry = line(r#"{"__CURSOR":"s=3","__REALTIME_TIMESTAMP":"1","MESSAGE":[104,105,255]}"#);
        assert_eq!(entry.text, "hi\u{fffd}");
    }
}
