//! Which command helps against the errors of instances.

use std::fmt::Write as _;

use instances::instance::error::InstanceError;
use instances::instance::exports::ProjectError;
use instances::instance::record::RecordError;
use instances::instance::state::Fault;
use instances::ports::owner::Owner;
use instances::ports::{BusyPort, PortError};

/// The command that helps against `error`, where one does; `flag` names the instance.
pub(super) fn command(error: &InstanceError, flag: &str) -> Option<String> {
    Some(match error {
        InstanceError::ImageChanged { .. } => format!(
            "to keep the data, start with the old image: `emulator start{flag} --image FILE`; to drop it: `emulator reset{flag}`"
        ),
        InstanceError::OtherArch { asked, .. } => format!(
            "start another one, `emulator start --arch {asked} --instance NAME`; or drop the data: `emulator reset{flag}`"
        ),
        InstanceError::Broken { faults, .. } => broken(faults, flag),
        InstanceError::UnknownOverlay { record, .. } => format!(
            "put `{}` back, or move the disk away if its data matters; to drop it: `emulator reset{flag}`",
            record.display()
        ),
        InstanceError::Ports(error) => return ports(error, flag),
        InstanceError::TooMuchMemory { .. } => {
            "ask for less, by `--memory MIB` or `EMULATOR_RAM`, or for what the image needs by neither"
                .to_owned()
        }
        InstanceError::NotReady { .. } => {
            format!("read `emulator logs serial{flag}`, or wait longer with `--timeout 5m`")
        }
        InstanceError::EndedEarly { source, .. } if source.is_refusal() => return None,
        InstanceError::Guest(_) | InstanceError::EndedEarly { .. } => {
            format!("read `emulator logs serial{flag}` and `emulator logs qemu{flag}`")
        }
        InstanceError::DiskFails { .. } => {
            format!(
                "free space where the home is, or repair that disk; then continue with `emulator start{flag}`"
            )
        }
        InstanceError::NotRunning(_) | InstanceError::NoLogs(_) | InstanceError::StoppedMeanwhile(_) => {
            format!("start it with `emulator start{flag}`")
        }
        InstanceError::NoTimes(source) => {
            format!(
                "choose a number of lines instead, as in `emulator logs {source}{flag} -n 100`; the services of a running instance have times"
            )
        }
        InstanceError::NoInstance { .. } => "see `emulator list`".to_owned(),
        InstanceError::Journal(_) => format!("read the console instead: `emulator logs serial{flag}`"),
        InstanceError::Unconfirmed { .. } => format!("renew them once more: `emulator rotate{flag}`"),
        InstanceError::NoSecret { .. } => format!("renew them: `emulator rotate{flag}`"),
        InstanceError::Project(error) => project(error, flag),
        InstanceError::NotRotated(_) => {
            format!("begin a new session: `emulator reset{flag}`, then `emulator start{flag}`")
        }
        InstanceError::Record(RecordError::Newer { .. }) => "update `emulator`".to_owned(),
        InstanceError::OtherNetwork(_) => format!(
            "use it from where it was started, or end it: `emulator stop{flag}`, then `emulator start{flag}`"
        ),
        InstanceError::SocketGone { .. } => {
            format!("end it and start it again: `emulator stop{flag}`, then `emulator start{flag}`")
        }
        InstanceError::Limit(_)
        | InstanceError::Orphan(_)
        | InstanceError::Random(_)
        | InstanceError::CannotSuspend
        | InstanceError::UnknownSource { .. }
        | InstanceError::UnknownService { .. }
        | InstanceError::Elsewhere(_)
        | InstanceError::Inspect(_)
        | InstanceError::Record(_)
        | InstanceError::File(_)
        | InstanceError::Vm(_) => return None,
    })
}

fn project(error: &ProjectError, flag: &str) -> String {
    match error {
        ProjectError::Unsupported(_) => "leave out `--config-file`".to_owned(),
        ProjectError::File(_) | ProjectError::NotFile(_) => {
            "name the project's configuration file with `--config-file FILE`".to_owned()
        }
        ProjectError::Unanswered { .. } => format!("see `emulator status{flag}`"),
        ProjectError::Refused { .. } | ProjectError::Answer { .. } => {
            format!("read `emulator logs{flag}`")
        }
    }
}

