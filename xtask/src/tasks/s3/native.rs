//! Servers of S3 on this machine, without a virtual one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base::process::Cmd;
use base::wait;
use tokio::net::TcpStream;

use super::super::cargo::built_in;

/// How long a server may take until it listens.
const LIMIT: Duration = Duration::from_mins(1);

/// The keys of every server.
pub(super) const ACCESS_KEY: &str = "access-key-of-the-judges";
pub(super) const SECRET_KEY: &str = "secret-key-of-the-judges";

/// A server that listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) port: u16,
}

impl Server {
    /// What `emulator run` gives to programs.
    pub(super) fn variables(self) -> [(&'static str, String); 6] {
        let url = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ENDPOINT_URL_S3", url.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("S3_ENDPOINT", url),
            ("S3_FORCE_PATH_STYLE", "true".to_owned()),
        ]
    }
}

/// Builds the program that serves S3, as it is for stacks without the product.
///
/// # Errors
/// When the build fails.
pub(super) async fn program() -> anyhow::Result<PathBuf> {
    built_in("services", "stackd-services", &["--quiet", "--release"], []).await
}

/// Does `work` with the service, on a PostgreSQL server of its own with these settings.
///
/// # Errors
/// When one of them does not start, or ends.
pub(super) async fn with_service<T>(
    program: &Path,
    settings: &[&str],
    work: impl AsyncFnOnce(Server) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let serve = async |url: String| {
        let dir = tempfile::tempdir()?;
        let [port] = free_ports()?;
        let cmd = |what: &str| {
            let cmd = Cmd::new(program).args([what, "s3"]).env("DATABASE_URL", &url);
            let cmd = cmd.env("S3_DIRECTORY", dir.path().join("s3")).env("STACK_S3_PORT", port.to_string());
            cmd.env("S3_ACCESS_KEY_ID", ACCESS_KEY).env("S3_SECRET_ACCESS_KEY", SECRET_KEY)
        };
        cmd("schema").output().await?;
        with_server(&cmd("serve"), port, work).await
    };
    test_postgres::with_settings(settings, serve).await?
}

/// Does `work` with a server that listens on `port`.
///
/// # Errors
/// When it does not start, or ends.
pub(super) async fn with_server<T>(
    server: &Cmd,
    port: u16,
    work: impl AsyncFnOnce(Server) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok();
    tokio::select! {
        ended = server.output() => {
            ended?;
            anyhow::bail!("`{}` has ended", server.argv())
        }
        result = async {
            let late = || format!("`{}` does not listen", server.argv());
            wait::until(LIMIT, listens).await.with_context(late)?;
            work(Server { port }).await
        } => result,
    }
}

/// Ports that no one listens on.
///
/// # Errors
/// When there is none.
pub(super) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut taken = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
        *port = listener.local_addr()?.port();
        taken.push(listener);
    }
    Ok(ports)
}
