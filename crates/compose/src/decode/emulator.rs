//! `x-emulator`: shapes only.

use super::At;
use crate::error::Result;
use crate::keys;
use crate::model::Spanned;
use crate::model::emulator::{
    Database, Delivery, Export, Hooks, Machine, Network, PortReference, PortSettings, Recipient, Replace,
    Secret, ServiceEmulator, Sql, StackEmulator, WarmUp,
};

impl At<'_> {
    /// `x-emulator` at the top of a file.
    pub(super) fn stack_emulator(&self) -> Result<StackEmulator> {
        let fields = self.fields(&keys::STACK_EMULATOR)?;
        Ok(StackEmulator {
            name: fields.read("name", At::spanned_text)?,
            backend: fields.read("backend", At::port_reference)?,
            machine: fields.or_default("machine", At::machine)?,
            network: fields.read("network", At::machine_network)?,
            services: fields.or_default("services", At::spanned_texts)?,
            secrets: fields.or_default("secrets", |at| at.each(At::secret))?,
            exports: fields.or_default("exports", At::exports)?,
            hooks: fields.or_default("hooks", At::hooks)?,
            warm_up: fields.or_default("warmUp", |at| at.each(At::warm_up))?,
        })
    }

    /// `x-emulator` of a service.
    pub(super) fn service_emulator(&self) -> Result<ServiceEmulator> {
        let fields = self.fields(&keys::SERVICE_EMULATOR)?;
        Ok(ServiceEmulator {
            native: fields.read("native", At::spanned_text)?,
            health: fields.read("health", At::url_path)?,
            ports: fields.or_default("ports", At::port_settings)?,
            warm_up: fields.or_default("warmUp", |at| at.each(At::url_path))?,
        })
    }

    fn each<T>(&self, read: impl Fn(&Self) -> Result<T>) -> Result<Vec<T>> {
        self.list()?.iter().map(read).collect()
    }

    /// `SERVICE` or `SERVICE:PORT`.
    fn port_reference(&self) -> Result<Spanned<PortReference>> {
        let text = self.filled()?;
        let (service, port) =
            text.split_once(':').map_or((text, None), |(service, port)| (service, Some(port)));
        let number = |port: &str| port.parse::<u16>().ok().filter(|port| *port != 0);
        let parsed = port.map(number);
        if service.is_empty() || parsed == Some(None) {
            let error = self.invalid(text, "a service with its port");
            return Err(error.instead("write `SERVICE` or `SERVICE:PORT`"));
        }
        Ok(self.spanned(PortReference { service: service.to_owned(), port: parsed.flatten() }))
    }

    /// A path that is requested over HTTP.
    fn url_path(&self) -> Result<Spanned<String>> {
        let text = self.filled()?;
        let plain = |c: char| c.is_ascii_graphic();
        if text.starts_with('/') && text.chars().all(plain) {
            Ok(self.spanned(text.to_owned()))
        } else {
            Err(self.invalid(text, "a path of a URL").instead("write a path from `/` on: `/healthz`"))
        }
    }

    fn container_path(&self) -> Result<Spanned<String>> {
        Ok(self.spanned(self.absolute()?))
    }

    fn spanned_integer<T: TryFrom<i128>>(&self) -> Result<Spanned<T>> {
        Ok(self.spanned(self.integer()?))
    }

    fn machine(&self) -> Result<Machine> {
        let fields = self.fields(&keys::MACHINE)?;
        Ok(Machine {
            memory_mib: fields.read("memoryMib", At::spanned_integer)?,
            cpus: fields.read("cpus", At::spanned_integer)?,
            disk_gib: fields.read("diskGib", At::spanned_integer)?,
        })
    }

    fn machine_network(&self) -> Result<Spanned<Network>> {
        match self.text()? {
            "open" => Ok(self.spanned(Network::Open)),
            "closed" => Ok(self.spanned(Network::Closed)),
            other => Err(self.invalid(other, "a network").instead("write `open` or `closed`")),
        }
    }

    fn port_settings(&self) -> Result<Vec<PortSettings>> {
        let mut settings = Vec::new();
        for (port, at) in self.named()? {
            let number = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(|| {
                at.invalid(port, "a port from 1 to 65535").instead("use ports of the container as keys")
            })?;
            let fields = at.fields(&keys::PORT_SETTINGS)?;
            let Spanned { place, key, .. } = self.name_of(port);
            settings.push(PortSettings {
                port: Spanned { value: number, place, key },
                name: fields.read("name", At::spanned_text)?,
                health: fields.read("health", At::url_path)?,
                env: fields.read("env", At::spanned_text)?,
            });
        }
        Ok(settings)
    }

    fn secret(&self) -> Result<Secret> {
        let fields = self.fields(&keys::EMULATOR_SECRET)?;
        Ok(Secret {
            name: fields.required("name")?.spanned_text()?,
            env: fields.required("env")?.spanned_text()?,
            format: fields.read("format", At::spanned_text)?,
            placeholder: fields.read("placeholder", At::spanned_text)?,
            publishable: fields.or_default("publishable", At::boolean)?,
            into: fields.or_default("into", |at| at.each(At::recipient))?,
        })
    }

    /// A name of a service, or a map that says how it gets the secret.
    fn recipient(&self) -> Result<Recipient> {
        if !self.is_map() {
            return Ok(Recipient { service: self.spanned_text()?, delivery: Delivery::Env(None) });
        }
        let fields = self.fields(&keys::RECIPIENT)?;
        let service = fields.required("service")?.spanned_text()?;
        let delivery = match (fields.get("env"), fields.get("file")) {
            (Some(_), Some(file)) => {
                return Err(file.error("is there beside `env`").instead("write another entry for the file"));
            }
            (_, Some(file)) => Delivery::File(file.container_path()?),
            (env, None) => Delivery::Env(env.map(At::spanned_text).transpose()?),
        };
        Ok(Recipient { service, delivery })
    }

    /// A map of names and values, or a list of maps.
    fn exports(&self) -> Result<Vec<Export>> {
        if self.is_list() {
            return self.each(At::export);
        }
        let entries = self.named()?.into_iter();
        let export = |(name, at): (&str, At<'_>)| {
            Ok(Export { name: self.name_of(name), value: at.spanned_value()?, public: Vec::new() })
        };
        entries.map(export).collect()
    }

    fn spanned_value(&self) -> Result<Spanned<String>> {
        Ok(self.spanned(self.value()?.to_owned()))
    }

    fn export(&self) -> Result<Export> {
        let fields = self.fields(&keys::EXPORT)?;
        Ok(Export {
            name: fields.required("name")?.spanned_text()?,
            value: fields.required("value")?.spanned_value()?,
            public: fields.or_default("public", At::spanned_texts)?,
        })
    }

    fn hooks(&self) -> Result<Hooks> {
        let fields = self.fields(&keys::HOOKS)?;
        Ok(Hooks {
            restart: fields.or_default("restart", At::spanned_texts)?,
            replace: fields.or_default("replace", |at| at.each(At::replace))?,
            sql: fields.or_default("sql", |at| at.each(At::sql))?,
        })
    }

    fn sql(&self) -> Result<Sql> {
        let fields = self.fields(&keys::SQL)?;
        let database = match (fields.get("url"), fields.get("service")) {
            (Some(_), Some(service)) => {
                return Err(service.error("is there beside `url`").instead("remove one of the two keys"));
            }
            (Some(url), None) => Database::Url(url.spanned_text()?),
            (None, Some(service)) => Database::Service(service.spanned_text()?),
            (None, None) => {
                let error = self.error("names no database");
                return Err(error.instead("add the key `url`, or `service` for a native PostgreSQL"));
            }
        };
        let texts = |at: &At<'_>| at.list_or_one()?.iter().map(|at| Ok(at.filled()?.to_owned())).collect();
        Ok(Sql {
            database,
            setup: fields.or_default("setup", texts)?,
            statement: fields.required("statement")?.spanned_text()?,
            secrets: fields.or_default("secrets", At::spanned_texts)?,
        })
    }

    fn replace(&self) -> Result<Replace> {
        let fields = self.fields(&keys::REPLACE)?;
        Ok(Replace {
            service: fields.required("service")?.spanned_text()?,
            file: fields.required("file")?.container_path()?,
            secret: fields.required("secret")?.spanned_text()?,
        })
    }

    /// A path at `backend`, or a map that names the port.
    fn warm_up(&self) -> Result<WarmUp> {
        if !self.is_map() {
            return Ok(WarmUp { port: None, path: self.url_path()? });
        }
        let fields = self.fields(&keys::WARM_UP)?;
        Ok(WarmUp {
            port: fields.read("port", At::port_reference)?,
            path: fields.required("path")?.url_path()?,
        })
    }
}
