//! `service.toml`: what one service is made of, and what it shows to the host.

use std::collections::BTreeMap;

use protocol::Hooks;
use protocol::services::Order;
use serde::Deserialize;

use super::{NativeUse, Problem};
use crate::stack::exports::{Export, ProjectRequest};
use crate::stack::{Port, Secret, check};

/// Longest value of a variable, in bytes.
const VALUE_LIMIT: usize = 4096;

/// What `service.toml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceFile {
    /// Its systemd unit, a file beside this one. A part has none.
    #[serde(default)]
    pub unit: String,
    /// The service whose process serves this one too, if it has no process of its own.
    #[serde(rename = "partOf")]
    pub part_of: Option<String>,
    /// Whether it is a program of the built-in product, which the guest's program then includes.
    #[serde(default)]
    pub product: bool,
    /// Whether a start does not wait for it: in a direct boot it is started when the stack is ready.
    #[serde(default)]
    pub late: bool,
    /// Debian packages that it adds to the base; `{arch}` is Debian's name of the architecture.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Orders that it takes over its control socket.
    #[serde(default)]
    pub orders: Vec<Order>,
    /// What it serves on the host's loopback interface.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// What of it is replaced by fresh values for every new session.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// What has to be done in a resumed machine if it cannot take secrets while it runs.
    #[serde(default)]
    pub hooks: Hooks,
    /// Settings of the image for all services: variables and their values.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment variables that programs of developers get.
    #[serde(default)]
    pub exports: Vec<Export>,
    /// How it is asked for the project of a configuration file.
    pub project: Option<ProjectRequest>,
    /// Requests that are made once before the machine is captured, besides those of health paths.
    #[serde(default, rename = "warmUp")]
    pub warm_up: Vec<WarmUp>,
    /// How containers use it instead of an image.
    pub native: Option<NativeUse>,
}

/// A request that is made before the machine is captured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Name of the port, of this service or of another one.
    pub port: String,
    /// The path.
    pub path: String,
}

impl ServiceFile {
    /// Parses the text of a `service.toml` and checks what does not depend on other services.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key or order, or a value outside its range.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let file: Self = toml::from_str(text)?;
        let wrong = |key| move |reason| Problem::Value { key, reason };
        file.check_part().map_err(wrong("partOf"))?;
        if let Some(name) = file.packages.iter().find(|name| !is_package(name)) {
            return Err(wrong("packages")(format!("{name:?} is not a valid name of a package")));
        }
        for (name, value) in &file.env {
            check::variable(name).map_err(wrong("env"))?;
            if !is_plain(value) {
                let reason =
                    "has a control character or one of `\"`, `\\`, `$` and a backtick, or is too long";
                return Err(wrong("env")(format!("the value of `{name}` {reason}")));
            }
        }
        file.native.as_ref().map_or(Ok(()), NativeUse::check).map_err(wrong("native"))?;
        Ok(file)
    }

    /// Verifies that it has either a unit or the service that it is a part of, and as a part nothing that is a process's.
    fn check_part(&self) -> Result<(), String> {
        let is_part = self.part_of.is_some();
        if is_part != self.unit.is_empty() {
            return Err("a service has either a `unit` or `partOf`".to_owned());
        }
        let of_a_process = [
            ("product", self.product),
            ("late", self.late),
            ("orders", !self.orders.is_empty()),
            ("native", self.native.is_some()),
        ];
        match of_a_process.iter().find(|(_, given)| is_part && *given) {
            Some((key, _)) => Err(format!("a part of another service has no `{key}`")),
            None => Ok(()),
        }
    }
}

/// Whether this can be a name of a package, with its architecture or the placeholder for it: Debian Policy, 5.6.7.
fn is_package(name: &str) -> bool {
    let known = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "+-.:{}".contains(character)
    };
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(known)
}

/// Whether a shell and `systemd.exec(5)` read the value in double quotes as it is.
pub(super) fn is_plain(value: &str) -> bool {
    value.len() <= VALUE_LIMIT
        && !value.contains(|character: char| character.is_control() || "\"\\$`".contains(character))
}
