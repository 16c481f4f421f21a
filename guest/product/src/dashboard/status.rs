//! Each service's health and latency. It needs no sign-in: it shows no data, and it must work when the database, in which
//! sessions are, does not.

use std::time::{Duration, Instant};

use askama::Template;
use axum::{
    extract,
    http::{HeaderMap, Method, StatusCode},
    response::Html,
};
use guest::{
    http_client::{HttpClient, Parts},
    report,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Dashboard,
    error::{PageError, html},
    frame::{Frame, Section},
    session, times,
};
use crate::{
    cron,
    store::{
        StoreError,
        cron_tasks::{self, LastRun},
        probe::{self, Probe},
        projects, sessions,
    },
};

/// After this many intervals without a run the cron service counts as down: one run may be late, but not three.
const CRON_PATIENCE: u32 = 3;

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    services: Vec<Service>,
    failing: usize,
    checked_at: String,
}

/// A service as the page shows it.
struct Service {
    /// For programs that read the page.
    id: &'static str,
    name: &'static str,
    purpose: &'static str,
    state: State,
}

/// What verifies a service's health, or what is wrong.
type State = Result<Proof, String>;

/// What a healthy service is shown with.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    figure: String,
    caption: String,
}

impl Proof {
    fn latency(latency: Duration, caption: &str) -> Self {
        Self { figure: times::latency(latency), caption: caption.to_owned() }
    }
}

pub(super) async fn page(
    extract::State(dashboard): extract::State<Dashboard>,
    headers: HeaderMap,
) -> Result<Html<String>, PageError> {
    let (postgres, redis, backend, cron) = tokio::join!(
        probe::postgres(&dashboard.store),
        probe::redis(&dashboard.store),
        backend(&dashboard),
        cron_tasks::last_run(&dashboard.store.database, cron::DELETE_EXPIRED_SESSIONS.name),
    );
    let now = OffsetDateTime::now_utc();
    let services = vec![
        Service {
            id: "backend",
            name: "Backend",
            purpose: "The API that your programs call",
            state: backend,
        },
        Service {
            id: "postgres",
            name: "PostgreSQL",
            purpose: "Projects, users and sessions",
            state: of_probe(postgres, "from query to result"),
        },
        Service {
            id: "redis",
            name: "Redis",
            purpose: "Limits on attempts to sign in",
            state: of_probe(redis, "from PING to PONG"),
        },
        Service { id: "cron", name: "Cron", purpose: "Periodic tasks", state: of_cron(cron, now) },
    ];
    // A visitor who cannot be looked up is shown the page all the same.
    let admin = match session::token(&headers) {
        Some(token) => {
            sessions::user_of_refresh_token(&dashboard.store.database, projects::INTERNAL, token.reveal())
                .await
                .unwrap_or_default()
        }
        None => None,
    };
    html(&StatusPage {
        frame: Frame::new(&dashboard.settings.get(), Section::Status, admin.as_ref()),
        failing: services.iter().filter(|service| service.state.is_err()).count(),
        services,
        checked_at: now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
    })
}

async fn backend(dashboard: &Dashboard) -> State {
    let client = HttpClient::new(dashboard.settings.get().local_backend(), probe::DEADLINE);
    let started = Instant::now();
    match client.send(Method::GET, "/health", Parts::new()).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            Ok(Proof::latency(started.elapsed(), "from request to answer"))
        }
        Ok(answer) => Err(format!("answers {}", answer.status)),
        Err(error) => Err(report(&error)),
    }
}

fn of_probe(probe: Probe, caption: &str) -> State {
    probe.map(|latency| Proof::latency(latency, caption)).map_err(|error| report(&error))
}

fn of_cron(last: Result<Option<LastRun>, StoreError>, now: OffsetDateTime) -> State {
    match last {
        Err(error) => Err(format!("unknown, because {}", report(&error))),
        Ok(None) => Err("has never run".to_owned()),
        Ok(Some(run)) => {
            let when = times::ago(run.at, now);
            if now - run.at > cron::INTERVAL * CRON_PATIENCE {
                return Err(format!("last ran {when}, and should every {} s", cron::INTERVAL.as_secs()));
            }
            let caption = format!("last run, which took {} and {}", times::latency(run.took), run.summary);
            Ok(Proof { figure: when, caption })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds_ago: i64) -> (Result<Option<LastRun>, StoreError>, OffsetDateTime) {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let run = LastRun {
            at: now - time::Duration::seconds(seconds_ago),
            took: Duration::from_millis(12),
            summary: "deleted 0 sessions and 1 access tokens".to_owned(),
        };
        (Ok(Some(run)), now)
    }

    #[test]
    fn cron_is_healthy_while_its_last_run_is_recent() {
        let (recent, now) = run(170);
        let proof = of_cron(recent, now).unwrap();
        assert_eq!(proof.figure, "2 min ago");
        assert_eq!(proof.caption, "last run, which took 12.0 ms and deleted 0 sessions and 1 access tokens");
    }

    #[test]
    fn cron_is_down_when_it_has_missed_three_rounds_or_never_ran() {
        let (old, now) = run(181);
        assert_eq!(of_cron(old, now).unwrap_err(), "last ran 3 min ago, and should every 60 s");
        assert_eq!(of_cron(Ok(None), now).unwrap_err(), "has never run");
    }

    #[test]
    fn without_a_database_cron_is_unknown_and_not_healthy() {
        let error = of_cron(
            Err(StoreError::TimedOut { service: "PostgreSQL", seconds: 2.0 }),
            OffsetDateTime::UNIX_EPOCH,
        )
        .unwrap_err();
        assert_eq!(error, "unknown, because PostgreSQL gave no answer within 2 s");
    }
}
