//! The network of one container: a namespace with a card that is connected to the bridge.
//!
//! The supervisor holds the namespace open: it is there when the program in the container is started again, and gone when the
//! supervisor has ended.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, anyhow};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
};
use protocol::containers::{GATEWAY, PREFIX};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::network::BRIDGE;
use crate::netlink::{self, ask};

/// The loopback card has this number in every namespace.
const LOOPBACK: u32 = 1;

/// The number of a container's card in its namespace.
const CARD: u32 = 2;

/// The name of that card.
const CARD_NAME: &str = "eth0";

/// The namespace of one container.
pub(super) struct Namespace(OwnedFd);

impl Namespace {
    /// Creates it, and connects it with `address`.
    ///
    /// # Errors
    /// When the kernel refuses, or there is no bridge.
    pub(super) fn create(address: Ipv4Addr) -> anyhow::Result<Self> {
        let namespace = Self(inside_new(|| {
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from).context("cannot open the namespace")
        })?);
        let outer = card_of(address);
        // That of a supervisor that was killed may still be there.
        if Path::new("/sys/class/net").join(&outer).exists() {
            let mut old = LinkMessage::default();
            old.attributes = vec![LinkAttribute::IfName(outer.clone())];
            // The kernel removes it at the same time.
            let _ = ask(RouteNetlinkMessage::DelLink(old));
        }
        let bridge = netlink::index(BRIDGE)?;
        ask(namespace.pair(&outer, bridge, address))
            .with_context(|| format!("cannot create the network card `{outer}`"))?;
        ask(netlink::up(netlink::index(&outer)?)).with_context(|| format!("cannot bring up `{outer}`"))?;
        namespace.configure(address)?;
        Ok(namespace)
    }

    /// A path of it, for as long as it lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Creates two cards that are connected to each other: `outer` at the bridge, and the container's own in the namespace.
    fn pair(&self, outer: &str, bridge: u32, address: Ipv4Addr) -> RouteNetlinkMessage {
        let mut inner = LinkMessage::default();
        inner.header.index = CARD;
        inner.attributes = vec![
            LinkAttribute::IfName(CARD_NAME.to_owned()),
            LinkAttribute::Address(hardware_address(address)),
            LinkAttribute::NetNsFd(self.0.as_raw_fd()),
        ];
        let mut message = LinkMessage::default();
        let data = InfoData::Veth(InfoVeth::Peer(inner));
        message.attributes = vec![
            LinkAttribute::IfName(outer.to_owned()),
            LinkAttribute::Controller(bridge),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(data)]),
        ];
        RouteNetlinkMessage::NewLink(message)
    }

    /// Sets up the cards inside.
    fn configure(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        let inside = || {
            for request in [
                netlink::up(LOOPBACK),
                netlink::address(CARD, address, PREFIX),
                netlink::up(CARD),
                netlink::default_route(CARD, GATEWAY),
            ] {
                ask(request).context("cannot set up the network of the container")?;
            }
            Ok(())
        };
        self.inside(inside)
    }

    /// Does `work` in a thread that is in the namespace.
    fn inside<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let namespace = self.0.as_fd();
        in_thread(move || {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
                .context("cannot enter the network of the container")?;
            work()
        })
    }
}

/// Does `work` in a thread that is in a new namespace.
fn inside_new<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    in_thread(move || {
        // SAFETY: the thread keeps its table of file descriptors.
        #[expect(unsafe_code, reason = "the standard library has no namespaces")]
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        unshared.context("cannot create a network namespace")?;
        work()
    })
}

/// Does `work` in a thread of its own, which ends after it: whatever it changes about itself stays there.
fn in_thread<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
}

/// The name of the card at the bridge.
fn card_of(address: Ipv4Addr) -> String {
    let [.., last] = address.octets();
    format!("stack-{last}")
}

/// A hardware address that belongs to an address, so that what others remember of it stays true.
pub(super) fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    // The first byte says that no manufacturer has assigned it.
    [&[0x02, 0x42][..], &address.octets()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hardware_addresses_follow_from_the_address() {
        let address = Ipv4Addr::new(172, 30, 0, 254);
        assert_eq!(card_of(address), "stack-254");
        assert_eq!(hardware_address(address), [0x02, 0x42, 172, 30, 0, 254]);
    }
}
