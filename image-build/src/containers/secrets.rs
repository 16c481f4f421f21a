//! Secrets of a session: what they are, who gets them, and where a text has places for them.

use compose::model::emulator::{self, Delivery};
use compose::model::{Project, Service, Spanned};
use image::stack::{Secret, SecretFormat};
use protocol::containers::{ContainerFile, FileSource};

use super::pointer::{Pointer, Result};

/// Permissions of a secret's file: those that compose gives it.
const FILE_MODE: u32 = 0o444;

/// What begins a place for a secret.
const PLACE: &str = "{secret:";

/// The only format of secrets.
const HEX64: &str = "hex64";

/// The secrets of a stack.
#[derive(Debug)]
pub(super) struct Secrets<'a> {
    pointer: Pointer<'a>,
    described: &'a [emulator::Secret],
    /// In the same order.
    pub(super) list: Vec<Secret>,
}

/// A text that may have places for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// It has none.
    Plain(String),
    /// It has some, and is a template of [`protocol::containers::fill`].
    Template(String),
}

impl<'a> Secrets<'a> {
    /// Reads the secrets of `project`.
    pub(super) fn of(pointer: Pointer<'a>, project: &'a Project) -> Result<Self> {
        let described = project.emulator.secrets.as_slice();
        let list = described.iter().map(|secret| secret_of(pointer, secret)).collect::<Result<_>>()?;
        for recipient in described.iter().flat_map(|secret| &secret.into) {
            let name = &recipient.service;
            match project.service(&name.value) {
                Some(Service { emulator, .. }) if emulator.native.is_none() => {}
                Some(_) => {
                    let reason = format!("`{}` is a native service, which takes no secrets", name.value);
                    return Err(pointer.value(name, reason, "name a service with an image"));
                }
                None => return Err(unknown_service(pointer, name)),
            }
        }
        Ok(Self { pointer, described, list })
    }

    /// The secret with this name or variable.
    fn get(&self, name: &str) -> Option<&Secret> {
        self.list.iter().find(|secret| secret.name == name || secret.env == name)
    }

    /// Checks that there is a secret of this name, and returns the name.
    pub(super) fn name(&self, name: &Spanned<String>) -> Result<String> {
        let secret = self.get(&name.value).ok_or_else(|| {
            let reason = format!("there is no secret `{}`", name.value);
            self.pointer.value(name, reason, "describe it under `x-emulator.secrets`")
        })?;
        Ok(secret.name.clone())
    }

    /// Finds the places for secrets in a text: `{secret:NAME}`, and values that are a secret's placeholder.
    ///
    /// # Errors
    /// With the name that no secret has.
    pub(super) fn text(&self, text: &str) -> std::result::Result<Text, String> {
        let (mut template, mut rest, mut is_plain) = (String::new(), text, true);
        while let Some(first) = rest.chars().next() {
            let placed = rest.strip_prefix(PLACE).and_then(|inside| inside.split_once('}'));
            let held =
                self.list.iter().find_map(|secret| Some((secret, rest.strip_prefix(&secret.placeholder)?)));
            let (secret, after) = match (placed, held) {
                (Some((name, after)), _) => (self.get(name).ok_or_else(|| name.to_owned())?, after),
                (None, Some(found)) => found,
                (None, None) => {
                    template.push(first);
                    if matches!(first, '{' | '}') {
                        template.push(first);
                    }
                    rest = &rest[first.len_utf8()..];
                    continue;
                }
            };
            template.extend([PLACE, &secret.env, "}"]);
            (rest, is_plain) = (after, false);
        }
        Ok(if is_plain { Text::Plain(text.to_owned()) } else { Text::Template(template) })
    }

    /// The variables that carry secrets into a service, with their templates.
    pub(super) fn variables(&self, service: &str) -> impl Iterator<Item = (String, String)> {
        self.into(service).filter_map(|(secret, delivery)| {
            let Delivery::Env(name) = delivery else { return None };
            let name = name.as_ref().map_or(&secret.env, |name| &name.value);
            Some((name.clone(), format!("{PLACE}{}}}", secret.env)))
        })
    }

    /// The files that carry secrets into a service.
    pub(super) fn files(&self, service: &str) -> impl Iterator<Item = ContainerFile> {
        self.into(service).filter_map(|(secret, delivery)| {
            let Delivery::File(path) = delivery else { return None };
            let source = FileSource::Secret(secret.env.clone());
            Some(ContainerFile { target: path.value.clone(), source, uid: 0, gid: 0, mode: FILE_MODE })
        })
    }

    fn into(&self, service: &str) -> impl Iterator<Item = (&Secret, &Delivery)> {
        self.list.iter().zip(self.described).flat_map(move |(secret, described)| {
            let own = described.into.iter().filter(move |recipient| recipient.service.value == service);
            own.map(move |recipient| (secret, &recipient.delivery))
        })
    }
}

/// What is wrong with a name that no service has.
pub(super) fn unknown_service(pointer: Pointer<'_>, name: &Spanned<String>) -> compose::ComposeError {
    let reason = format!("there is no service `{}`", name.value);
    pointer.value(name, reason, "use the name of a service of this file")
}

fn secret_of(pointer: Pointer<'_>, described: &emulator::Secret) -> Result<Secret> {
    let emulator::Secret { name, env, format, placeholder, publishable, .. } = described;
    if let Some(format) = format.as_ref().filter(|format| format.value != HEX64) {
        let reason = format!("there is no format `{}`", format.value);
        return Err(pointer.value(
            format,
            reason,
            "remove the key: a secret is 64 lower-case hexadecimal digits",
        ));
    }
    if let Some(placeholder) = placeholder.as_ref().filter(|text| !SecretFormat::Hex64.accepts(&text.value)) {
        let reason = "a placeholder has the format of its secret";
        return Err(pointer.value(
            placeholder,
            reason,
            "write 64 lower-case hexadecimal digits, or remove the key",
        ));
    }
    Ok(Secret {
        name: name.value.clone(),
        env: env.value.clone(),
        placeholder: placeholder.as_ref().map_or_else(|| made_up(&name.value), |text| text.value.clone()),
        format: SecretFormat::Hex64,
        publishable: *publishable,
    })
}

/// A placeholder that people recognise, and that no other secret has.
fn made_up(name: &str) -> String {
    format!("{}{}", "0".repeat(32), base::digest::of_bytes(name.as_bytes()).first_digits(32))
}
