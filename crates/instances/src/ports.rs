//! Which ports of the host an instance gets.
//!
//! The image's manifest lists the ports to forward. The host port of each comes from the first of: `--port`, the
//! environment variable that the manifest names, the instance's record, the manifest's default. An instance with automatic ports has
//! none of the manifest's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::str::FromStr;

use image::stack::{Port, check};
use serde::{Deserialize, Serialize};
use tokio::net::TcpSocket;

use crate::checked::{self, Checked, Impossible};
use crate::name::InstanceName;
use owner::Owner;

mod automatic;
pub mod owner;

/// The host's side of every forwarded port: nothing outside this machine can reach it.
pub const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Digits of a number that may have been meant as a port: one more than the largest has.
const DIGITS: usize = 6;

/// A host port as a person specifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// Any free port; the instance's recorded one if that is free.
    Auto,
    /// This one.
    Fixed(u16),
}

/// The text is neither a port nor `auto`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid port `{0}`: use a number from 1 to 65535 or `auto`")]
pub struct InvalidPort(pub String);

impl FromStr for PortChoice {
    type Err = InvalidPort;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(port @ 1..) => Ok(Self::Fixed(port)),
            _ => Err(InvalidPort(text.to_owned())),
        }
    }
}

/// A variable's value is neither a port nor `auto`. It is repeated only where it is a short number: anything else may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a valid port: use a number from 1 to 65535 or `auto`", .0.as_ref().map_or("its value".to_owned(), |number| format!("`{number}`")))]
pub struct InvalidValue(Option<String>);

impl From<InvalidPort> for InvalidValue {
    fn from(InvalidPort(value): InvalidPort) -> Self {
        let harmless = value.len() <= DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
        Self(harmless.then_some(value))
    }
}

/// A port given by name: the value of `--port NAME=PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// Name in the manifest.
    pub name: String,
    /// The host port.
    pub choice: PortChoice,
}

/// The text is not of the form `NAME=PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// There is no name.
    #[error("`{0}` is not of the form `NAME=PORT` or `NAME=auto`")]
    Form(String),
    /// There is a name, but no port.
    #[error(transparent)]
    Port(#[from] InvalidPort),
}

impl FromStr for PortRequest {
    type Err = InvalidRequest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| InvalidRequest::Form(text.to_owned()))?;
        Ok(Self { name: name.to_owned(), choice: port.parse()? })
    }
}

/// A port that a file of settings names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePort {
    /// Its name there.
    pub name: String,
    /// The environment variable that it stands in for.
    pub variable: String,
    /// Where that is: file, line and column.
    pub place: String,
}

/// A port of the guest and its place on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// Name in the manifest.
    pub name: String,
    /// Port inside the guest.
    pub guest: u16,
    /// Port on [`LOOPBACK`].
    pub host: u16,
    /// Environment variable that can move it.
    pub variable: String,
    /// Path that answers 200 when the service is healthy.
    pub health: Option<String>,
}

impl Checked for PublishedPort {
    fn check(&self) -> Result<(), Impossible> {
        checked::label("the name of a port", &self.name)?;
        if self.guest == 0 || self.host == 0 {
            return checked::impossible("a port", 0);
        }
        let path = self.health.as_ref();
        path.map_or(Ok(()), |path| checked::described("a port", check::health_path(&self.name, path)))
    }
}

impl PublishedPort {
    /// A port of the manifest at its default place.
    pub fn by_default(port: &Port) -> Self {
        Self::at(port, port.host)
    }

    /// A port of the manifest at this port of the host.
    fn at(port: &Port, host: u16) -> Self {
        Self {
            name: port.name.clone(),
            guest: port.guest,
            host,
            variable: port.env.clone(),
            health: port.health.clone(),
        }
    }

    /// Its URL for people: by address, because `localhost` may mean `::1`.
    pub fn url(&self) -> String {
        format!("http://{LOOPBACK}:{}", self.host)
    }

    /// The URL of its health check, if it has one.
    pub fn health_url(&self) -> Option<String> {
        self.health.as_ref().map(|path| format!("{}{path}", self.url()))
    }
}

