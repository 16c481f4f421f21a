//! Inserts what must exist before the first use. Running it again changes nothing: keys that were rotated
//! since, and an admin's changed password, stay.

use anyhow::{Context as _, ensure};
use base::variables;
use guest::service;
use protocol::Secret;
use tracing::info;

use crate::{
    local_admin,
    settings::CurrentSettings,
    store::{Store, keys::KeySet, passwords, projects, tokens, users},
};

/// Seeds the database, and logs what it did.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    let keys = KeySet {
        publishable_client: key_from("STACK_PUBLISHABLE_CLIENT_KEY")?,
        secret_server: key_from("STACK_SECRET_SERVER_KEY")?,
        super_secret_admin: key_from("STACK_SUPER_SECRET_ADMIN_KEY")?,
    };
    let store = Store::new(&settings.get())?;
    service::run(seed(&store, &keys))?
}

fn key_from(variable: &str) -> anyhow::Result<Secret> {
    let key = variables::text(variable)
        .with_context(|| format!("cannot read the environment variable `{variable}`"))?;
    ensure!(
        tokens::is_well_formed(&key),
        "the environment variable `{variable}` is not 64 lower-case hex digits"
    );
    Ok(Secret::new(key))
}

async fn seed(store: &Store, keys: &KeySet) -> anyhow::Result<()> {
    if projects::create_internal(&store.database, keys).await? {
        info!("created the project `{}` and its keys", projects::INTERNAL);
    }
    if users::with_password_hash(&store.database, projects::INTERNAL, local_admin::EMAIL).await?.is_none() {
        let hash = passwords::hash(Secret::new(local_admin::PASSWORD)).await?;
        users::create_dashboard_admin(&store.database, local_admin::EMAIL, local_admin::DISPLAY_NAME, &hash)
            .await?;
        info!("created the dashboard's admin `{}`", local_admin::EMAIL);
    }
    info!("the database is seeded");
    Ok(())
}
