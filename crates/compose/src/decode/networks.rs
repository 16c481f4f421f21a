//! Networks and names of a service.

use std::net::IpAddr;

use super::At;
use crate::error::Result;
use crate::keys;
use crate::model::{ExtraHost, HostAddress, Membership};

/// Address that stands for the machine.
const GATEWAY: &str = "host-gateway";

/// The network that exists without being defined.
const DEFAULT_NETWORK: &str = "default";

/// Longest name in a network: RFC 1035.
const LABEL_LIMIT: usize = 63;

impl At<'_> {
    /// `networks` of a service.
    pub(super) fn memberships(&self) -> Result<Vec<Membership>> {
        let mut memberships = Vec::new();
        if self.is_list() {
            for item in self.list()? {
                memberships
                    .push(Membership { network: item.network_name(item.filled()?)?, aliases: Vec::new() });
            }
            return Ok(memberships);
        }
        for (name, at) in self.named()? {
            let aliases = if at.is_null() { Vec::new() } else { at.aliases()? };
            memberships.push(Membership { network: at.network_name(name)?, aliases });
        }
        Ok(memberships)
    }

    fn aliases(&self) -> Result<Vec<String>> {
        let names = |at: &At<'_>| at.list()?.iter().map(At::host_name).collect();
        self.fields(&keys::MEMBERSHIP)?.or_default("aliases", names)
    }

    fn network_name(&self, name: &str) -> Result<String> {
        if name != DEFAULT_NETWORK {
            self.defined(name, "networks", self.context.defined.networks)?;
        }
        Ok(name.to_owned())
    }

    /// A name in a network: labels of letters, digits, `-` and, as Docker allows, `_`.
    pub(super) fn host_name(&self) -> Result<String> {
        let name = self.filled()?;
        let known = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let label = |label: &str| {
            (1..=LABEL_LIMIT).contains(&label.len()) && label.chars().all(known) && !label.starts_with('-')
        };
        if name.split('.').all(label) {
            Ok(name.to_owned())
        } else {
            Err(self.invalid(name, "a name in a network").instead("use letters, digits, `-` and `.`"))
        }
    }

    /// `extra_hosts`: a list of `NAME=ADDRESS` or `NAME:ADDRESS`, or a map.
    pub(super) fn extra_hosts(&self) -> Result<Vec<ExtraHost>> {
        let mut hosts = Vec::new();
        if self.is_list() {
            for item in self.list()? {
                let text = item.text()?;
                let (name, address) =
                    text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| {
                        item.invalid(text, "a host with its address").instead("write `NAME=ADDRESS`")
                    })?;
                hosts.push(item.extra_host(name, address)?);
            }
        } else {
            for (name, at) in self.named()? {
                for address in at.list_or_one()? {
                    hosts.push(address.extra_host(name, address.text()?)?);
                }
            }
        }
        Ok(hosts)
    }

    fn extra_host(&self, name: &str, address: &str) -> Result<ExtraHost> {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = match bare.parse::<IpAddr>() {
            Ok(ip) => HostAddress::Ip(ip),
            Err(_) if address == GATEWAY => HostAddress::Gateway,
            Err(_) => {
                let error = self.invalid(address, "an address");
                return Err(error.instead("write an IP address, or `host-gateway` for the machine"));
            }
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(self.invalid(name, "a name of a host").instead("write `NAME=ADDRESS`"));
        }
        Ok(ExtraHost { name: name.to_owned(), address })
    }
}
