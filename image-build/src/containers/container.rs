//! From a service and its image to the container that the guest runs.

use std::time::Duration;

use compose::model::{Document, FileUse, HostAddress, Mount, Project, Service, VolumeSource};
use oci::Image;
use protocol::containers::{
    Container, ContainerFile, FileSource, GATEWAY, Published, Ready, Tmpfs, Ulimit, Volume, address,
};

use super::environment::{Environment, environment};
use super::health::health;
use super::names::{Names, aliases};
use super::pointer::{Pointer, Result};
use super::ports::Ports;
use super::secrets::Secrets;
use super::unit::is_job;

/// Time between the signal that ends a container and SIGKILL: of Docker.
const STOP_TIME: Duration = Duration::from_secs(10);

/// What all containers of a stack are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) pointer: Pointer<'a>,
    pub(super) project: &'a Project,
    pub(super) names: &'a Names,
    pub(super) secrets: &'a Secrets<'a>,
    pub(super) ports: &'a Ports<'a>,
}

impl Parts<'_> {
    /// The container of `service`, which is the one with this number; its layers are not known yet.
    pub(super) fn container(self, number: usize, service: &Service, image: &Image) -> Result<Container> {
        let Self { pointer, names, secrets, ports, .. } = self;
        let config = &image.config;
        let address = address(number).ok_or_else(|| {
            pointer.service(service, "", "a machine has no address for so many containers", "use fewer")
        })?;
        let name = names.name(service).to_owned();
        let Environment { plain: env, secret } = environment(pointer, service, &config.env, secrets)?;
        let is_job = is_job(self.project, service);
        let health = if is_job { None } else { health(service.health.as_ref(), config.healthcheck.as_ref()) };
        let published = ports.of_service(&service.name);
        let published = published
            .map(|published| Published { guest: published.port.guest, container: published.container });
        let stop_time = service.stop_grace_period.unwrap_or(STOP_TIME);
        Ok(Container {
            hostname: service.hostname.clone().unwrap_or_else(|| service.name.clone()),
            aliases: aliases(service).into_iter().filter(|alias| *alias != name).collect(),
            address,
            layers: Vec::new(),
            args: self.args(service, image)?,
            env,
            secrets: secret,
            user: user(service, &config.user),
            working_dir: self.working_dir(service, &config.working_dir)?,
            published: published.collect(),
            volumes: volumes(&name, service, &config.volumes),
            tmpfs: tmpfs(service),
            files: self.files(service)?,
            read_only: service.read_only,
            cap_add: service.cap_add.clone(),
            cap_drop: service.cap_drop.clone(),
            sysctls: service.sysctls.clone(),
            ulimits: ulimits(service),
            shm_bytes: service.limits.shm_size,
            init: service.init,
            stop_signal: service.stop_signal.clone().or_else(|| config.stop_signal.clone()),
            stop_seconds: seconds(stop_time),
            ready: if health.is_some() { Ready::Healthy } else { Ready::Started },
            health,
            extra_hosts: self.hosts(service),
            name,
        })
    }

    /// The program and its arguments: what the file says of either replaces what the image says, and an entry point of the file the
    /// command of the image too.
    fn args(self, service: &Service, image: &Image) -> Result<Vec<String>> {
        let config = &image.config;
        let command = match &service.entrypoint {
            Some(_) => service.command.clone(),
            None => service.command.clone().or_else(|| config.cmd.clone()),
        };
        let entrypoint = service.entrypoint.clone().or_else(|| config.entrypoint.clone());
        let args: Vec<_> = entrypoint.into_iter().chain(command).flatten().collect();
        if args.is_empty() {
            let reason = "neither the file nor the image names a program";
            return Err(self.pointer.service(service, "", reason, "add the key `command`"));
        }
        Ok(args)
    }

    fn working_dir(self, service: &Service, image: &str) -> Result<Option<String>> {
        let own = service.working_dir.clone();
        let dir = own.or_else(|| Some(image.to_owned()).filter(|dir| !dir.is_empty()));
        match dir {
            Some(dir) if !dir.starts_with('/') => {
                let reason = format!("the working directory {dir:?} of the image is not an absolute path");
                Err(self.pointer.service(service, "", reason, "add the key `working_dir`"))
            }
            dir => Ok(dir),
        }
    }

    /// Configs and secrets as files. What the session has its own of replaces the file that the compose file has at the same path.
    fn files(self, service: &Service) -> Result<Vec<ContainerFile>> {
        let mut files: Vec<_> = self.secrets.files(&service.name).collect();
        let uses = [(&service.configs, &self.project.configs), (&service.secrets, &self.project.secrets)];
        for (uses, documents) in uses {
            for file in uses {
                if !files.iter().any(|known| known.target == file.target) {
                    files.push(self.file(service, file, documents)?);
                }
            }
        }
        Ok(files)
    }

    fn file(self, service: &Service, file: &FileUse, documents: &[Document]) -> Result<ContainerFile> {
        let FileUse { source, target, uid, gid, mode } = file;
        let content = documents.iter().find(|document| document.name == *source);
        let text = content.map(|document| String::from_utf8(document.content.reveal().to_vec()));
        let Some(Ok(text)) = text else {
            let reason = format!("`{source}` is not UTF-8 text");
            return Err(self.pointer.service(service, "", reason, "copy the file into the image"));
        };
        Ok(ContainerFile {
            target: target.clone(),
            source: FileSource::Content(text),
            uid: *uid,
            gid: *gid,
            mode: *mode,
        })
    }

    /// Entries of `/etc/hosts`: native services are reached by the names of the services that they replace.
    fn hosts(self, service: &Service) -> std::collections::BTreeMap<String, std::net::IpAddr> {
        let own = service.extra_hosts.iter().map(|host| match host.address {
            HostAddress::Ip(ip) => (host.name.clone(), ip),
            HostAddress::Gateway => (host.name.clone(), GATEWAY.into()),
        });
        let replaced = self.project.services.iter().filter(|other| other.emulator.native.is_some());
        let native = replaced.flat_map(aliases);
        let more = self.project.emulator.services.iter().map(|native| native.value.clone());
        native.chain(more).map(|name| (name, GATEWAY.into())).chain(own).collect()
    }
}

