//! What `start` and `status` show alike.

use instances::instance::ports::PublishedPort;
use serde::Serialize;

use crate::printer::properties;

/// A published port, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortView<'a> {
    pub(crate) name: &'a str,
    pub(crate) host: u16,
    pub(crate) guest: u16,
    pub(crate) url: String,
    pub(crate) health_url: Option<String>,
}

/// Every port of an instance.
pub(crate) fn port_views(ports: &[PublishedPort]) -> Vec<PortView<'_>> {
    let views = ports.iter().map(|port| PortView {
        name: &port.name,
        host: port.host,
        guest: port.guest,
        url: port.url(),
        health_url: port.health_url(),
    });
    views.collect()
}

/// Where the services are found, one a line.
pub(crate) fn addresses(ports: &[PortView<'_>]) -> String {
    properties(ports.iter().map(|port| (port.name, port.url.clone())))
}
