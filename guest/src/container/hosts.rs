//! `/etc/hosts` of a container: the names by which it finds itself, the other containers and the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use protocol::containers::{Container, GATEWAY};

/// Names of the machine that containers know.
const MACHINE: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// The text of `container`'s file, where `all` are the containers of the machine. `extra_hosts` come first, as
/// they say explicitly where a name leads.
pub(super) fn hosts(container: &Container, all: &[Container]) -> String {
    let mut lines = "127.0.0.1 localhost\n".to_owned();
    let mut taken = BTreeSet::from(["localhost".to_owned()]);
    let mut add = |address: IpAddr, names: Vec<&str>| {
        let new: Vec<_> = names.into_iter().filter(|name| taken.insert((*name).to_owned())).collect();
        if !new.is_empty() {
            // It fails only without memory.
            let _ = writeln!(lines, "{address} {}", new.join(" "));
        }
    };
    for (name, address) in &container.extra_hosts {
        add(*address, vec![name.as_str()]);
    }
    add(container.address.into(), vec![container.hostname.as_str()]);
    for other in all {
        add(other.address.into(), names(other).collect());
    }
    add(GATEWAY.into(), MACHINE.to_vec());
    lines
}

/// The names by which others find a container.
fn names(container: &Container) -> impl Iterator<Item = &str> {
    std::iter::once(container.name.as_str()).chain(container.aliases.iter().map(String::as_str))
}

/// The addresses of all containers by their names.
pub(crate) fn addresses(all: &[Container]) -> BTreeMap<String, Ipv4Addr> {
    let of_one = |container: &Container| {
        let address = container.address;
        names(container).map(|name| (name.to_owned(), address)).collect::<Vec<_>>()
    };
    all.iter().flat_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::container, *};

    fn other() -> Container {
        let mut other = container(r#", "aliases": ["database", "host.docker.internal"]"#);
        other.name = "db".into();
        other.address = Ipv4Addr::new(172, 30, 0, 3);
        other
    }

    #[test]
    fn every_container_is_found_by_its_names() {
        let own = container(r#", "extra_hosts": {"mail": "10.0.2.2"}"#);
        insta::assert_snapshot!(hosts(&own, &[own.clone(), other()]), @"
        127.0.0.1 localhost
        10.0.2.2 mail
        172.30.0.2 web
        172.30.0.3 db database host.docker.internal
        172.30.0.1 gateway.docker.internal
        ");
    }

    #[test]
    fn an_explicit_address_of_a_name_wins() {
        let own = container(r#", "extra_hosts": {"db": "172.30.0.1"}, "aliases": ["localhost"]"#);
        let hosts = hosts(&own, &[own.clone(), other()]);
        assert!(hosts.contains("172.30.0.1 db\n") && hosts.contains("172.30.0.3 database"), "{hosts}");
        assert_eq!(hosts.matches("localhost").count(), 1);
    }

    #[test]
    fn addresses_are_known_by_every_name() {
        let addresses = addresses(&[container(""), other()]);
        assert_eq!(addresses["web"], Ipv4Addr::new(172, 30, 0, 2));
        assert_eq!(addresses["database"], addresses["db"]);
    }
}