/// Why the ports cannot be assigned.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// `--port` names something that the image does not have.
    #[error("the image has no port `{name}`: it has {}", known.join(", "))]
    Unknown {
        /// The given name.
        name: String,
        /// The names that exist, in backticks.
        known: Vec<String>,
    },
    /// A file of settings names something that the image does not have.
    #[error("`{place}`: the image has no port `{name}`: it has {}", known.join(", "))]
    UnknownInFile {
        /// File, line and column.
        place: String,
        /// The name in the file.
        name: String,
        /// The names that exist, in backticks.
        known: Vec<String>,
    },
    /// An environment variable holds something else than a port.
    #[error("the environment variable `{variable}` cannot be used")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        #[source]
        source: InvalidValue,
    },
    /// Two names have the same port.
    #[error("`{first}` and `{second}` cannot both have port {port}")]
    Clash {
        /// A name.
        first: String,
        /// Another name.
        second: String,
        /// The port of both.
        port: u16,
    },
    /// Other processes have them.
    #[error("{}", busy.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Busy {
        /// Each busy port.
        busy: Vec<BusyPort>,
    },
    /// The loopback interface is down.
    #[error("nothing can be reached at {LOOPBACK}: the loopback interface is down")]
    NoLoopback(#[source] io::Error),
    /// The operating system refuses the port.
    #[error("cannot listen on {LOOPBACK}:{port}")]
    Refused {
        /// The port; 0 when any would have done.
        port: u16,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl PortError {
    /// The same error, where the processes that are machines of instances are named as these.
    #[must_use]
    pub fn with_instances(self, instance_of: impl Fn(u32) -> Option<InstanceName>) -> Self {
        match self {
            Self::Busy { busy } => {
                Self::Busy { busy: busy.into_iter().map(|port| port.with_instance(&instance_of)).collect() }
            }
            other => other,
        }
    }
}

/// A needed port that another process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusyPort {
    /// Name in the manifest.
    pub name: String,
    /// The port on the host.
    pub port: u16,
    /// Environment variable that can move it.
    pub variable: String,
    /// The process that has it.
    pub owner: Owner,
}

impl BusyPort {
    /// The port, which another process has.
    fn of(port: &PublishedPort) -> Self {
        let PublishedPort { name, host, variable, .. } = port;
        Self { name: name.clone(), port: *host, variable: variable.clone(), owner: owner::of(*host) }
    }

    /// The same, where a process that is the machine of an instance is named as this.
    #[must_use]
    pub fn with_instance(mut self, instance_of: impl Fn(u32) -> Option<InstanceName>) -> Self {
        if let Owner::Process { pid, .. } = self.owner
            && let Some(name) = instance_of(pid)
        {
            self.owner = Owner::Instance { name, pid };
        }
        self
    }
}

impl std::fmt::Display for BusyPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "port {} for `{}` is in use by {}", self.port, self.name, self.owner)
    }
}

/// The sources of ports, in the order of their precedence.
pub struct Wishes<'a> {
    /// The values of `--port`.
    pub requests: &'a [PortRequest],
    /// What files of settings name, whose values `variable` looks up.
    pub file_ports: &'a [FilePort],
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The ports in the instance's record.
    pub recorded: &'a BTreeMap<String, u16>,
    /// Whether the other ports are automatic, instead of the manifest's.
    pub automatic: bool,
    /// Name of the instance, for which automatic ports are the same each time.
    pub instance: &'a str,
    /// Finds the ports that other instances count on. Automatic ports are none of them.
    pub others: &'a dyn Fn() -> BTreeSet<u16>,
}

/// The host ports of an instance.
pub struct Assigned {
    /// Every port of the manifest.
    pub ports: Vec<PublishedPort>,
    /// What the record keeps, so that the next start has them again: those that were given by flag or are automatic.
    pub remembered: BTreeMap<String, u16>,
    /// Recorded ports that had to be replaced by automatic ones, since other processes have them.
    pub moved: Vec<BusyPort>,
    /// The automatic ones, which no other process can take until these are dropped.
    held: Vec<TcpSocket>,
}

