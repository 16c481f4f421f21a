//! Random and concurrent requests to every route of the backend and the dashboard: what they may never be answered with, and what
//! must have ended when it was ended, whatever happened concurrently.
//!
//! What a seed repeats is each worker's sequence of requests; which of them meet is the machine's doing.

mod flows;
mod noise;
mod shapes;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::variables;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::wire::{Answer, Request};
use crate::emulator::Started;
use crate::stack::KEYS;

/// Variable with the seed to repeat; without it every run has another.
pub const SEED_VARIABLE: &str = "VM_TESTS_FUZZ_SEED";

/// Variable with the number of seconds to run.
pub const SECONDS_VARIABLE: &str = "VM_TESTS_FUZZ_SECONDS";

/// How long by default.
const SHORT: Duration = Duration::from_secs(20);

/// Workers that send what is wrong, and workers that follow what is right to its end.
const NOISE: u64 = 4;
const FLOWS: u64 = 3;

/// More findings than these tell nothing new.
const ENOUGH: usize = 20;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What the requests follow from.
    pub seed: u64,
    /// How long new ones are begun.
    pub duration: Duration,
}

impl Plan {
    /// As the variables say.
    ///
    /// # Panics
    /// When one is not a number.
    pub fn from_env() -> Self {
        let number = |name| {
            let text = variables::text(name)?;
            Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
        };
        Self {
            seed: number(SEED_VARIABLE).unwrap_or_else(rand::random),
            duration: number(SECONDS_VARIABLE).map_or(SHORT, Duration::from_secs),
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many answers had each status.
    pub statuses: BTreeMap<u16, u64>,
    /// How often each flow came to its end.
    pub flows: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub findings: Vec<String>,
}

/// Sends requests until the time is up or enough is found.
///
/// # Panics
/// When a worker does.
pub async fn run(started: &Started, plan: Plan) -> Outcome {
    let target = Arc::new(Target::new(started));
    let end = Instant::now() + plan.duration;
    let mut workers = JoinSet::new();
    for worker in 0..NOISE + FLOWS {
        let rng = StdRng::seed_from_u64(plan.seed.wrapping_add(worker));
        let target = Arc::clone(&target);
        workers.spawn(async move {
            if worker < NOISE {
                noise::make(&target, rng, end).await;
            } else {
                flows::follow(&target, rng, end).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker does not panic");
    }
    std::mem::take(&mut *target.outcome())
}

/// Ends everything that can be ended, concurrently with its use, `rounds` times and one thing after the other.
pub async fn end_everything(started: &Started, seed: u64, rounds: usize) -> Outcome {
    let target = Target::new(started);
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..rounds {
        flows::follow_each(&target, &mut rng).await;
    }
    std::mem::take(&mut *target.outcome())
}

/// Why a flow does not come to its end.
enum Stop {
    /// The service has too much to do, which it may say.
    Busy,
    /// Something is wrong, which has been noted.
    Found,
}

/// The machine under test, and what has been seen.
struct Target {
    backend: String,
    dashboard: String,
    /// The keys of the project `internal`, in the order of [`KEYS`].
    keys: [String; 3],
    cron_secret: String,
    outcome: Mutex<Outcome>,
}

impl Target {
    fn new(started: &Started) -> Self {
        let host = |name| started.url(name).trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self {
            backend: host("backend"),
            dashboard: host("dashboard"),
            keys: KEYS.map(|(.., secret)| started.secret(secret).to_owned()),
            cron_secret: started.secret("cron_secret").to_owned(),
            outcome: Mutex::default(),
        }
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is more to do.
    fn goes_on(&self, end: Instant) -> bool {
        Instant::now() < end && self.outcome().findings.len() < ENOUGH
    }

    fn found(&self, finding: String) -> Stop {
        self.outcome().findings.push(finding);
        Stop::Found
    }

    /// Sends a request to one of the services and looks at its answer; none if the request could be dropped and was.
    async fn try_ask(&self, host: &str, request: &Request) -> Result<Option<Answer>, Stop> {
        let answer = match wire::exchange(host, request).await {
            Ok(answer) => answer,
            Err(_) if request.may_be_dropped => return Ok(None),
            Err(error) => return Err(self.found(format!("no answer ({error}) to {}", request.shown()))),
        };
        *self.outcome().statuses.entry(answer.status).or_default() += 1;
        match wrong(&answer, host == self.backend && request.method != b"HEAD") {
            Some(wrong) => {
                let finding = format!("{wrong}: {} to {}", answer.shown(), request.shown());
                Err(self.found(finding))
            }
            None => Ok(Some(answer)),
        }
    }

    /// Sends a request that has an answer.
    async fn ask(&self, host: &str, request: &Request) -> Result<Answer, Stop> {
        match self.try_ask(host, request).await? {
            Some(answer) if answer.status != 503 => Ok(answer),
            _ => Err(Stop::Busy),
        }
    }
}

/// What must not be in any answer. Those of the backend say what failed, except to clients that ask for no body.
fn wrong(answer: &Answer, says_why: bool) -> Option<&'static str> {
    let has_body = answer.header("content-type").is_some();
    match answer.status {
        // That is what a health check is for.
        503 if answer.json()["code"] == "UNHEALTHY" => None,
        503 if answer.header("retry-after").is_none() => Some("503 without Retry-After"),
        500..503 | 504.. => Some("a failure of the service"),
        400.. if says_why && has_body && !answer.json()["code"].is_string() => {
            Some("a failure without a code")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_service_are_told_from_refusals() {
        let of = |head: &str, body: &str| {
            let bytes = format!("HTTP/1.1 {head}\r\n\r\n{body}");
            wrong(&Answer::parse(bytes.as_bytes()).unwrap(), true)
        };
        assert_eq!(of("500 Oh\r\ncontent-type: x", r#"{"code":"A"}"#), Some("a failure of the service"));
        assert_eq!(of("504 Late", ""), Some("a failure of the service"));
        assert_eq!(of("503 Busy", ""), Some("503 without Retry-After"));
        assert_eq!(of("503 Busy\r\nretry-after: 2\r\ncontent-type: x", r#"{"code":"A"}"#), None);
        assert_eq!(of("401 No\r\ncontent-type: x", "no"), Some("a failure without a code"));
        assert_eq!(of("400 Bad Request", ""), None, "invalid HTTP is answered without a body");
    }
}
