//! `stackd container network`: the bridge that the containers are connected to, and the way from it to the outside and back.

use std::{fs, path::Path};

use anyhow::Context as _;
use base::process::Cmd;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use protocol::containers::{GATEWAY, PREFIX};

use super::{all, namespace::hardware_address, published};
use crate::{
    netlink::{self, ask},
    service,
};

/// The bridge.
pub(super) const BRIDGE: &str = "stack0";

/// What has to be 1 so that packets pass between the bridge and the outside, and between it and this machine's loopback addresses.
const SWITCHES: [&str; 2] =
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/stack0/route_localnet"];

/// Sets all of it up. What is there stays.
pub(super) fn set_up() -> anyhow::Result<()> {
    if !Path::new("/sys/class/net").join(BRIDGE).exists() {
        ask(bridge()).with_context(|| format!("cannot create the bridge `{BRIDGE}`"))?;
    }
    let index = netlink::index(BRIDGE)?;
    ask(netlink::address(index, GATEWAY, PREFIX))
        .with_context(|| format!("cannot set the address of `{BRIDGE}`"))?;
    ask(netlink::up(index)).with_context(|| format!("cannot bring up `{BRIDGE}`"))?;
    for switch in SWITCHES {
        fs::write(switch, "1").with_context(|| format!("cannot write `{switch}`"))?;
    }
    let load = Cmd::new("nft").args(["--file", "-"]).stdin(published::ruleset(&all()?));
    service::run(async { load.output().await })?.context("cannot publish the ports of the containers")?;
    Ok(())
}

/// Creates the bridge. Its hardware address is given, because containers remember it, and it would otherwise change with the cards that
/// are connected; nothing wakes up to watch groups that no container forms.
fn bridge() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    let data = InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)]);
    message.attributes = vec![
        LinkAttribute::IfName(BRIDGE.to_owned()),
        LinkAttribute::Address(hardware_address(GATEWAY)),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(data)]),
    ];
    RouteNetlinkMessage::NewLink(message)
}
