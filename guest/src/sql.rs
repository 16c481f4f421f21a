//! `stackd sql`: the resident service that replaces secrets that databases keep, by the statements of [`protocol::sql::FILE`].
//!
//! Its connections are open, and its statements prepared, before the machine is captured. No process starts in a resume for it.

mod database;

use std::fs;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use protocol::sql::{FILE, Sql};
use tracing::warn;

use self::database::Database;
use crate::{
    container,
    control::{Call, Order, Progress, Secrets, Socket, not_taken},
    postgres, report, service,
};

/// Runs the service until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let control = Socket::bind()?;
    let text = fs::read_to_string(FILE).with_context(|| format!("cannot read `{FILE}`"))?;
    let sql = Sql::parse(&text).with_context(|| format!("`{FILE}` cannot be used"))?;
    let hosts = container::hosts::addresses(&container::all()?);
    let databases: Vec<_> =
        sql.databases.into_iter().map(|database| Database::new(database, hosts.clone())).collect();
    service::run(async {
        postgres::serve(control, connect(&databases), |call| answer(&databases, call)).await
    })?
}

/// Opens the connections as soon as the databases are there.
async fn connect(databases: &[Database]) {
    if let Err(error) = renew(databases, &Secrets::new()).await {
        warn!("not every database is ready: {}", report(&*error));
    }
}

async fn answer(databases: &[Database], call: Call) {
    let result = match call.order {
        Order::Renew => renew(databases, &call.secrets).await.map(|()| Progress::Done),
        // The connections stay open, and nothing is at work on them but what another order waits for.
        Order::Drain => Ok(Progress::Done),
        Order::Flush => flush(databases).await.map(|()| Progress::Done),
        order @ (Order::Reload | Order::WarmUp | Order::Rehearse | Order::Settle) => Err(not_taken(order)),
    };
    call.answer(result).await;
}

/// Replaces `secrets` where they are kept. Without any, only makes sure that everything is ready for it.
async fn renew(databases: &[Database], secrets: &Secrets) -> anyhow::Result<()> {
    try_join_all(databases.iter().map(|database| database.renew(secrets))).await.map(drop)
}

/// Has the databases write all of their memory to their files, so that a start after a crash has nothing to recover.
async fn flush(databases: &[Database]) -> anyhow::Result<()> {
    try_join_all(databases.iter().map(Database::checkpoint)).await.map(drop)
}
