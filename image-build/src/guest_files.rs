//! The files that are copied over the guest's root: the platform's tree, those of each service, the stack's own tree, and those that follow
//! from their descriptions.

use std::path::Path;

use image::description::Description;
use protocol::services;

use crate::bundle::{Bundle, BundleError, STACKD_PATH};
use crate::source::Source;

/// The directory of the units that every boot has.
const UNITS: &str = "usr/lib/systemd/system";

/// The directory of the units that a direct boot has: it ignores all others.
const DIRECT_UNITS: &str = "usr/lib/stack/direct";

/// The path from there to the former.
const FROM_DIRECT: &str = "../../systemd/system";

/// The target that wants the units of all services.
const TARGET: &str = "stack.target";

/// The unit that waits until all services are ready.
const READY: &str = "stack-ready.service";

/// Settings of the image for all services.
const SETTINGS: &str = "etc/stack/stack.env";

/// The placeholders of secrets, by their variables.
const SECRETS: &str = "etc/stack/secrets.env";

/// The comments at their start.
const SETTINGS_COMMENT: &str =
    "Settings of the image for every service of the stack. A start's own settings come after these.";
const SECRETS_COMMENT: &str = "Placeholders, the same in every image: a new session replaces them before a port of it opens on the host.";

/// The bundle of an image, with the guest's program `stackd`.
///
/// # Errors
/// When something in it cannot be read, or two parts have the same file.
pub fn bundle(source: &Source, stackd: &Path) -> Result<Bundle, BundleError> {
    let mut bundle = Bundle::default();
    bundle.tree(&source.platform(), "")?;
    for service in &source.services {
        if let Some(files) = &service.files {
            bundle.tree(files, "")?;
        }
        for unit in &service.units {
            bundle.file(&service.dir.join(unit), &format!("{UNITS}/{unit}"))?;
            bundle.link(&format!("{DIRECT_UNITS}/{unit}"), format!("{FROM_DIRECT}/{unit}"))?;
        }
    }
    if let Some(files) = source.stack_files() {
        bundle.replace(&files)?;
    }
    generated(&source.described, &mut bundle)?;
    bundle.file(stackd, STACKD_PATH)?;
    Ok(bundle)
}

/// Adds the files that follow from the description.
fn generated(described: &Description, bundle: &mut Bundle) -> Result<(), BundleError> {
    let Description { stack, guest, env, late, .. } = described;
    let json = guest.to_json().expect("a merged description has distinct names, units and ports");
    bundle.text(services::FILE.trim_start_matches('/'), json)?;

    // A shell and `systemd.exec(5)` read them alike: the description allows no value that they would not.
    let settings = env.iter().map(|(name, value)| format!("{name}=\"{value}\""));
    bundle.text(SETTINGS, lines(SETTINGS_COMMENT, settings))?;
    let secrets = stack.secrets.iter().map(|secret| format!("{}={}", secret.env, secret.placeholder));
    bundle.text(SECRETS, lines(SECRETS_COMMENT, secrets))?;

    let units: Vec<_> = guest.services.iter().map(|service| service.unit.as_str()).collect();
    let waited: Vec<_> = units.iter().copied().filter(|unit| !late.iter().any(|late| late == unit)).collect();
    for dir in [UNITS, DIRECT_UNITS] {
        for unit in &units {
            bundle.link(&format!("{dir}/{TARGET}.wants/{unit}"), format!("../{unit}"))?;
        }
        let after = format!("[Unit]\nAfter={}\n", waited.join(" "));
        bundle.text(&format!("{dir}/{READY}.d/services.conf"), after)?;
    }
    for unit in late {
        let text =
            format!("[Unit]\n# A start waits for the other services, and for nothing else.\nAfter={READY}\n");
        bundle.text(&format!("{DIRECT_UNITS}/{unit}.d/late.conf"), text)?;
    }
    Ok(())
}

/// Joins lines to a text, under a comment.
fn lines(comment: &str, lines: impl Iterator<Item = String>) -> String {
    lines.fold(format!("# {comment}\n"), |text, line| text + &line + "\n")
}

#[cfg(test)]
mod tests;
