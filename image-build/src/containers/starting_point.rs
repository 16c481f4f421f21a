//! A commented `x-emulator` for a compose file, to begin with.

use std::fmt::Write as _;

use compose::Project;

use super::native::Natives;

/// What comes before what depends on the file.
const HEAD: &str = include_str!("starting_point/head.yaml");

/// What comes after it.
const TAIL: &str = include_str!("starting_point/tail.yaml");

/// What could be added to the compose file of `project`, as YAML with comments.
pub fn starting_point(project: &Project, natives: &Natives) -> String {
    let mut text = HEAD.replace("{name}", &project.name);
    let published = project.services.iter().find_map(|service| Some((service, service.ports.first()?)));
    if let Some((service, port)) = published {
        let _ = writeln!(text, "  backend: {}:{}", service.name, port.target);
    }
    text.push_str(TAIL);
    for service in &project.services {
        let native = service.image.as_ref().and_then(|image| natives.standing_for(&image.value));
        let Some((native, title)) = native else { continue };
        let (name, key) = (&service.name, format!("x-emulator: {{native: {native}}}"));
        let _ = writeln!(
            text,
            "# `{name}` could be the native {title}, which takes less memory, with this key under `services.{name}`:"
        );
        let _ = writeln!(text, "#   {key}");
    }
    text
}