/// Whole seconds, more rather than less.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

fn user(service: &Service, image: &str) -> Option<String> {
    let own = service.user.as_ref().map(|user| user.value.clone());
    own.or_else(|| Some(image.to_owned()).filter(|user| !user.is_empty()))
}

/// Volumes of the file, and those that the image declares where nothing else is mounted.
fn volumes(name: &str, service: &Service, image: &[String]) -> Vec<Volume> {
    let own = service.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { source, target, read_only, copy } => {
            let volume = match source {
                VolumeSource::Named(volume) => volume.clone(),
                VolumeSource::Anonymous => anonymous(name, target),
            };
            Some(Volume { name: volume, target: target.clone(), read_only: *read_only, copy: *copy })
        }
        Mount::Tmpfs(_) => None,
    });
    let is_free = |target: &&String| !service.mounts.iter().any(|mount| mount.target() == target.as_str());
    let declared = image.iter().filter(is_free).map(|target| Volume {
        name: anonymous(name, target),
        target: target.clone(),
        read_only: false,
        copy: true,
    });
    own.chain(declared).collect()
}

/// The name of a volume without one.
fn anonymous(name: &str, target: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    format!("anonymous.{name}{}", target.chars().map(letter).collect::<String>())
}

fn tmpfs(service: &Service) -> Vec<Tmpfs> {
    let mounts = service.mounts.iter().filter_map(|mount| match mount {
        Mount::Tmpfs(tmpfs) => Some(Tmpfs {
            target: tmpfs.target.clone(),
            size_bytes: tmpfs.size,
            mode: tmpfs.mode,
            options: tmpfs.options.clone(),
        }),
        Mount::Volume { .. } => None,
    });
    mounts.collect()
}

fn ulimits(service: &Service) -> Vec<Ulimit> {
    let limit = |ulimit: &compose::model::Ulimit| Ulimit {
        name: ulimit.name.clone(),
        soft: ulimit.soft,
        hard: ulimit.hard,
    };
    service.limits.ulimits.iter().map(limit).collect()
}
