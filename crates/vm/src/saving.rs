//! Saving the state of a stopped machine to a file, and loading it into a QEMU that waits for it.
//!
//! Reference: QEMU's documentation, "Migration framework" and "Mapped-ram", and its QMP reference, `xen-save-devices-state`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use base::files::{FileError, create_private_file};
use qapi::qmp::{
    self, MigrateSetParameters, MigrationCapability, MigrationCapabilityStatus, MigrationInfo,
    MigrationStatus, migrate_set_parameters,
};

use crate::machine::Begin;
use crate::qmp::{Event, Events, Qmp, QmpError};

mod strategy;

pub use strategy::{Strategy, UnknownStrategy};

/// Threads, and parts of the file, that memory is written and read by at once.
const CHANNELS: u8 = 4;

/// The capabilities that [`Strategy::MappedRam`] needs, and [`Strategy::Template`] does not. Set each time, since a machine may be saved in another way
/// than it was loaded.
const CAPABILITIES: [MigrationCapability; 2] =
    [MigrationCapability::mapped_ram, MigrationCapability::multifd];

/// What a state begins with (QEMU 10.2, `migration/savevm.c`): its magic number and version, and the kind of its first section.
const HEAD: usize = 9;

/// The kind of section that describes the machine, where it does: `QEMU_VM_CONFIGURATION`.
const CONFIGURATION: u8 = 7;

/// Where a machine begins that loads `state`, which was saved with `strategy`.
///
/// # Errors
/// When the file cannot be read.
pub fn begin(strategy: Strategy, state: &Path) -> Result<Begin, FileError> {
    if strategy == Strategy::Template {
        return Ok(Begin::Devices);
    }
    let mut head = [0; HEAD];
    File::open(state)
        .and_then(|mut file| file.read_exact(&mut head))
        .map_err(FileError::of("read", state))?;
    Ok(if head[HEAD - 1] == CONFIGURATION { Begin::State } else { Begin::BareState })
}

impl Qmp {
    /// Writes the state of a stopped machine to `file`. With [`Strategy::Template`] that is the state of its devices, and
    /// [`crate::memory`] has the rest; with [`Strategy::MappedRam`] it is its memory too.
    ///
    /// # Errors
    /// When QEMU refuses, the file cannot be written, or `limit` passes. The machine is stopped then as before.
    pub async fn save(&self, strategy: Strategy, file: &Path, limit: Duration) -> Result<(), QmpError> {
        // QEMU would let the group read what it makes.
        create_private_file(file).map_err(FileError::of("create", file))?;
        match strategy {
            Strategy::Template => self.save_devices(file, limit).await,
            Strategy::MappedRam => self.save_all(file, limit).await,
        }
    }

    /// The command's name has remained from its first use. It is in every QEMU, and knows of no other virtual machine monitor.
    async fn save_devices(&self, file: &Path, limit: Duration) -> Result<(), QmpError> {
        let filename = text(file)?;
        let save = qmp::xen_save_devices_state { filename, live: Some(false) };
        self.execute_within(save, limit).await.map(drop)
    }

    async fn save_all(&self, file: &Path, limit: Duration) -> Result<(), QmpError> {
        self.prepare_migration(Strategy::MappedRam).await?;
        let events = self.events();
        let uri = Some(uri(file)?);
        self.execute(qmp::migrate { channels: None, detach: None, resume: None, uri }).await?;
        self.migrated("migrate", events, limit).await
    }

