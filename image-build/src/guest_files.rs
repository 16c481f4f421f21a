//! The files that are copied over the guest's root: the platform's tree, those of each service, the stack's own tree, and those that follow
//! from their descriptions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::description::Description;
use protocol::containers::{self, Container};
use protocol::{services, sql};

use crate::bundle::{Bundle, BundleError, PACKAGES_PATH, STACKD_PATH};
use crate::containers::{Composed, Layers, Part};
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

/// Names the parts of the process for services.
const PARTS: &str = "STACK_SERVICES";

/// The placeholders of secrets, by their variables.
const SECRETS: &str = "etc/stack/secrets.env";

/// The comments at their start.
const SETTINGS_COMMENT: &str =
    "Settings of the image for every service of the stack. A start's own settings come after these.";
const SECRETS_COMMENT: &str = "Placeholders, the same in every image: a new session replaces them before a port of it opens on the host.";

/// The bundle of an image, with the guest's program `stackd` and the layers of its containers.
///
/// # Errors
/// When something in it cannot be read, or two parts have the same file.
pub(crate) fn bundle(source: &Source, layers: &Layers, stackd: &Path) -> Result<Bundle, BundleError> {
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
    if let Some(composed) = &source.composed {
        composed_files(composed, layers, &mut bundle)?;
    }
    if let Some(files) = source.stack_files() {
        bundle.replace(&files)?;
    }
    generated(&source.described, &mut bundle)?;
    bundle.text(PACKAGES_PATH, source.packages.join("\n") + "\n")?;
    bundle.file(stackd, STACKD_PATH)?;
    Ok(bundle)
}

/// Adds what a compose file has become: units, descriptions and layers of containers, and settings of native services.
fn composed_files(composed: &Composed, layers: &Layers, bundle: &mut Bundle) -> Result<(), BundleError> {
    for part in &composed.services {
        if let Part::Container { file, unit, .. } = part {
            bundle.text(&format!("{UNITS}/{}", file.unit), unit.clone())?;
            bundle.link(&format!("{DIRECT_UNITS}/{}", file.unit), format!("{FROM_DIRECT}/{}", file.unit))?;
        }
    }
    let mut added = BTreeSet::new();
    for container in &composed.containers {
        let files = layers.files.get(&container.name).map(Vec::as_slice).unwrap_or_default();
        let name = |file: &PathBuf| file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let container = Container { layers: files.iter().map(name).collect(), ..container.clone() };
        let json = container.to_json().expect("a container is checked when it is composed");
        bundle.text(&inside(&format!("{}/{}.json", containers::DIR, container.name)), json)?;
        for file in files.iter().filter(|file| added.insert(name(file))) {
            bundle.file(file, &inside(&format!("{}/{}.tar", containers::LAYERS, name(file))))?;
        }
    }
    for (path, text) in &composed.files {
        bundle.text(path, text.clone())?;
    }
    if let Some(sql) = &composed.sql {
        bundle.text(
            &inside(sql::FILE),
            sql.to_json().expect("statements are checked when they are composed"),
        )?;
    }
    Ok(())
}

/// The path without the first `/`, as a bundle has it.
fn inside(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// Adds the files that follow from the description.
fn generated(described: &Description, bundle: &mut Bundle) -> Result<(), BundleError> {
    let Description { stack, guest, env, late, parts, .. } = described;
    let json = guest.to_json().expect("a merged description has distinct names, units and ports");
    bundle.text(services::FILE.trim_start_matches('/'), json)?;

    // A shell and `systemd.exec(5)` read them alike: the description allows no value that they would not.
    let parts = (!parts.is_empty()).then(|| format!("{PARTS}=\"{}\"", parts.join(" ")));
    let settings = env.iter().map(|(name, value)| format!("{name}=\"{value}\"")).chain(parts);
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
