//! Clients that come at the same time: what becomes of their connections through a forwarded port, with this program and others, in
//! turns.

mod burst;
mod figures;

use std::collections::BTreeMap;

use anyhow::Context as _;
use base::events::{Phase, Reporter, Unit};
use image::manifest::Manifest;
use reqwest::{Client, Method, RequestBuilder};
use serde::Serialize;
use serde_json::json;
use vm::machine::Accelerator;

use self::burst::{Ended, burst, client};
use self::figures::Figures;
use super::answers::StartAnswer;
use super::contestant::{Contestant, capture_each, whose_turn};
use super::emulator::Timed;
use super::host_facts::HostFacts;
use super::scenario::TEMPLATE_NO_ROTATION;
use super::table::{shown, table};

/// Version of the report's JSON.
const SCHEMA_VERSION: u32 = 1;

/// Requests for `/health` at once.
const HEALTH: usize = 200;

/// Sign-ins at once: each costs a hash.
const SIGN_INS: usize = 50;

/// The service that is asked, as the manifest calls its port.
const SERVICE: &str = "backend";

/// The secret that clients sign in with.
const CLIENT_KEY: &str = "publishable_client_key";

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Burst {
    Health,
    SignIn,
}

impl Burst {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::SignIn => "sign_in",
        }
    }
}

/// A comparison of programs, which take turns.
pub(crate) struct Connections<'a> {
    /// Each of them.
    pub(crate) contestants: &'a [Contestant<'a>],
    /// How many rounds there are.
    pub(crate) count: usize,
    /// Where progress is reported.
    pub(crate) console: &'a dyn Reporter,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// What ran the guests.
    pub(crate) accelerator: Option<Accelerator>,
    ended: BTreeMap<(usize, Burst), Vec<Ended>>,
}

/// The figures, as programs read them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    schema_version: u32,
    host: HostFacts,
    programs: Vec<Program>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    connections: BTreeMap<Burst, Figures>,
}

impl Connections<'_> {
    /// Measures everything.
    ///
    /// # Errors
    /// When a command fails, or a service answers what was not asked for.
    pub(crate) async fn measure(&self) -> anyhow::Result<Measured> {
        capture_each(self.contestants, self.console).await?;
        let mut measured = Measured::default();
        let phase = Phase::start(self.console, "bench-rounds", "Measure");
        let programs = self.contestants.len();
        for turn in 0..self.count * programs {
            phase.progress(turn as u64, Some((self.count * programs) as u64), Unit::Steps);
            let index = whose_turn(turn, programs);
            let contestant = &self.contestants[index];
            phase.detail(&contestant.name);
            self.turn(index, &mut measured).await.map_err(|error| contestant.explain(error))?;
        }
        phase.done();
        Ok(measured)
    }

    /// One new session, asked by many at once.
    async fn turn(&self, index: usize, measured: &mut Measured) -> anyhow::Result<()> {
        let Contestant { emulator, manifest, .. } = &self.contestants[index];
        let Timed { answer, .. } = emulator.start(&TEMPLATE_NO_ROTATION, manifest).await?;
        measured.accelerator = Some(answer.accelerator);
        let client = client()?;
        for (kind, request, count) in bursts(&client, &answer, manifest).await? {
            let ended = burst(&request, count).await?;
            measured.ended.entry((index, kind)).or_default().extend(ended);
        }
        emulator.reset().await
    }

    /// The figures of what was `measured`.
    pub(crate) fn report(&self, host: HostFacts, measured: &Measured) -> Report {
        let programs = self.contestants.iter().enumerate().map(|(index, contestant)| {
            let own = measured.ended.iter().filter(|((of, _), _)| *of == index);
            let connections = own.map(|((_, kind), ended)| (*kind, Figures::of(ended))).collect();
            Program { name: contestant.name.clone(), connections }
        });
        Report { schema_version: SCHEMA_VERSION, host, programs: programs.collect() }
    }
}

/// Makes a user, and gives what is then asked by how many at once.
async fn bursts(
    client: &Client,
    started: &StartAnswer,
    manifest: &Manifest,
) -> anyhow::Result<[(Burst, RequestBuilder, usize); 2]> {
    let url = started.url(SERVICE).with_context(|| format!("the image has no port `{SERVICE}`"))?;
    let secret = manifest.stack.secrets.iter().find(|secret| secret.name == CLIENT_KEY);
    let key = &secret.with_context(|| format!("the image has no secret `{CLIENT_KEY}`"))?.placeholder;
    let user = json!({ "email": "bench@example.com", "password": "correct horse battery" });
    let password = |action: &str| {
        client
            .request(Method::POST, format!("{url}/api/v1/auth/password/{action}"))
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "client")
            .header("x-stack-publishable-client-key", key)
            .json(&user)
    };
    password("sign-up").send().await?.error_for_status().context("no user can be made")?;
    Ok([
        (Burst::Health, client.get(format!("{url}/health")), HEALTH),
        (Burst::SignIn, password("sign-in"), SIGN_INS),
    ])
}

impl Report {
    /// The same, as people read it.
    pub(crate) fn table(&self) -> String {
        let header =
            ["PROGRAM", "AT ONCE", "REQUESTS", "ANSWERED", "BUSY", "RESET", "HUNG", "P50", "P99", "MAX"];
        let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), shown);
        let rows = self.programs.iter().flat_map(|program| {
            program.connections.iter().map(|(kind, figures)| {
                let counts = [figures.requests, figures.answered, figures.busy, figures.reset, figures.hung];
                let [requests, answered, busy, reset, hung] = counts.map(|count| count.to_string());
                let [p50, p99, max] = [figures.p50, figures.p99, figures.max].map(time);
                let name = program.name.clone();
                [name, kind.as_str().to_owned(), requests, answered, busy, reset, hung, p50, p99, max]
            })
        });
        format!("{}\n\n{}", self.host.line(), table(header, 2..10, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::host_facts::tests::sample as host;
    use super::burst::Outcome;
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_program_and_burst() {
        let ended = [(Outcome::Answered, 0.25), (Outcome::Reset, 1.0)];
        let ended: Vec<Ended> = ended.map(|(outcome, seconds)| Ended { outcome, seconds }).into();
        let program = |name: &str, ended: &[Ended]| Program {
            name: name.to_owned(),
            connections: BTreeMap::from([(Burst::Health, Figures::of(ended))]),
        };
        let programs = vec![program("this checkout", &ended[..1]), program("/opt/emulator", &ended)];
        let report = Report { schema_version: SCHEMA_VERSION, host: host(), programs };
        insta::assert_snapshot!(report.table(), @"
        Example CPU 9000, 2 CPUs, 16 GiB, Debian GNU/Linux 13 (trixie), Linux 6.12.0, QEMU 10.2.2 with tcg

        PROGRAM        AT ONCE  REQUESTS  ANSWERED  BUSY  RESET  HUNG      P50      P99      MAX
        this checkout  health          1         1     0      0     0  0.250 s  0.250 s  0.250 s
        /opt/emulator  health          2         1     0      1     0  0.250 s  0.250 s  0.250 s
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["programs"][1]["connections"]["health"]["reset"], 1);
    }
}
