//! Setting up the network card from `ip=` on the kernel command line.
//!
//! The kernel can do it itself only when it is built for a root over the network, which Debian's is not; and `systemd-networkd`, which
//! keeps these settings later, needs udev first: together 3 s on an emulated CPU until the first packet gets through.

use std::net::Ipv4Addr;

use anyhow::Context;

use crate::netlink::{self, ask};

/// A static IPv4 configuration of one network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    device: String,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
}

impl Settings {
    /// Parses `<address>::<gateway>:<netmask>::<device>:off`, the static form of the kernel's `ip=` parameter
    /// (Documentation/admin-guide/nfs/nfsroot.rst).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let [address, "", gateway, netmask, "", device, "off"] = text.split(':').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let netmask = u32::from(netmask.parse::<Ipv4Addr>().ok()?);
        let prefix = u8::try_from(netmask.leading_ones()).ok()?;
        (netmask.count_ones() == netmask.leading_ones() && !device.is_empty()).then_some(Self {
            device: device.to_owned(),
            address: address.parse().ok()?,
            prefix,
            gateway: gateway.parse().ok()?,
        })
    }

    /// Sets the address, brings the card up and routes everything through the gateway.
    ///
    /// # Errors
    /// When there is no such card or the kernel refuses.
    pub(crate) fn apply(&self) -> anyhow::Result<()> {
        let index = netlink::index(&self.device)?;
        for (what, request) in [
            ("set the address", netlink::address(index, self.address, self.prefix)),
            ("bring up the card", netlink::up(index)),
            ("set the route", netlink::default_route(index, self.gateway)),
        ] {
            ask(request).with_context(|| format!("cannot {what} of `{}`", self.device))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_static_form_is_understood() {
        let settings = Settings::parse("10.0.2.15::10.0.2.2:255.255.255.0::eth0:off").unwrap();
        let expected = Settings {
            device: "eth0".into(),
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 2, 2),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "dhcp",
            "10.0.2.15::10.0.2.2:255.0.255.0::eth0:off",
            "10.0.2.15::10.0.2.2:255.255.255.0::eth0:dhcp",
            "10.0.2.15::10.0.2.2:255.255.255.0:::off",
        ] {
            assert_eq!(Settings::parse(text), None, "{text}");
        }
    }
}
