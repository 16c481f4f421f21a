//! Ports: `8080:80`, ranges, and the long form.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::At;
use crate::error::{ComposeError, Result};
use crate::keys;
use crate::model::Port;

/// A port in its short form.
const EXAMPLE: &str = "write `HOST:CONTAINER`: `8080:80`";

/// Most ports of a service.
const LIMIT: usize = 256;

type Range = RangeInclusive<u16>;

impl At<'_> {
    /// The list `ports`. What is there twice is there once.
    pub(super) fn ports(&self) -> Result<Vec<Port>> {
        let mut ports: Vec<Port> = Vec::new();
        for item in self.list()? {
            let more = if item.is_map() { item.long_port()? } else { item.short_port()? };
            for port in more {
                let number = |port: &Port| port.published.as_ref().map(|published| published.value);
                let same = |other: &Port| other.target == port.target && number(other) == number(&port);
                if !ports.iter().any(same) {
                    ports.push(port);
                }
                self.few(ports.len())?;
            }
        }
        Ok(ports)
    }

    /// The list `expose`.
    pub(super) fn expose(&self) -> Result<Vec<u16>> {
        let mut ports = Vec::new();
        for item in self.list()? {
            let text = item.written()?;
            ports.extend(item.range(item.tcp(text)?)?);
            self.few(ports.len())?;
        }
        Ok(ports)
    }

    fn few(&self, ports: usize) -> Result<()> {
        if ports > LIMIT {
            return Err(self.error(format!("has more than {LIMIT} ports")).instead("publish fewer"));
        }
        Ok(())
    }

    /// A port of a container.
    pub(super) fn port(&self) -> Result<u16> {
        let text = self.written()?;
        let range = self.range(text)?;
        if range.start() == range.end() { Ok(*range.start()) } else { Err(self.not_a_port(text)) }
    }

    /// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`.
    fn short_port(&self) -> Result<Vec<Port>> {
        let text = self.written()?;
        let ports = self.tcp(text)?;
        let (outside, inside) =
            ports.rsplit_once(':').map_or((None, ports), |(outside, inside)| (Some(outside), inside));
        let published = match outside.map(|outside| outside.rsplit_once(':').unwrap_or(("", outside))) {
            None => "",
            Some((address, published)) => {
                self.loopback(address)?;
                published
            }
        };
        let targets = self.range(inside)?;
        self.pairs(published, &targets, &Port { target: 0, published: None, name: None, app_protocol: None })
    }

    fn long_port(&self) -> Result<Vec<Port>> {
        let fields = self.fields(&keys::PORT)?;
        let target = fields.required("target")?;
        fields.read("protocol", |at| at.protocol(at.text()?))?;
        fields.read("host_ip", |at| at.loopback(at.text()?))?;
        let text = |name| fields.read(name, |at| at.filled().map(str::to_owned));
        let (name, app_protocol) = (text("name")?, text("app_protocol")?);
        let published = fields.or_default("published", At::written)?;
        let number = target.port()?;
        self.pairs(
            published,
            &(number..=number),
            &Port { target: number, published: None, name, app_protocol },
        )
    }

    /// Each target with its port on the host.
    fn pairs(&self, published: &str, targets: &Range, form: &Port) -> Result<Vec<Port>> {
        if published.is_empty() {
            return Ok(targets.clone().map(|target| Port { target, ..form.clone() }).collect());
        }
        let outside = self.range(published)?;
        if outside.len() != targets.len() {
            return Err(self
                .error(format!(
                    "{} ports of the host are for {} of the container",
                    outside.len(),
                    targets.len()
                ))
                .instead("write ranges of the same length, or single ports"));
        }
        let port = |(outside, target)| {
            let published = Some(self.spanned(outside));
            Port { target, published, ..form.clone() }
        };
        Ok(outside.zip(targets.clone()).map(port).collect())
    }

    /// What is in front of `/tcp`.
    fn tcp<'t>(&self, text: &'t str) -> Result<&'t str> {
        let Some((ports, protocol)) = text.split_once('/') else { return Ok(text) };
        self.protocol(protocol)?;
        Ok(ports)
    }

    fn protocol(&self, protocol: &str) -> Result<()> {
        match protocol.to_ascii_lowercase().as_str() {
            "tcp" | "" => Ok(()),
            "udp" | "sctp" => Err(self
                .error(format!("the protocol `{protocol}` is not forwarded to a machine"))
                .instead("publish TCP ports only; services reach each other by any protocol")),
            _ => Err(self.invalid(protocol, "a protocol").instead("write `tcp`")),
        }
    }

    fn loopback(&self, address: &str) -> Result<()> {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if bare.is_empty() {
            return Ok(());
        }
        match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => Ok(()),
            Ok(ip) => Err(self
                .error(format!("ports of a machine are bound to 127.0.0.1 only, not to {ip}"))
                .instead("leave out the address")),
            Err(_) => Err(self.invalid(address, "an address").instead(EXAMPLE)),
        }
    }

    /// `80` or `80-89`.
    fn range(&self, text: &str) -> Result<Range> {
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
        let (start, end) = text.split_once('-').unwrap_or((text, text));
        match (number(start), number(end)) {
            (Some(start), Some(end)) if start <= end => Ok(start..=end),
            _ => Err(self.not_a_port(text)),
        }
    }

    fn not_a_port(&self, text: &str) -> ComposeError {
        self.invalid(text, "a port from 1 to 65535").instead(EXAMPLE)
    }
}