fn broken(faults: &[Fault], flag: &str) -> String {
    if faults.iter().any(|fault| matches!(fault, Fault::Record(RecordError::Newer { .. }))) {
        return "update `emulator`".to_owned();
    }
    if faults.iter().all(Fault::heals) {
        return format!("start it again: `emulator start{flag}`");
    }
    let other = if faults.iter().all(|fault| matches!(fault, Fault::NoImage(_))) {
        format!(", start with a copy of it: `emulator start{flag} --image FILE`,")
    } else {
        String::new()
    };
    format!("put it back{other} or drop the instance's data: `emulator reset{flag}`")
}

/// Where the keys of files with settings are documented.
const SETTINGS: &str = "`docs/home.md` lists the keys";

fn ports(error: &PortError, flag: &str) -> Option<String> {
    match error {
        PortError::Busy { busy } => Some(free_ports(busy, flag)),
        PortError::Refused { .. } => Some("choose another port with `--port NAME=PORT`".to_owned()),
        PortError::UnknownInFile { .. } => Some(format!("correct that line; {SETTINGS}")),
        PortError::Unknown { .. } | PortError::Variable { .. } | PortError::Clash { .. } => {
            Some("see `emulator start --help` for how ports are chosen".to_owned())
        }
        PortError::NoLoopback(_) => None,
    }
}

fn free_ports(busy: &[BusyPort], flag: &str) -> String {
    let flags = busy.iter().fold(flag.to_owned(), |mut text, port| {
        let _ = write!(text, " --port {}=auto", port.name);
        text
    });
    let variables: Vec<String> = busy.iter().map(|port| format!("`{}`", port.variable)).collect();
    let variables = variables.join(", ");
    let stop = stop_owners(busy);
    format!("{stop}, or choose other ports: `emulator start{flags}`, or set {variables}")
}

/// How to free the ports: by the command that stops the instances that have them.
fn stop_owners(busy: &[BusyPort]) -> String {
    let mut stops: Vec<String> = Vec::new();
    for port in busy {
        let stop = match &port.owner {
            Owner::Instance { name, .. } => format!("stop it with `emulator stop{}`", super::flag(name)),
            Owner::Process { .. } | Owner::Hidden => "stop that process".to_owned(),
        };
        if !stops.contains(&stop) {
            stops.push(stop);
        }
    }
    stops.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::super::about;
    use super::*;

    #[test]
    fn a_machine_of_another_network_is_ended_with_the_flag_that_names_it() {
        let name = "blue".parse().unwrap();
        let hint = about(&InstanceError::OtherNetwork("blue".parse().unwrap()), &name).unwrap();
        assert!(hint.contains("`emulator stop --instance blue`"), "{hint}");
    }

    #[test]
    fn a_port_of_another_instance_is_freed_by_stopping_that() {
        let port = |name: &str, owner| BusyPort {
            name: name.into(),
            port: 1,
            variable: format!("EMULATOR_{}_PORT", name.to_uppercase()),
            owner,
        };
        let blue = || Owner::Instance { name: "blue".parse().unwrap(), pid: 7 };
        let error = InstanceError::from(PortError::Busy {
            busy: vec![port("a", blue()), port("b", blue()), port("c", Owner::Hidden)],
        });
        let hint = about(&error, &"default".parse().unwrap()).unwrap();
        assert!(
            hint.starts_with("stop it with `emulator stop --instance blue` and stop that process, or "),
            "{hint}"
        );
    }

    #[test]
    fn a_machine_without_its_socket_is_started_again() {
        let error = InstanceError::SocketGone { name: "default".parse().unwrap(), path: "/run/qmp".into() };
        let hint = about(&error, &"default".parse().unwrap()).unwrap();
        assert!(hint.contains("`emulator stop`, then `emulator start`"), "{hint}");
    }

    #[test]
    fn data_on_another_image_is_kept_or_dropped() {
        let name = "default".parse().unwrap();
        let (expected, found) = ([1; 32].into(), [2; 32].into());
        let error = InstanceError::ImageChanged { name, path: "/image".into(), expected, found };
        let hint = about(&error, &"default".parse().unwrap()).unwrap();
        assert!(hint.contains("--image FILE") && hint.contains("emulator reset"), "{hint}");
    }
}