/// Assigns a host port to every port of the manifest.
///
/// # Errors
/// When a source names an unknown port or an invalid number, two ports would be the same, or there is no free port.
pub fn assign(ports: &[Port], wishes: &Wishes<'_>) -> Result<Assigned, PortError> {
    let known: Vec<_> = ports.iter().map(|port| (port.name.as_str(), port.env.as_str())).collect();
    check_names(&known, wishes.requests, wishes.file_ports)?;
    let mut assigned = Assigned {
        ports: Vec::with_capacity(ports.len()),
        remembered: wishes.recorded.clone(),
        moved: Vec::new(),
        held: Vec::new(),
    };
    for port in ports {
        let wish = wishes.of(port)?;
        let host = match wish.choice {
            PortChoice::Fixed(host) => host,
            PortChoice::Auto => assigned.automatic(port, ports, wishes)?,
        };
        if wish.kept {
            assigned.remembered.insert(port.name.clone(), host);
        }
        if let Some(twin) = assigned.ports.iter().find(|twin| twin.host == host) {
            let (first, second) = (twin.name.clone(), port.name.clone());
            return Err(PortError::Clash { first, second, port: host });
        }
        assigned.ports.push(PublishedPort::at(port, host));
    }
    Ok(assigned)
}

/// Verifies that only ports are named that there are: `known` has their names and variables.
///
/// # Errors
/// With the first one that does not exist.
pub fn check_names(
    known: &[(&str, &str)],
    requests: &[PortRequest],
    file_ports: &[FilePort],
) -> Result<(), PortError> {
    let names = || known.iter().map(|(name, _)| format!("`{name}`")).collect();
    if let Some(wish) = requests.iter().find(|wish| known.iter().all(|(name, _)| *name != wish.name)) {
        return Err(PortError::Unknown { name: wish.name.clone(), known: names() });
    }
    match file_ports.iter().find(|port| known.iter().all(|(_, variable)| *variable != port.variable)) {
        Some(FilePort { name, place, .. }) => {
            let (name, place) = (name.clone(), place.clone());
            Err(PortError::UnknownInFile { place, name, known: names() })
        }
        None => Ok(()),
    }
}

/// The choice for one port.
struct Wish {
    choice: PortChoice,
    /// Whether the record keeps it.
    kept: bool,
}

impl Wishes<'_> {
    fn of(&self, port: &Port) -> Result<Wish, PortError> {
        if let Some(request) = self.requests.iter().rev().find(|request| request.name == port.name) {
            return Ok(Wish { choice: request.choice, kept: true });
        }
        if let Some(value) = (self.variable)(&port.env).filter(|value| !value.is_empty()) {
            let invalid = |source: InvalidPort| PortError::Variable {
                variable: port.env.clone(),
                source: source.into(),
            };
            return Ok(Wish { choice: value.parse().map_err(invalid)?, kept: false });
        }
        if self.automatic {
            return Ok(Wish { choice: PortChoice::Auto, kept: true });
        }
        let host = self.recorded.get(&port.name).copied().unwrap_or(port.host);
        Ok(Wish { choice: PortChoice::Fixed(host), kept: false })
    }
}

impl Assigned {
    /// Chooses a port that is free now: the recorded one, or else one for this name.
    fn automatic(&mut self, port: &Port, ports: &[Port], wishes: &Wishes<'_>) -> Result<u16, PortError> {
        let recorded = wishes.recorded.get(&port.name).copied();
        let socket = match recorded.map(|host| (host, held(host))) {
            Some((_, Ok(socket))) => socket,
            not => {
                if let Some((host, Err(error))) = not
                    && error.kind() == io::ErrorKind::AddrInUse
                {
                    self.moved.push(BusyPort::of(&PublishedPort::at(port, host)));
                }
                let mut avoid = (wishes.others)();
                avoid.extend(ports.iter().map(|port| port.host));
                avoid.extend(wishes.recorded.values());
                let name = format!("{}/{}", wishes.instance, port.name);
                automatic::take(&name, &avoid, held)
                    .map_err(|source| PortError::Refused { port: 0, source })?
            }
        };
        let address = socket.local_addr().map_err(|source| PortError::Refused { port: 0, source })?;
        self.held.push(socket);
        Ok(address.port())
    }