    /// Ends a save that is still running: left alone it would stop the machine again when it is done. Without one, does nothing.
    ///
    /// # Errors
    /// When QEMU refuses, or still saves after `limit`.
    pub async fn cancel_save(&self, limit: Duration) -> Result<(), QmpError> {
        let saving = async || {
            let MigrationInfo { status, .. } = self.execute(qmp::query_migrate {}).await?;
            Ok::<_, QmpError>(status.is_some_and(|status| {
                use MigrationStatus as Is;
                matches!(status, Is::setup | Is::active | Is::pre_switchover | Is::device | Is::cancelling)
            }))
        };
        if !saving().await? {
            return Ok(());
        }
        self.execute(qmp::migrate_cancel {}).await?;
        let ended = async || match saving().await {
            Ok(true) => None,
            Ok(false) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        let late = |_| QmpError::NoAnswer { command: "migrate_cancel", limit };
        base::wait::until(limit, ended).await.map_err(late)?
    }

    /// Loads the state in `file`, saved with `strategy`, into a machine that waits for it: with [`Strategy::Template`] one that begins
    /// with its devices, in the memory that was kept with them. The machine is stopped then.
    ///
    /// # Errors
    /// When QEMU refuses or `limit` passes. A state that does not fit ends QEMU, so race this against its end.
    pub async fn load(&self, strategy: Strategy, file: &Path, limit: Duration) -> Result<(), QmpError> {
        self.prepare_migration(strategy).await?;
        let events = self.events();
        let uri = Some(uri(file)?);
        self.execute(qmp::migrate_incoming { channels: None, exit_on_error: None, uri }).await?;
        self.migrated("migrate-incoming", events, limit).await
    }

    async fn prepare_migration(&self, strategy: Strategy) -> Result<(), QmpError> {
        let wanted = CAPABILITIES.map(|capability| (capability, strategy == Strategy::MappedRam));
        let all = wanted.into_iter().chain([(MigrationCapability::events, true)]);
        let capabilities =
            all.map(|(capability, state)| MigrationCapabilityStatus { capability, state }).collect();
        self.execute(qmp::migrate_set_capabilities { capabilities }).await?;
        let parameters = MigrateSetParameters {
            multifd_channels: Some(CHANNELS),
            // 0 means no limit. The default is a network's, and slower than a disk.
            max_bandwidth: Some(0),
            // A resumed machine would tell its network of its new place, to which every network service of the guest reacts. Its
            // network is QEMU's own, and has no other place.
            announce_rounds: Some(0),
            ..MigrateSetParameters::default()
        };
        self.execute(migrate_set_parameters(parameters)).await.map(drop)
    }

    /// Waits for the end of a migration whose events are in `events`.
    async fn migrated(
        &self,
        command: &'static str,
        mut events: Events,
        limit: Duration,
    ) -> Result<(), QmpError> {
        let end = async {
            loop {
                match events.next().await {
                    Some(Event::MIGRATION { data, .. }) => match data.status {
                        MigrationStatus::completed => return Ok(()),
                        MigrationStatus::failed | MigrationStatus::cancelled => break,
                        _ => {}
                    },
                    Some(_) => {}
                    None => return Err(QmpError::Closed(command)),
                }
            }
            let MigrationInfo { error_desc, .. } = self.execute(qmp::query_migrate {}).await?;
            let reason = error_desc.unwrap_or_else(|| "it gives no reason".to_owned());
            Err(QmpError::Refused { command: command.to_owned(), reason })
        };
        tokio::time::timeout(limit, end).await.unwrap_or(Err(QmpError::NoAnswer { command, limit }))
    }
}

fn uri(file: &Path) -> Result<String, QmpError> {
    Ok(format!("file:{}", text(file)?))
}

/// QEMU takes a path as text, so that it must be that.
fn text(file: &Path) -> Result<String, QmpError> {
    file.to_str().map(str::to_owned).ok_or_else(|| QmpError::Path(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake_monitor::{Server, Step, answer, answer_with, monitor_opening, say};

    const SOON: Duration = Duration::from_secs(5);
    const OK: [&str; 3] =
        [r#"{"return": {}, "id": 2}"#, r#"{"return": {}, "id": 3}"#, r#"{"return": {}, "id": 4}"#];

    fn event(status: &str) -> Step {
        say(&format!(
            r#"{{"event": "MIGRATION", "data": {{"status": "{status}"}}, "timestamp": {{"seconds": 1, "microseconds": 2}}}}"#
        ))
    }

    async fn saved(steps: Vec<Step>) -> Result<(), QmpError> {
        let opening = monitor_opening().into_iter().chain([
            answer("migrate-set-capabilities", OK[0]),
            answer("migrate-set-parameters", OK[1]),
            answer("migrate", OK[2]),
        ]);
        let server = Server::start(vec![opening.chain(steps).collect()]);
        let qmp = Qmp::connect(&server.path(), SOON).await.unwrap();
        qmp.save(Strategy::MappedRam, &server.dir().join("state"), SOON).await
    }

    #[test]
    fn a_state_without_a_description_is_known_by_its_first_section() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let of = |head: &[u8]| {
            std::fs::write(&state, head).unwrap();
            begin(Strategy::MappedRam, &state)
        };
        assert_eq!(of(b"QEVM\0\0\0\x03\x07\0\0").unwrap(), Begin::State);
        assert_eq!(of(b"QEVM\0\0\0\x03\x01\0\0").unwrap(), Begin::BareState);
        of(b"QEVM").unwrap_err();
        assert_eq!(begin(Strategy::Template, Path::new("/no/such/file")).unwrap(), Begin::Devices);
    }

    #[tokio::test]
    async fn a_save_ends_with_the_event_that_says_so() {
        saved(vec![event("setup"), event("active"), event("completed")]).await.unwrap();
    }

    #[tokio::test]
    async fn a_save_that_goes_on_is_ended_and_waited_for() {
        let state = |id: u32, status: &str| {
            let text = format!(r#"{{"return": {{"status": "{status}"}}, "id": {id}}}"#);
            answer_with("query-migrate", move |_| text.clone())
        };
        let steps = [
            state(2, "active"),
            answer("migrate_cancel", r#"{"return": {}, "id": 3}"#),
            state(4, "cancelling"),
            state(5, "cancelled"),
            state(6, "cancelled"),
        ];
        let server = Server::start(vec![monitor_opening().into_iter().chain(steps).collect()]);
        let qmp = Qmp::connect(&server.path(), SOON).await.unwrap();
        qmp.cancel_save(SOON).await.unwrap();
        qmp.cancel_save(SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_failed_save_gives_qemus_reason() {
        let why = r#"{"return": {"status": "failed", "error-desc": "No space left on device"}, "id": 5}"#;
        let error =
            saved(vec![event("setup"), event("failed"), answer("query-migrate", why)]).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `migrate`: No space left on device");
    }
}
