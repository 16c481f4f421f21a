//! A PostgreSQL server of a test's own, in a temporary directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use base::{
    process::{Cmd, ProcessError},
    wait::{self, TimedOut},
};
use thiserror::Error;
use tokio_postgres::NoTls;

/// Where Debian has the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The user that the package of PostgreSQL creates: the server does not run as root.
const USER: &str = "postgres";

/// How long the server may take to come up on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Why there is no server.
#[derive(Debug, Error)]
pub enum ServerError {
    /// There is no directory for it.
    #[error("no temporary directory can be created")]
    Directory(#[from] io::Error),
    /// A program of PostgreSQL's failed.
    #[error(transparent)]
    Program(#[from] ProcessError),
    /// It has ended by itself.
    #[error("PostgreSQL has ended")]
    Ended,
    /// It takes no connections.
    #[error("PostgreSQL takes no connections")]
    Late(#[from] TimedOut),
}

/// Does `work` with the address of a server that waits for no disk, and is gone afterwards. The test needs PostgreSQL's `initdb` and
/// `postgres`.
///
/// # Panics
/// When there is no server.
pub async fn with_server<T>(work: impl AsyncFnOnce(String) -> T) -> T {
    with_settings(&["fsync=off"], work).await.expect("this test needs PostgreSQL")
}

/// The same with these settings of the server, `name=value`.
///
/// # Errors
/// When there is no server, or it ends.
pub async fn with_settings<T>(
    settings: &[&str],
    work: impl AsyncFnOnce(String) -> T,
) -> Result<T, ServerError> {
    let dir = tempfile::tempdir()?;
    if rustix::process::geteuid().is_root() {
        Cmd::new("install").args(["-d", "-o", USER, "-g", USER]).arg(dir.path()).output().await?;
    }
    let data = dir.path().join("data");
    let initdb = program("initdb").arg("--pgdata").arg(&data);
    let initdb =
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    initdb.current_dir("/").output().await?;
    let server = program("postgres").arg("-D").arg(&data).arg("-k").arg(dir.path());
    let server = server.args(["-c", "listen_addresses="]).current_dir("/");
    let server = settings.iter().fold(server, |server, setting| server.args(["-c", setting]));
    let url = format!("host={} user=postgres dbname=postgres", dir.path().display());
    tokio::select! {
        ended = server.output() => Err(ended.err().map_or(ServerError::Ended, ServerError::Program)),
        result = async {
            let connect = async || tokio_postgres::connect(&url, NoTls).await.ok().map(drop);
            wait::until(LIMIT, connect).await?;
            Ok(work(url.clone()).await)
        } => result,
    }
}

/// A program of PostgreSQL, as a user that it runs as.
fn program(name: &str) -> Cmd {
    let program = newest().map_or_else(|| PathBuf::from(name), |dir| dir.join("bin").join(name));
    if !rustix::process::geteuid().is_root() {
        return Cmd::new(program);
    }
    let to_user = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()];
    Cmd::new("setpriv").args(to_user).arg(program)
}

/// The directory of the newest version that is installed.
fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir(Path::new(VERSIONS)).ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(number)
}
