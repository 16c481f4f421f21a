//! Setting up the network card from `ip=` on the kernel command line.
//!
//! The kernel can do it itself only when it is built for a root over the network, which Debian's is not; and `systemd-networkd`, which
//! keeps these settings later, needs udev first: together 3 s on an emulated CPU until the first packet gets through.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Context;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

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
        let path = Path::new("/sys/class/net").join(&self.device).join("ifindex");
        let index =
            fs::read_to_string(&path).with_context(|| format!("no network card `{}`", self.device))?;
        let index: u32 = index.trim_end().parse().with_context(|| format!("`{}`", path.display()))?;
        for (what, request) in [
            ("set the address", self.address_request(index)),
            ("bring up the card", link_request(index)),
            ("set the route", self.route_request(index)),
        ] {
            ask(request).with_context(|| format!("cannot {what} of `{}`", self.device))?;
        }
        Ok(())
    }

    fn address_request(&self, index: u32) -> RouteNetlinkMessage {
        let mut message = AddressMessage::default();
        message.header.family = Family::Inet;
        message.header.prefix_len = self.prefix;
        message.header.index = index;
        message.attributes = vec![
            AddressAttribute::Local(IpAddr::V4(self.address)),
            AddressAttribute::Address(IpAddr::V4(self.address)),
        ];
        RouteNetlinkMessage::NewAddress(message)
    }

    fn route_request(&self, index: u32) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes =
            vec![RouteAttribute::Gateway(RouteAddress::Inet(self.gateway)), RouteAttribute::Oif(index)];
        RouteNetlinkMessage::NewRoute(message)
    }
}

fn link_request(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(message)
}

/// Sends one request to the kernel and waits for its answer.
fn ask(request: RouteNetlinkMessage) -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    bind(&socket, &kernel)?;

    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    sendto(&socket, &bytes, SendFlags::empty(), &kernel)?;

    let mut answer = [0; 4096];
    let (_, length) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        // An acknowledgement is an error message with code 0.
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
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
