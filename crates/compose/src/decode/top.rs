//! The file as a whole.

use std::path::Path;

use super::at::{At, Context, Defined, EMULATOR};
use super::check::{self, Dependencies};
use super::documents::Kind;
use crate::environment::PROJECT_NAME;
use crate::error::Result;
use crate::keys;
use crate::model::{Document, Project, Service, Volume};
use crate::yaml::Node;

/// Most services of a file.
const SERVICES_LIMIT: usize = 256;

/// Name of a project whose directory has no usable name.
const NAMELESS: &str = "project";

/// Decodes a whole file whose variables have been expanded.
pub(crate) fn project(
    context: Context<'_>,
    tree: &Node,
    name: String,
    profiles: &[String],
) -> Result<Project> {
    let top = At::root(context, tree);
    let node = |name: &str| top.get(name).map(|at| at.node());
    let defined = Defined {
        volumes: node("volumes"),
        networks: node("networks"),
        configs: node(Kind::Config.key()),
        secrets: node(Kind::Secret.key()),
    };
    let fields = At::root(Context { defined, ..context }, tree).fields(&keys::PROJECT)?;
    let described = fields.required("services")?;
    let named = described.named()?;
    if named.len() > SERVICES_LIMIT {
        let error = described.error(format!("has more than {SERVICES_LIMIT} services"));
        return Err(error.instead("describe fewer"));
    }
    let (mut services, mut dependencies, mut inactive) = (Vec::new(), Dependencies::new(), Vec::new());
    for (name, at) in named {
        let name_at = described.name_of(name);
        at.service_name(name)?;
        if !at.is_active(profiles)? {
            inactive.push(name);
            continue;
        }
        let (service, depends_on) = at.service(name_at)?;
        services.push(service);
        dependencies.push(depends_on);
    }
    if services.is_empty() {
        let error = described.error("has no service of an active profile");
        return Err(error.instead("activate a profile, or remove `profiles` from a service"));
    }
    let networks = fields.or_default("networks", At::networks)?;
    let volumes = fields.or_default("volumes", At::volumes)?;
    check::dependencies(context.file, &mut services, &dependencies, &inactive)?;
    check::published(context.file, &services)?;
    check::names(described, &services)?;
    let documents = |kind: Kind| used(fields.get(kind.key()), &services, kind);
    Ok(Project {
        name,
        volumes,
        networks,
        configs: documents(Kind::Config)?,
        secrets: documents(Kind::Secret)?,
        emulator: fields.or_default(EMULATOR, At::stack_emulator)?,
        warnings: Vec::new(),
        services,
    })
}

/// Name of the project: what the environment says, then the file, then the directory.
pub(crate) fn project_name(context: Context<'_>, tree: &Node) -> Result<String> {
    let root = At::root(context, tree);
    if let Some(name) = context.environment.get(PROJECT_NAME).filter(|name| !name.is_empty()) {
        return if is_project_name(&name) {
            Ok(name)
        } else {
            Err(root
                .invalid(&name, "a name of a project")
                .instead(format!("set `{PROJECT_NAME}` to another")))
        };
    }
    let Some(at) = root.get("name") else { return Ok(of_directory(context.dir)) };
    let name = at.filled()?;
    if is_project_name(name) {
        Ok(name.to_owned())
    } else {
        let error = at.invalid(name, "a name of a project");
        Err(error.instead("use lower-case letters, digits, `-` and `_`, and begin with a letter or digit"))
    }
}

fn is_project_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(plain) && name.chars().all(|c| plain(c) || "-_".contains(c))
}

/// The name of the directory, without what a name of a project cannot have.
fn of_directory(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = dir.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let kept = name.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c));
    let kept: String = kept.skip_while(|c| "-_".contains(*c)).collect();
    if kept.is_empty() { NAMELESS.to_owned() } else { kept }
}

/// The configs or secrets that services use, in the order of the file.
fn used(defined: Option<&At<'_>>, services: &[Service], kind: Kind) -> Result<Vec<Document>> {
    let is_used = |name: &str| {
        services.iter().any(|service| {
            let files = match kind {
                Kind::Config => &service.configs,
                Kind::Secret => &service.secrets,
            };
            files.iter().any(|file| file.source == name)
        })
    };
    let defined = defined.map(At::named).transpose()?.unwrap_or_default();
    let wanted = defined.iter().filter(|(name, _)| is_used(name));
    wanted.map(|(name, at)| at.document(kind, name)).collect()
}

impl At<'_> {
    fn service_name(&self, name: &str) -> Result<()> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.is_empty() && name.chars().all(known) {
            Ok(())
        } else {
            Err(self.invalid(name, "a name of a service").instead("use letters, digits, `.`, `_` and `-`"))
        }
    }

    /// Names of the networks, whose drivers are those that one flat network can stand for.
    fn networks(&self) -> Result<Vec<String>> {
        self.definitions(&keys::NETWORK, &["bridge", "default"])
    }

    fn volumes(&self) -> Result<Vec<Volume>> {
        Ok(self.definitions(&keys::VOLUME, &["local"])?.into_iter().map(|name| Volume { name }).collect())
    }

    fn definitions(&self, scope: &keys::Scope, drivers: &[&str]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, at) in self.named()? {
            if !at.is_null() {
                at.fields(scope)?.read("driver", |at| match at.text()? {
                    driver if drivers.contains(&driver) => Ok(()),
                    driver => Err(at
                        .error(format!("the driver `{driver}` is not available in a machine"))
                        .instead("remove the key")),
                })?;
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }
}