    /// Reserves every port, in their order, until its socket is dropped. Nothing listens there.
    ///
    /// # Errors
    /// As [`check_free`].
    pub fn hold(&mut self) -> Result<Vec<TcpSocket>, PortError> {
        let mut reserved: BTreeMap<u16, TcpSocket> = BTreeMap::new();
        for socket in self.held.drain(..) {
            let address = socket.local_addr().map_err(|source| PortError::Refused { port: 0, source })?;
            reserved.insert(address.port(), socket);
        }
        take(&self.ports, |port| reserved.remove(&port).map_or_else(|| held(port), Ok))
    }
}

/// Verifies that every port is free, by binding it.
///
/// # Errors
/// With every port that another process has, and which one that is; or when the operating system refuses one.
pub fn check_free(ports: &[PublishedPort]) -> Result<(), PortError> {
    take(ports, bind).map(drop)
}

/// Reserves every port, in their order, until its socket is dropped. Nothing listens there.
///
/// # Errors
/// As [`check_free`].
pub fn hold(ports: &[PublishedPort]) -> Result<Vec<TcpSocket>, PortError> {
    take(ports, held)
}

fn take<T>(
    ports: &[PublishedPort],
    mut taken: impl FnMut(u16) -> io::Result<T>,
) -> Result<Vec<T>, PortError> {
    let (mut all, mut busy) = (Vec::with_capacity(ports.len()), Vec::new());
    for port in ports {
        match taken(port.host) {
            Ok(one) => all.push(one),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => busy.push(BusyPort::of(port)),
            Err(source) => return Err(PortError::Refused { port: port.host, source }),
        }
    }
    if busy.is_empty() { Ok(all) } else { Err(PortError::Busy { busy }) }
}

/// Verifies that what listens on [`LOOPBACK`] can be reached there: in a new network namespace that interface is down.
///
/// # Errors
/// When it cannot, or nothing may listen there.
pub fn check_loopback() -> Result<(), PortError> {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    let reach = || TcpStream::connect(bind(0)?.local_addr()?).map(drop);
    reach().map_err(|source| match source.kind() {
        AddrNotAvailable | HostUnreachable | NetworkUnreachable => PortError::NoLoopback(source),
        _ => PortError::Refused { port: 0, source },
    })
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((LOOPBACK, port))
}

