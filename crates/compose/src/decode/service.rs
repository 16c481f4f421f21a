//! A service.

use std::collections::HashSet;

use super::At;
use super::at::{EMULATOR, Fields};
use super::documents::Kind;
use super::{environment, limits};
use crate::error::{ComposeError, Result};
use crate::keys;
use crate::model::{Dependency, Service, Spanned};

impl At<'_> {
    /// Whether the service belongs to no profile, or to an active one.
    pub(super) fn is_active(&self, active: &[String]) -> Result<bool> {
        let Some(at) = self.get("profiles") else { return Ok(true) };
        let own = at.texts()?;
        Ok(own.is_empty() || active.iter().any(|profile| profile == "*" || own.contains(profile)))
    }

    /// The service, and what it depends on with the places.
    pub(super) fn service(&self, name: Spanned<String>) -> Result<(Service, Vec<Spanned<Dependency>>)> {
        // Beside `image` it says how that image is made.
        if let Some(build) = self.get("build").filter(|_| self.get("image").is_none()) {
            return Err(build.unbuilt(&name.value));
        }
        let fields = self.fields(&keys::SERVICE)?;
        let emulator = fields.or_default(EMULATOR, At::service_emulator)?;
        let image = fields.read("image", At::image)?;
        if image.is_none() && emulator.native.is_none() {
            return Err(self.error("has no `image`").instead("name the image: `image: NAME:TAG`"));
        }
        let depends_on = fields.or_default("depends_on", At::dependencies)?;
        let mut mounts = fields.or_default("volumes", At::mounts)?;
        mounts.extend(fields.or_default("tmpfs", At::tmpfs)?);
        let command = |name| Ok(fields.read(name, At::command)?.flatten());
        let flag = |name| fields.or_default(name, At::boolean);
        fields.read("tty", At::no_terminal)?;
        let service = Service {
            name: name.value,
            place: name.place,
            image,
            platform: fields.read("platform", At::spanned_text)?,
            entrypoint: command("entrypoint")?,
            command: command("command")?,
            environment: environment::environment(&fields)?,
            user: fields.read("user", At::user)?,
            working_dir: fields.read("working_dir", At::absolute)?,
            ports: fields.or_default("ports", At::ports)?,
            expose: fields.or_default("expose", At::expose)?,
            mounts,
            configs: fields.or_default("configs", |at| at.file_uses(Kind::Config))?,
            secrets: fields.or_default("secrets", |at| at.file_uses(Kind::Secret))?,
            depends_on: depends_on.iter().map(|dependency| dependency.value.clone()).collect(),
            health: fields.read("healthcheck", At::health)?,
            restart: fields.or_default("restart", At::restart)?,
            networks: fields.or_default("networks", At::memberships)?,
            container_name: fields.read("container_name", At::host_name)?,
            hostname: fields.read("hostname", At::host_name)?,
            extra_hosts: fields.or_default("extra_hosts", At::extra_hosts)?,
            init: flag("init")?,
            read_only: flag("read_only")?,
            cap_add: fields.or_default("cap_add", At::capabilities)?,
            cap_drop: fields.or_default("cap_drop", At::capabilities)?,
            sysctls: fields.or_default("sysctls", At::sysctls)?,
            limits: limits::limits(&fields)?,
            stop_signal: fields.read("stop_signal", At::signal)?,
            stop_grace_period: fields.read("stop_grace_period", At::duration)?,
            emulator,
        };
        self.distinct_targets(&service, &fields)?;
        Ok((service, depends_on))
    }

    /// That there is no terminal: a program that was promised one may end without it.
    fn no_terminal(&self) -> Result<()> {
        if !self.boolean()? {
            return Ok(());
        }
        let error = self.error("output goes to the journal of the machine, not through a terminal");
        Err(error.instead("remove the key"))
    }

    fn image(&self) -> Result<Spanned<String>> {
        let text = self.filled()?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(self.invalid(text, "a reference of an image").instead("write `NAME:TAG`"));
        }
        Ok(self.spanned(text.to_owned()))
    }

    /// `build` with the commands that make an image of it.
    fn unbuilt(&self, service: &str) -> ComposeError {
        let text = |at: Option<At<'_>>| at.and_then(|at| at.text().ok().map(str::to_owned));
        let image = service.to_ascii_lowercase();
        let context = if self.is_map() { text(self.get("context")) } else { text(Some(self.clone())) };
        let context = context.unwrap_or_else(|| ".".to_owned());
        self.error("images are not built here").instead(format!(
            "add `image: {image}`, run `docker build -t {image} {context}` and `docker save -o {service}.tar {image}`, and name \
             the archive with `--image {service}={service}.tar`"
        ))
    }

    /// Refuses two mounts or files at one path.
    fn distinct_targets(&self, service: &Service, fields: &Fields<'_>) -> Result<()> {
        let mounts = service.mounts.iter().map(|mount| (mount.target(), "volumes"));
        let configs = service.configs.iter().map(|file| (file.target.as_str(), "configs"));
        let secrets = service.secrets.iter().map(|file| (file.target.as_str(), "secrets"));
        let mut targets = HashSet::new();
        for (target, key) in mounts.chain(configs).chain(secrets) {
            if !targets.insert(target) {
                let at = fields.get(key).or(fields.get("tmpfs")).unwrap_or(self);
                let error = at.error(format!("two mounts or files have the target `{target}`"));
                return Err(error.instead("choose another target for one of them"));
            }
        }
        Ok(())
    }
}
