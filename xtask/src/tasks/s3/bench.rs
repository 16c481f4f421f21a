//! `cargo xtask s3 bench`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context as _;
use base::console::Console;
use base::events::Phase;
use base::files;
use base::process::Cmd;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::PACKAGES;
use super::native::{ACCESS_KEY, SECRET_KEY, Server, free_ports, program, with_server, with_service};
use crate::bench::statistics::median;
use crate::packages::{self, Feature};

/// Measure 2,000 puts and gets of 1 kB and 20 of 32 MiB, beside other servers
///
/// The service is measured twice: as it is, and on a PostgreSQL server that does not wait for the disk, as the others
/// do not either.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask s3 bench
  cargo xtask s3 bench --rounds 5")]
pub(crate) struct Bench {
    /// How often each of them is measured, in turns
    #[arg(long, value_name = "N", default_value = "3")]
    rounds: NonZeroUsize,
}

/// What is measured, as the client names it, and how it is called in the table.
const KINDS: [(&str, &str); 4] = [
    ("smallPuts", "PUTS OF 1 kB"),
    ("smallGets", "GETS OF 1 kB"),
    ("largePuts", "PUTS OF 32 MiB"),
    ("largeGets", "GETS OF 32 MiB"),
];

/// The name of the bucket.
const BUCKET: &str = "speed";

/// The client, which is the same for all.
const CLIENT: &str = include_str!("../../../s3/speed.py");

/// Seconds of every round, by what was measured.
type Seconds = BTreeMap<String, Vec<f64>>;

impl Bench {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::Test], console).await?;
        let bin = PACKAGES.installed(console).await?;
        let program = program().await?;
        let (weed_dir, rclone_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let [weed_port, rclone_port] = free_ports()?;
        let weed = seaweedfs(&bin, weed_dir.path(), weed_port)?;
        let rclone = rclone(&bin, rclone_dir.path(), rclone_port);
        let measured = with_service(&program, &[], async |durable| {
            with_service(&program, &["fsync=off"], async |unsynced| {
                with_server(&weed, weed_port, async |weed| {
                    with_server(&rclone, rclone_port, async |rclone| {
                        let servers = [
                            ("this", durable),
                            ("this, fsync=off", unsynced),
                            ("SeaweedFS", weed),
                            ("rclone", rclone),
                        ];
                        self.measure(&bin, &servers, console).await
                    })
                    .await
                })
                .await
            })
            .await
        });
        let table = table(&measured.await?);
        io::stdout().write_all(table.as_bytes()).context("cannot write to stdout")
    }

    async fn measure<'a>(
        &self,
        bin: &Path,
        servers: &[(&'a str, Server)],
        console: &Console,
    ) -> anyhow::Result<Vec<(&'a str, Seconds)>> {
        let mut measured: Vec<_> = servers.iter().map(|(name, _)| (*name, Seconds::new())).collect();
        let phase = Phase::start(console, "s3-bench", "Measure each server in turns");
        for round in 1..=self.rounds.get() {
            for ((name, server), (_, seconds)) in servers.iter().zip(&mut measured) {
                phase.detail(&format!("round {round}: {name}"));
                let client = Cmd::new(bin.join("python")).args(["-c", CLIENT, BUCKET]);
                let variables = server.variables().into_iter();
                let client = variables.fold(client, |client, (name, value)| client.env(name, value));
                let text = client.text().await.with_context(|| format!("measuring {name} failed"))?;
                let answer: BTreeMap<String, f64> = serde_json::from_str(&text)?;
                for (kind, taken) in answer {
                    seconds.entry(kind).or_default().push(taken);
                }
            }
        }
        phase.done();
        Ok(measured)
    }
}

fn seaweedfs(bin: &Path, dir: &Path, port: u16) -> anyhow::Result<Cmd> {
    let user = json!({
        "name": "judge",
        "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    });
    let settings = dir.join("s3.json");
    files::write_atomic(
        &settings,
        json!({ "identities": [user] }).to_string().as_bytes(),
        files::PRIVATE_FILE,
    )?;
    let mut weed = Cmd::new(bin.join("weed")).arg("server").args(["-ip=127.0.0.1", "-s3", "-volume.max=100"]);
    weed = weed.arg(format!("-dir={}", dir.display())).arg(format!("-s3.config={}", settings.display()));
    weed = weed.arg(format!("-s3.port={port}"));
    let names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
    ];
    for (name, port) in names.into_iter().zip(free_ports::<7>()?) {
        weed = weed.arg(format!("-{name}={port}"));
    }
    Ok(weed)
}

fn rclone(bin: &Path, dir: &Path, port: u16) -> Cmd {
    let rclone = Cmd::new(bin.join("rclone")).args(["serve", "s3", "--config", "", "--addr"]);
    rclone.arg(format!("127.0.0.1:{port}")).arg(format!("--auth-key={ACCESS_KEY},{SECRET_KEY}")).arg(dir)
}

/// The medians.
fn table(measured: &[(&str, Seconds)]) -> String {
    let mut table = Table::new();
    let header = ["SERVER"].into_iter().chain(KINDS.iter().map(|(_, title)| *title));
    table.load_preset(NOTHING).set_header(header);
    for (name, seconds) in measured {
        let medians = KINDS.iter().map(|(kind, _)| {
            let median = seconds.get(*kind).and_then(|runs| median(runs));
            median.map_or_else(|| "-".to_owned(), |median| format!("{median:.2} s"))
        });
        table.add_row([(*name).to_owned()].into_iter().chain(medians));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n") + "\n"
}