/// A socket that has the port and does not listen. With `SO_REUSEADDR`, others could listen there as long as it does not: it is only
/// set for as long as it takes to be bound beside connections that linger from the machine's run before, which needs it.
fn held(port: u16) -> io::Result<TcpSocket> {
    let (socket, address) = (TcpSocket::new_v4()?, (LOOPBACK, port).into());
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.set_reuseaddr(false)?;
        }
        bound => bound?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, host: u16) -> Port {
        let env = format!("{}_PORT", name.to_uppercase());
        Port { name: name.into(), guest: host, host, env, health: None }
    }

    const NONE: Wishes<'_> = Wishes {
        requests: &[],
        file_ports: &[],
        variable: &|_| None,
        recorded: &BTreeMap::new(),
        automatic: false,
        instance: "default",
        others: &BTreeSet::new,
    };

    fn resolved(
        requests: &[&str],
        variables: &[(&str, &str)],
        recorded: &[(&str, u16)],
    ) -> Result<Vec<u16>, PortError> {
        let requests: Vec<PortRequest> = requests.iter().map(|text| text.parse().unwrap()).collect();
        let recorded = recorded.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let wishes = Wishes { requests: &requests, variable: &variable, recorded: &recorded, ..NONE };
        let ports = [port("web", 100), port("api", 200)];
        Ok(assign(&ports, &wishes)?.ports.into_iter().map(|port| port.host).collect())
    }

    #[test]
    fn flag_then_variable_then_record_then_default_decides() {
        assert_eq!(resolved(&[], &[], &[]).unwrap(), [100, 200]);
        assert_eq!(resolved(&[], &[], &[("api", 201)]).unwrap(), [100, 201]);
        assert_eq!(resolved(&[], &[("API_PORT", "202")], &[("api", 201)]).unwrap(), [100, 202]);
        assert_eq!(resolved(&["api=203"], &[("API_PORT", "202")], &[("api", 201)]).unwrap(), [100, 203]);
        assert_eq!(resolved(&["api=203", "api=204"], &[], &[]).unwrap(), [100, 204]);
    }

    #[test]
    fn an_unknown_port_of_a_file_is_reported_with_its_place() {
        let at = |variable: &str| FilePort {
            name: "nope".into(),
            variable: variable.into(),
            place: "/emulator.toml:5:8".into(),
        };
        let ports = [port("web", 100), port("api", 200)];
        let assigned = |file_ports: &[FilePort]| assign(&ports, &Wishes { file_ports, ..NONE }).map(drop);
        assigned(&[at("API_PORT")]).unwrap();
        let error = assigned(&[at("API_PORT"), at("NOPE_PORT")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/emulator.toml:5:8`: the image has no port `nope`: it has `web`, `api`"
        );
    }

    #[test]
    fn this_machine_can_reach_itself() {
        check_loopback().unwrap();
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(resolved(&[], &[("API_PORT", "")], &[]).unwrap(), [100, 200]);
    }

    #[test]
    fn auto_keeps_the_recorded_port_while_it_is_free_and_else_takes_another() {
        let free = bind(0).unwrap().local_addr().unwrap().port();
        assert_eq!(resolved(&["api=auto"], &[], &[("api", free)]).unwrap(), [100, free]);
        let holder = bind(0).unwrap();
        let taken = holder.local_addr().unwrap().port();
        let other = resolved(&["api=auto"], &[], &[("api", taken)]).unwrap()[1];
        assert_ne!(other, taken);
    }

    #[test]
    fn requests_that_cannot_be_met_are_named() {
        let shown = |result: Result<Vec<u16>, PortError>| result.unwrap_err().to_string();
        assert_eq!(shown(resolved(&["db=1"], &[], &[])), "the image has no port `db`: it has `web`, `api`");
        assert_eq!(shown(resolved(&["web=200"], &[], &[])), "`web` and `api` cannot both have port 200");
        let error = resolved(&[], &[("WEB_PORT", "70000")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable `WEB_PORT` cannot be used");
        let cause = |value: &str| {
            let error = resolved(&[], &[("WEB_PORT", value)], &[]).unwrap_err();
            std::error::Error::source(&error).unwrap().to_string()
        };
        assert_eq!(cause("70000"), "`70000` is not a valid port: use a number from 1 to 65535 or `auto`");
        for secret in ["s3cr3t", "1234567", "12 ", "\u{1b}[2J"] {
            assert_eq!(
                cause(secret),
                "its value is not a valid port: use a number from 1 to 65535 or `auto`"
            );
        }
    }

    #[test]
    fn requests_are_a_name_and_a_port() {
        assert_eq!("a=auto".parse(), Ok(PortRequest { name: "a".into(), choice: PortChoice::Auto }));
        assert_eq!("a".parse::<PortRequest>(), Err(InvalidRequest::Form("a".into())));
        assert_eq!("=1".parse::<PortRequest>(), Err(InvalidRequest::Form("=1".into())));
        assert_eq!("a=0".parse::<PortRequest>(), Err(InvalidRequest::Port(InvalidPort("0".into()))));
    }

    #[test]
    fn only_ports_asked_for_by_flag_are_remembered() {
        let recorded = BTreeMap::from([("web".to_owned(), 101)]);
        let variable = |_: &str| Some("300".to_owned());
        let requests = ["api=301".parse().unwrap()];
        let wishes = Wishes { requests: &requests, variable: &variable, recorded: &recorded, ..NONE };
        let kept = assign(&[port("web", 100), port("api", 200)], &wishes).unwrap().remembered;
        assert_eq!(kept, BTreeMap::from([("web".to_owned(), 101), ("api".to_owned(), 301)]));
    }

    #[test]
    fn automatic_ports_stay_the_same_and_are_none_of_those_of_others() {
        let ports = [port("web", 20_500), port("api", 20_501)];
        let automatic = |instance, others: &[u16], recorded: &BTreeMap<String, u16>| {
            let others = || others.iter().copied().collect();
            assign(&ports, &Wishes { automatic: true, instance, others: &others, recorded, ..NONE }).unwrap()
        };
        let none = BTreeMap::new();
        let one = automatic("one", &[], &none);
        let other = automatic("other", &[], &none);
        let hosts = |assigned: &Assigned| assigned.ports.iter().map(|port| port.host).collect::<Vec<_>>();
        assert!(hosts(&one).iter().all(|port| !hosts(&other).contains(port)));
        assert_eq!(hosts(&one), ["web", "api"].map(|name| one.remembered[name]));
        // One that does not run counts on its ports too.
        let taken = hosts(&one);
        drop(one);
        assert_eq!(hosts(&automatic("one", &[], &none)), taken);
        assert!(hosts(&automatic("one", &taken, &none)).iter().all(|port| !taken.contains(port)));
    }

    #[test]
    fn an_automatic_port_that_is_in_use_is_replaced_and_reported() {
        let holder = bind(0).unwrap();
        let taken = holder.local_addr().unwrap().port();
        let recorded = BTreeMap::from([("web".to_owned(), taken)]);
        let wishes = Wishes { automatic: true, recorded: &recorded, ..NONE };
        let mut assigned = assign(&[port("web", 100)], &wishes).unwrap();
        let [moved] = &assigned.moved[..] else { panic!("nothing was reported") };
        assert_eq!(moved.port, taken);
        let host = assigned.ports[0].host;
        assert_ne!(host, taken);
        let held = assigned.hold().unwrap();
        assert_eq!(bind(host).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);
        bind(host).unwrap();
    }

    #[test]
    fn a_busy_port_is_reported_with_the_process_that_has_it() {
        let holder = bind(0).unwrap();
        let host = holder.local_addr().unwrap().port();
        let ports = [published(host)];
        let text = check_free(&ports).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(text.starts_with(&format!("port {host} for `api` is in use by ")), "{text}");
        assert!(text.contains(&format!("pid {pid}")), "{text}");
        drop(holder);
        check_free(&ports).unwrap();
    }

    #[test]
    fn a_port_of_another_instance_is_reported_with_its_name() {
        let holder = bind(0).unwrap();
        let error = check_free(&[published(holder.local_addr().unwrap().port())]).unwrap_err();
        let pid = std::process::id();
        let named = error.with_instances(|found| (found == pid).then(|| "blue".parse().unwrap()));
        assert!(
            named.to_string().ends_with(&format!("is in use by instance `blue` (QEMU, pid {pid})")),
            "{named}"
        );
        let PortError::Busy { busy } = named else { panic!("it is free") };
        assert_eq!(busy[0].clone().with_instance(|_| Some("red".parse().unwrap())), busy[0]);
    }

    /// A port by this name and number.
    fn published(host: u16) -> PublishedPort {
        PublishedPort { name: "api".into(), guest: 1, host, variable: "API_PORT".into(), health: None }
    }

    /// The port cannot be bound or reached while it is held, and can be bound at once when it is released.
    fn assert_held(host: u16) {
        let held = hold(&[published(host)]).unwrap();
        assert_eq!(bind(host).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let refused = TcpStream::connect((LOOPBACK, host)).unwrap_err().kind();
        assert_eq!(refused, io::ErrorKind::ConnectionRefused);
        assert!(matches!(hold(&[published(host)]), Err(PortError::Busy { .. })));
        drop(held);
        bind(host).unwrap();
    }

    #[test]
    fn a_port_that_is_held_cannot_be_taken_and_nothing_listens_there() {
        let host = bind(0).unwrap().local_addr().unwrap().port();
        assert_held(host);
    }

    #[test]
    fn a_port_is_held_beside_connections_that_linger() {
        let listener = bind(0).unwrap();
        let host = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect((LOOPBACK, host)).unwrap();
        // The side that closes first keeps the connection for a minute.
        drop(listener.accept().unwrap());
        assert_eq!(io::Read::read(&mut client, &mut [0]).unwrap(), 0);
        drop((client, listener));
        assert_held(host);
    }
}
