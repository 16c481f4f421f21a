//! The settings of a guest that boots: the two files of the STACKCFG volume.
//!
//! `base.env` is the same for every start of one image, `runtime.env` belongs to this start. Neither contains a secret. A machine that
//! is resumed has the volume of its first boot, and gets what is different by message.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use protocol::names::{config_files, labels, variables};
use vm::volume::{Volume, VolumeError};

use crate::name::InstanceName;
use crate::ports::PublishedPort;

/// `STACK_<PORT NAME>_PORT`: where each service listens inside the guest.
fn base_env(ports: &[PublishedPort]) -> String {
    ports.iter().fold(String::new(), |mut text, port| {
        let _ = writeln!(text, "{}={}", variables::port(&port.name), port.guest);
        text
    })
}

/// The variables of this start: `STACK_<PORT NAME>_URL`, where each service is reached on the host, and the instance's name.
pub(super) fn runtime_variables(name: &InstanceName, ports: &[PublishedPort]) -> BTreeMap<String, String> {
    let url = |port: &PublishedPort| (variables::url(&port.name), port.url());
    let instance = (variables::INSTANCE.to_owned(), name.to_string());
    ports.iter().map(url).chain([instance]).collect()
}

/// [`runtime_variables`] as the lines of a file.
fn runtime_env(name: &InstanceName, ports: &[PublishedPort]) -> String {
    runtime_variables(name, ports).iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}

/// The volume with both files.
///
/// # Errors
/// Never: its label is valid.
pub(crate) fn volume(name: &InstanceName, ports: &[PublishedPort]) -> Result<Volume, VolumeError> {
    let volume = Volume::new(labels::CONFIG)?.file(config_files::BASE, base_env(ports));
    Ok(volume.file(config_files::RUNTIME, runtime_env(name, ports)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Vec<PublishedPort> {
        let port = |name: &str, guest, host| PublishedPort {
            name: name.into(),
            guest,
            host,
            variable: String::new(),
            health: None,
        };
        vec![port("backend", 8102, 26701), port("mail-ui", 9001, 26703)]
    }

    #[test]
    fn the_guest_learns_its_ports_and_their_urls_on_the_host() {
        insta::assert_snapshot!(base_env(&ports()), @r"
        STACK_BACKEND_PORT=8102
        STACK_MAIL_UI_PORT=9001
        ");
        insta::assert_snapshot!(runtime_env(&InstanceName::default(), &ports()), @r"
        STACK_BACKEND_URL=http://127.0.0.1:26701
        STACK_INSTANCE=default
        STACK_MAIL_UI_URL=http://127.0.0.1:26703
        ");
    }
}
