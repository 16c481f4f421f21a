//! What a QEMU can do, asked from it over QMP instead of guessed from its version.

use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use qapi::qmp::{self, BlockdevAioOptions, BlockdevOptions, BlockdevOptionsBase, BlockdevOptionsFile};
use serde::{Deserialize, Serialize};

use super::Version;
use crate::machine::monitor_args;
use crate::process::Launched;
use crate::qmp::{Qmp, QmpError};

/// How long a QEMU without a machine may take to come up: its program file may have to be read first.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What one QEMU program can do on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Its version.
    pub version: Version,
    /// Names of the machine types that are not deprecated, aliases left out.
    pub machine_types: Vec<String>,
    /// Names of the accelerators that were compiled in: `kvm`, `tcg`.
    pub accelerators: Vec<String>,
    /// Names of the migration capabilities.
    pub migration: Vec<String>,
    /// Names of the properties of `memory-backend-file`.
    pub memory_backend_file: Vec<String>,
    /// Whether there is a generation id device.
    pub vmgenid: bool,
    /// Whether `-sandbox` exists.
    pub sandbox: bool,
    /// Whether a file can be opened with `aio=io_uring`: it takes QEMU and the host's kernel to agree.
    pub io_uring: bool,
}

/// `query-migrate-capabilities` with names as text: a newer QEMU knows more of them than the schema that the types were
/// made from.
#[derive(Debug, Serialize)]
struct QueryMigrateCapabilities {}

#[derive(Debug, Deserialize)]
struct MigrationCapability {
    capability: String,
}

impl qapi::Command for QueryMigrateCapabilities {
    type Ok = Vec<MigrationCapability>;
    const NAME: &'static str = "query-migrate-capabilities";
    const ALLOW_OOB: bool = false;
}

impl qmp::QmpCommand for QueryMigrateCapabilities {}

/// Starts the QEMU at `program` without a machine and asks it. `dir` is a private, empty, short directory.
pub(super) async fn ask(program: &Path, dir: &Path) -> Result<Capabilities, QmpError> {
    let (socket, log, sample) = (dir.join("qmp"), dir.join("log"), dir.join("sample"));
    let command = Cmd::new(program)
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-machine", "none", "-S"])
        .args(monitor_args(&socket, None));
    let mut launched = Launched::start(&command, &log)?;
    let capabilities = launched
        .race(async {
            let qmp = Qmp::connect(&socket, START_LIMIT).await?;
            query(&qmp, &sample).await
        })
        .await;
    launched.kill().await?;
    // The directory goes, and the log with it.
    capabilities.map_err(|error| match error {
        QmpError::Process(error) => error.without_log().into(),
        error => error,
    })
}

async fn query(qmp: &Qmp, sample: &Path) -> Result<Capabilities, QmpError> {
    let machines = qmp.execute(qmp::query_machines { compat_props: None }).await?;
    let migration = qmp.execute(QueryMigrateCapabilities {}).await?;
    let accelerators = types(qmp, "accel").await?;
    let memory = qmp::qom_list_properties { typename: "memory-backend-file".to_owned() };
    let memory = qmp.execute(memory).await?;
    Ok(Capabilities {
        version: qmp.version(),
        machine_types: machines.into_iter().filter(|m| !m.deprecated).map(|m| m.name).collect(),
        accelerators: accelerators
            .iter()
            .filter_map(|name| name.strip_suffix("-accel"))
            .map(str::to_owned)
            .collect(),
        migration: migration.into_iter().map(|capability| capability.capability).collect(),
        memory_backend_file: memory.into_iter().map(|property| property.name).collect(),
        vmgenid: !types(qmp, "vmgenid").await?.is_empty(),
        sandbox: has_option(qmp, "sandbox").await?,
        io_uring: opens_with_io_uring(qmp, sample).await?,
    })
}

/// Names of the types that implement `interface`, itself included when it can be made.
async fn types(qmp: &Qmp, interface: &str) -> Result<Vec<String>, QmpError> {
    let command = qmp::qom_list_types { implements: Some(interface.to_owned()), abstract_: Some(false) };
    Ok(qmp.execute(command).await?.into_iter().map(|info| info.name).collect())
}

async fn has_option(qmp: &Qmp, option: &str) -> Result<bool, QmpError> {
    granted(qmp.execute(qmp::query_command_line_options { option: Some(option.to_owned()) }).await)
}

async fn opens_with_io_uring(qmp: &Qmp, sample: &Path) -> Result<bool, QmpError> {
    if std::fs::write(sample, [0; 512]).is_err() {
        return Ok(false);
    }
    let options = BlockdevOptions::file {
        base: BlockdevOptionsBase {
            auto_read_only: None,
            cache: None,
            detect_zeroes: None,
            discard: None,
            force_share: None,
            node_name: Some("sample".to_owned()),
            read_only: Some(true),
        },
        file: BlockdevOptionsFile {
            aio: Some(BlockdevAioOptions::io_uring),
            aio_max_batch: None,
            drop_cache: None,
            locking: None,
            pr_manager: None,
            x_check_cache_dropped: None,
            filename: sample.display().to_string(),
        },
    };
    granted(qmp.execute(qmp::blockdev_add(options)).await)
}

/// Whether QEMU did as it was asked; being refused is an answer here.
fn granted<T>(answer: Result<T, QmpError>) -> Result<bool, QmpError> {
    match answer {
        Ok(_) => Ok(true),
        Err(QmpError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
