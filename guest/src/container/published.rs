//! The published ports, as nft(8) reads them behind the rules of [`RULES`].

use std::fmt::Write as _;

use protocol::containers::Container;

/// The rules, which are the same for all containers.
pub(super) const RULES: &str = "/usr/lib/stack/containers.nft";

/// All that nft is to load.
pub(super) fn ruleset(containers: &[Container]) -> String {
    let mut ruleset = format!("include \"{RULES}\"\n");
    for Container { address, published, .. } in containers {
        for port in published {
            let (guest, container) = (port.guest, port.container);
            // It fails only without memory.
            let _ =
                writeln!(ruleset, "add element ip stack published {{ {guest} : {address} . {container} }}");
        }
    }
    ruleset
}

#[cfg(test)]
mod tests {
    use protocol::containers::{GATEWAY, PREFIX};

    use super::{
        super::{fixtures::container, network::BRIDGE},
        *,
    };

    /// The file that is [`RULES`] in the guest.
    const FILE: &str = include_str!("../../../cloud-init/platform/usr/lib/stack/containers.nft");

    #[test]
    fn every_published_port_leads_to_its_container() {
        let web = container(
            r#", "published": [{"guest": 8080, "container": 80}, {"guest": 8443, "container": 443}]"#,
        );
        insta::assert_snapshot!(ruleset(&[web, container("")]), @r#"
        include "/usr/lib/stack/containers.nft"
        add element ip stack published { 8080 : 172.30.0.2 . 80 }
        add element ip stack published { 8443 : 172.30.0.2 . 443 }
        "#);
    }

    #[test]
    fn the_rules_know_the_bridge_and_its_network() {
        assert!(FILE.contains(&format!("iifname \"{BRIDGE}\"")));
        assert!(FILE.contains(&format!("ip daddr {GATEWAY} ")));
        assert!(FILE.contains(&format!("ip saddr 172.30.0.0/{PREFIX} ")));
    }
}
