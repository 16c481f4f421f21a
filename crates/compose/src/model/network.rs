//! Ports and names.

use std::net::IpAddr;

use super::Spanned;

/// A TCP port of a container that the host can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The port in the container.
    pub target: u16,
    /// The port on the host, if the file names one.
    pub published: Option<Spanned<u16>>,
    /// Name that people read.
    pub name: Option<String>,
    /// Protocol that is spoken: `http`.
    pub app_protocol: Option<String>,
}

/// A network of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Name of the network.
    pub network: String,
    /// Other names of the service in it.
    pub aliases: Vec<String>,
}

/// An entry of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: HostAddress,
}

/// The address of an entry of `/etc/hosts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// The machine itself: `host-gateway`.
    Gateway,
}
