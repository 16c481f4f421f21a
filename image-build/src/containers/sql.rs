//! Secrets that databases keep.

use compose::model::emulator::Database;
use compose::model::{Project, Spanned};
use protocol::containers::GATEWAY;
use protocol::sql::{self, Replacement, Sql};

use super::native::{self, Native};
use super::pointer::{Pointer, Result};
use super::secrets::{Secrets, Text, unknown_service};

/// The port of a server whose connection string names none: libpq, "Connection Strings".
const DEFAULT_PORT: u16 = 5432;

/// What the guest has to do in databases, if anything.
pub(super) fn sql(
    pointer: Pointer<'_>,
    project: &Project,
    natives: &[Native<'_>],
    secrets: &Secrets<'_>,
) -> Result<Option<Sql>> {
    let mut databases: Vec<sql::Database> = Vec::new();
    for hook in &project.emulator.hooks.sql {
        let url = match &hook.database {
            Database::Url(url) => of_url(pointer, url, secrets)?,
            Database::Service(name) => of_service(pointer, project, natives, name, secrets)?,
        };
        let names = hook.secrets.iter().map(|name| secrets.name(name)).collect::<Result<_>>()?;
        let replacement = Replacement { statement: hook.statement.value.clone(), secrets: names };
        if let Some(known) = databases.iter_mut().find(|known| known.url == url) {
            known.setup.extend(hook.setup.iter().cloned());
            known.statements.push(replacement);
        } else {
            databases.push(sql::Database { url, setup: hook.setup.clone(), statements: vec![replacement] });
        }
    }
    if let Some(first) = project.emulator.hooks.sql.first()
        && databases.iter().any(|database| database.secrets().is_empty())
    {
        let reason = "no statement of this database has a secret";
        return Err(pointer.value(&first.statement, reason, "add the key `secrets`"));
    }
    Ok((!databases.is_empty()).then_some(Sql { databases }))
}

fn of_url(pointer: Pointer<'_>, url: &Spanned<String>, secrets: &Secrets<'_>) -> Result<String> {
    match secrets.text(&url.value) {
        Ok(Text::Template(template)) => Ok(template),
        Ok(Text::Plain(text)) => Ok(escaped(&text)),
        Err(unknown) => {
            let reason = format!("there is no secret `{unknown}`");
            Err(pointer.value(url, reason, "describe it under `x-emulator.secrets`"))
        }
    }
}

/// The connection string of the native PostgreSQL that replaces a service.
fn of_service(
    pointer: Pointer<'_>,
    project: &Project,
    natives: &[Native<'_>],
    name: &Spanned<String>,
    secrets: &Secrets<'_>,
) -> Result<String> {
    let is_called = |native: &&Native<'_>| {
        native.name == name.value || native.replaced.is_some_and(|service| service.name == name.value)
    };
    let called = || natives.iter().filter(is_called);
    if project.service(&name.value).is_none() && called().next().is_none() {
        return Err(unknown_service(pointer, name));
    }
    let found = called().find_map(|native| native.database(secrets).transpose()).transpose()?;
    let Some(native::Database { port, user, password, name }) = found else {
        let reason = format!("`{}` is not the native PostgreSQL", name.value);
        return Err(pointer.value(name, reason, "write `url` with the address of the database"));
    };
    let quoted = |value: &str| format!("'{}'", value.replace('\'', "\\'"));
    let (user, password, name) = (quoted(&user), quoted(&password), quoted(&name));
    let port = if port == DEFAULT_PORT { String::new() } else { format!(" port={port}") };
    Ok(escaped(&format!("host={GATEWAY}{port} user={user} password={password} dbname={name}")))
}

/// The text as a template without places.
fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
