//! Variables of a container: those of the image, then those of the compose file, then secrets.

use std::collections::BTreeMap;

use compose::model::Service;

use super::pointer::{Pointer, Result};
use super::secrets::{Secrets, Text};

/// Where programs are if an image does not say it: of Docker.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables of a container.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Variables that are the same in every session.
    pub(super) plain: BTreeMap<String, String>,
    /// Variables with secrets, as templates.
    pub(super) secret: BTreeMap<String, String>,
}

/// The variables of `service`, whose image sets `image`.
pub(super) fn environment(
    pointer: Pointer<'_>,
    service: &Service,
    image: &[String],
    secrets: &Secrets<'_>,
) -> Result<Environment> {
    let split = |variable: &String| {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut all: BTreeMap<String, String> = image.iter().map(split).collect();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let mut secret = BTreeMap::new();
    for (name, value) in &service.environment {
        let Some(value) = value else {
            all.remove(name);
            continue;
        };
        let text = secrets.text(value).map_err(|unknown| {
            let reason = format!("there is no secret `{unknown}`");
            let key = format!("environment.{name}");
            pointer.service(service, &key, reason, "describe it under `x-emulator.secrets`")
        })?;
        match text {
            Text::Plain(value) => drop(all.insert(name.clone(), value)),
            Text::Template(template) => drop(secret.insert(name.clone(), template)),
        }
    }
    secret.extend(secrets.variables(&service.name));
    all.retain(|name, _| !secret.contains_key(name));
    Ok(Environment { plain: all, secret })
}
