//! What a saved state fits: everything that must be the same when it is loaded.

use base::digest::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vm::machine::Accelerator;
use vm::machine::Topology;
use vm::qemu::{Qemu, host_kernel};
use vm::version::Version;

use super::host_cpu;

/// Everything that must be the same when a saved state is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fingerprint {
    /// SHA-256 of the image.
    pub image: Sha256,
    /// The QEMU.
    pub qemu: QemuIdentity,
    /// The machine.
    pub topology: Topology,
    /// The processor below, where the guest sees it.
    pub host: Option<HostIdentity>,
}

/// One build of QEMU. Another one may lay out a machine's state in another way, even under the same version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QemuIdentity {
    /// SHA-256 of the program.
    pub sha256: Sha256,
    /// Its version.
    pub version: Version,
}

/// The processor and the kernel that run a guest's instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostIdentity {
    /// Release of the kernel.
    pub kernel: String,
    /// Model, microcode and features of the processor.
    pub cpu: String,
}

impl HostIdentity {
    /// What a guest on `accelerator` sees of this machine.
    fn below(accelerator: Accelerator) -> Option<Self> {
        match accelerator {
            // QEMU executes every instruction itself.
            Accelerator::Tcg => None,
            Accelerator::Kvm | Accelerator::Hvf => {
                Some(Self { kernel: host_kernel(), cpu: host_cpu::identity() })
            }
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a machine of `topology` on `qemu`, with the image of this SHA-256.
    pub fn of(qemu: &Qemu, topology: Topology, image: Sha256) -> Self {
        let host = HostIdentity::below(topology.accelerator);
        let qemu = QemuIdentity { sha256: qemu.digest(), version: qemu.version() };
        Self { image, qemu, topology, host }
    }

    /// Lists every field in which `now` differs from this one, by name, with both values.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let value =
            |fingerprint| serde_json::to_value(fingerprint).expect("a fingerprint serialises to JSON");
        let mut found = Vec::new();
        compare("", &value(self), &value(now), &mut found);
        found
    }
}

/// Digits of a digest by which a person can distinguish it.
const SHOWN_DIGITS: usize = 12;

fn compare(path: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, value, now.get(key).unwrap_or(&Value::Null), found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("`{path}` was {} and is {}", shown(then), shown(now))),
    }
}

fn shown(value: &Value) -> String {
    match value.as_str().map(str::parse::<Sha256>) {
        Some(Ok(digest)) => format!("{}…", digest.first_digits(SHOWN_DIGITS)),
        _ => value.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use image::arch::Arch;
    use vm::machine::Access;

    use super::*;

    /// A fingerprint of an invented machine.
    pub(crate) fn sample() -> Fingerprint {
        let topology = Topology {
            layout: vm::machine::LAYOUT,
            arch: Arch::Amd64,
            machine_type: "pc-q35-10.2".into(),
            accelerator: Accelerator::Tcg,
            cpu_model: "max".into(),
            cpus: 2,
            memory_mib: 2048,
            generation_id: true,
            disks: vec![vm::machine::Disk { id: "root".into(), access: Access::Write }],
            ports: vec!["org.qemu.guest_agent.0".into()],
        };
        let qemu = QemuIdentity { sha256: [0xaa; 32].into(), version: Version::new(10, 2, 2) };
        Fingerprint { image: [0xbb; 32].into(), qemu, topology, host: None }
    }

    #[test]
    fn the_host_counts_where_the_guest_runs_on_its_processor() {
        assert_eq!(HostIdentity::below(Accelerator::Tcg), None);
        for accelerator in [Accelerator::Kvm, Accelerator::Hvf] {
            let host = HostIdentity::below(accelerator).unwrap();
            assert!(!host.kernel.is_empty() && !host.cpu.is_empty(), "{host:?}");
        }
    }

    #[test]
    fn a_state_of_a_program_that_did_not_count_layouts_does_not_fit() {
        let now = sample();
        let mut then = serde_json::to_value(&now).unwrap();
        then["topology"].as_object_mut().unwrap().remove("layout");
        let then: Fingerprint = serde_json::from_value(then).unwrap();
        assert_eq!(then.differences(&now), ["`topology.layout` was 0 and is 1"]);
    }

    #[test]
    fn each_field_that_differs_is_named_with_both_values() {
        let then = sample();
        assert!(then.differences(&then).is_empty());
        let mut now = then.clone();
        now.topology.memory_mib = 4096;
        now.qemu.sha256 = [0xcc; 32].into();
        now.host = Some(HostIdentity { kernel: "6.1".into(), cpu: "some".into() });
        insta::assert_snapshot!(then.differences(&now).join("\n"), @r#"
        `host` was null and is {"cpu":"some","kernel":"6.1"}
        `qemu.sha256` was aaaaaaaaaaaa… and is cccccccccccc…
        `topology.memoryMib` was 2048 and is 4096
        "#);
    }
}
