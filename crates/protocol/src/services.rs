//! What a guest's services are, as the image build writes it into [`FILE`] and the platform in the guest reads it.
//!
//! Everything that the platform does with services is driven by this file: it starts the units in this order and stops them
//! in the reverse one, opens exactly these ports, waits for the ones with a health path, and gives each service only the
//! orders that it takes over its control socket, `/run/stack-NAME/control`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the file is in the guest.
pub const FILE: &str = "/etc/stack/services.json";

/// The services of one stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// Name of the stack.
    pub name: String,
    /// In the order in which they are started.
    pub services: Vec<Service>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Short name: its control socket is `/run/stack-NAME/control`.
    pub name: String,
    /// Its systemd unit.
    pub unit: String,
    /// What it takes over its control socket. A service without orders needs no control socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// Where it listens for the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What is requested of it once before a capture, besides its health paths, so that its code is in memory.
    #[serde(rename = "warmUp", default, skip_serializing_if = "Vec::is_empty")]
    pub warm_up: Vec<WarmUp>,
}

/// A request before a capture: GET.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The port in the guest.
    pub port: u16,
    /// The path.
    pub path: String,
}

/// A port that a service listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The port in the guest.
    pub guest: u16,
    /// Path that answers 200 once the service does its work. Without one, nothing waits for the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// What a service can be asked for over its control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Take new secrets where they are kept, in one transaction.
    Renew,
    /// Read the settings again, and work with them from now on.
    Reload,
    /// Finish what is under way, and keep nothing open that is not in use.
    Drain,
    /// Call everything once.
    WarmUp,
    /// Do what the first request after a resume does, so that its code is in memory.
    Rehearse,
    /// Write to the disk what is in memory, so that nothing has to be recovered.
    Flush,
    /// Do what could wait until the host had all its answers.
    Settle,
}

/// Why a text does not describe services.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// It is not the expected JSON.
    #[error("invalid description of services: {0}")]
    Json(#[from] serde_json::Error),
    /// A name would not make a path or a unit of its own.
    #[error("invalid name of a service `{0}`: expected lowercase letters, digits and dashes")]
    Name(String),
    /// Two services have it.
    #[error("two services have the {what} `{value}`")]
    Twice {
        /// What they share: `name`, `unit` or `port`.
        what: &'static str,
        /// Its value.
        value: String,
    },
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 7] =
        [Self::Renew, Self::Reload, Self::Drain, Self::WarmUp, Self::Rehearse, Self::Flush, Self::Settle];

    /// The word that is sent, and that a service lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::WarmUp => "warm-up",
            Self::Rehearse => "rehearse",
            Self::Flush => "flush",
            Self::Settle => "settle",
        }
    }

    /// The order that is sent as `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl Services {
    /// Reads what the image build wrote. Names, units and ports are distinct in what is returned.
    ///
    /// # Errors
    /// When the text is not the expected JSON, or a name, unit or port is not valid or not distinct.
    pub fn parse(text: &str) -> Result<Self, ServicesError> {
        let services: Self = serde_json::from_str(text)?;
        services.verify()?;
        Ok(services)
    }

    /// The text of [`FILE`].
    ///
    /// # Errors
    /// When a name, unit or port is not valid or not distinct.
    pub fn to_json(&self) -> Result<String, ServicesError> {
        self.verify()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The services that take `order`, in the order in which they are started.
    pub fn taking(&self, order: Order) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(move |service| service.orders.contains(&order))
    }

    /// Every port, in the order of the services.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.services.iter().flat_map(|service| &service.ports)
    }

    fn verify(&self) -> Result<(), ServicesError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        for Service { name, .. } in &self.services {
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
                return Err(ServicesError::Name(name.clone()));
            }
        }
        distinct("name", self.services.iter().map(|service| service.name.clone()))?;
        distinct("unit", self.services.iter().map(|service| service.unit.clone()))?;
        distinct("port", self.ports().map(|port| port.guest.to_string()))
    }
}

fn distinct(what: &'static str, values: impl Iterator<Item = String>) -> Result<(), ServicesError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(ServicesError::Twice { what, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Services {
        let service = |name: &str, orders: &[Order], ports: Vec<Port>| Service {
            name: name.into(),
            unit: format!("stack-{name}.service"),
            orders: orders.to_vec(),
            ports,
            warm_up: Vec::new(),
        };
        let port = |guest, health: Option<&str>| Port { guest, health: health.map(str::to_owned) };
        Services {
            name: "shop".into(),
            services: vec![
                service("store", &[], vec![port(5432, None)]),
                service("keys", &[Order::Renew, Order::Flush], Vec::new()),
                service("web", &[Order::WarmUp, Order::Reload], vec![port(8102, Some("/health"))]),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = services().to_json().unwrap();
        assert_eq!(Services::parse(&text).unwrap(), services());
    }

    #[test]
    fn a_service_needs_no_more_than_a_name_and_a_unit() {
        let text = r#"{"name":"tiny","services":[{"name":"web","unit":"web.service"}]}"#;
        let services = Services::parse(text).unwrap();
        assert_eq!(services.services[0].orders, []);
        assert_eq!(services.ports().count(), 0);
        insta::assert_snapshot!(serde_json::to_string(&services).unwrap(), @r#"{"name":"tiny","services":[{"name":"web","unit":"web.service"}]}"#);
    }

    #[test]
    fn an_order_is_the_same_word_everywhere() {
        for order in Order::ALL {
            assert_eq!(serde_json::to_string(&order).unwrap(), format!("\"{order}\""));
            assert_eq!(Order::from_word(order.word()), Some(order));
        }
        assert_eq!(Order::from_word("dance"), None);
    }

    #[test]
    fn services_are_found_by_the_orders_they_take() {
        let services = services();
        let names = |order| services.taking(order).map(|service| service.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(Order::Renew), ["keys"]);
        assert_eq!(names(Order::WarmUp), ["web"]);
        assert!(names(Order::Drain).is_empty());
        assert_eq!(services.ports().map(|port| port.guest).collect::<Vec<_>>(), [5432, 8102]);
    }

    #[test]
    fn what_is_not_services_is_refused() {
        let one =
            |rest: &str| format!(r#"{{"name":"x","services":[{{"name":"a","unit":"a.service"{rest}}}]}}"#);
        assert!(Services::parse(&one("")).is_ok());
        let cases = [
            (one(r#","orders":["dance"]"#), "unknown variant `dance`"),
            (one(r#","colour":"red""#), "unknown field `colour`"),
            (one("").replace("\"a\"", "\"../a\""), "invalid name of a service `../a`"),
            (one("").replace("\"a\"", "\"\""), "invalid name of a service ``"),
            (String::new(), "invalid description of services"),
        ];
        for (text, expected) in cases {
            let reason = Services::parse(&text).unwrap_err().to_string();
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn two_services_share_neither_name_nor_unit_nor_port() {
        let change = |change: fn(&mut Services)| {
            let mut services = services();
            change(&mut services);
            services.to_json().unwrap_err().to_string()
        };
        assert_eq!(change(|it| it.services[1].name = "store".into()), "two services have the name `store`");
        assert_eq!(
            change(|it| it.services[1].unit = "stack-web.service".into()),
            "two services have the unit `stack-web.service`"
        );
        assert_eq!(change(|it| it.services[2].ports[0].guest = 5432), "two services have the port `5432`");
    }
}
