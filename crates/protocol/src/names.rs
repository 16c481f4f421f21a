//! Names by which host and guest find each other's things.

/// Names of virtio-serial ports.
pub mod ports {
    /// The guest's resident agent.
    pub const AGENT: &str = "org.stack.agent";

    /// The progress of provisioning.
    pub const PROGRESS: &str = "org.stack.progress";

    /// QEMU's own guest agent (QEMU's documentation, "QEMU Guest Agent").
    pub const QGA: &str = "org.qemu.guest_agent.0";
}

/// Labels of volumes.
pub mod labels {
    /// The settings of one start. FAT: at most 11 upper-case characters.
    pub const CONFIG: &str = "STACKCFG";

    /// What is laid over the root of a machine that is provisioned.
    pub const BUNDLE: &str = "STACKBUNDLE";

    /// Instructions for cloud-init (its documentation, "`NoCloud`").
    pub const SEED: &str = "CIDATA";
}

/// Files of the volume [`labels::CONFIG`].
pub mod config_files {
    /// What belongs to the image: where each service listens inside the guest.
    pub const BASE: &str = "base.env";

    /// What only this start has: the addresses on the host, the instance's name, the secrets.
    pub const RUNTIME: &str = "runtime.env";
}

/// Words on the kernel's command line.
pub mod boot_words {
    /// Makes the initial RAM file system print [`super::markers::PROBE_OK`] and power the machine off.
    pub const PROBE: &str = "stack.probe";
}

/// Beginnings of lines on the guest's serial console.
pub mod markers {
    /// A program runs in the guest: the accelerator works.
    pub const PROBE_OK: &str = "STACK_PROBE_OK";

    /// The initial RAM file system cannot boot the system; the reason follows, and the machine powers off.
    pub const INIT_FAILED: &str = "STACK_INIT_FAILED";

    /// Provisioning reports something for people.
    pub const PROVISION: &str = "STACK_PROVISION";

    /// Provisioning has succeeded.
    pub const PROVISION_DONE: &str = "STACK_CLOUD_INIT_DONE";

    /// Provisioning has failed, and the diagnostics have been shown.
    pub const PROVISION_FAILED: &str = "STACK_CLOUD_INIT_FAILED";
}

/// Environment variables of the guest's services.
pub mod variables {
    /// Name of the instance.
    pub const INSTANCE: &str = "STACK_INSTANCE";

    /// Where the port `name` of a stack listens inside the guest: `STACK_BACKEND_PORT`.
    pub fn port(name: &str) -> String {
        format!("STACK_{}_PORT", upper(name))
    }

    /// Where the port `name` of a stack is found on the host: `STACK_BACKEND_URL`.
    pub fn url(name: &str) -> String {
        format!("STACK_{}_URL", upper(name))
    }

    /// A port's name as a part of a variable's.
    fn upper(name: &str) -> String {
        name.to_ascii_uppercase().replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn variables_of_a_port_carry_its_name() {
        assert_eq!(variables::port("mail-ui"), "STACK_MAIL_UI_PORT");
        assert_eq!(variables::url("backend"), "STACK_BACKEND_URL");
    }
}
