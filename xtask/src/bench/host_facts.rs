//! The machine that the figures are of.

use anyhow::Context as _;
use etc_os_release::OsRelease;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use vm::machine::Accelerator;

/// Load above which other work than the benchmark's counts in its figures.
const QUIET: f64 = 0.5;

/// The machine that the figures are of. What it does not report is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostFacts {
    /// Model of the processor.
    pub(crate) cpu: Option<String>,
    /// Logical processors.
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    /// Release of the kernel.
    pub(crate) kernel: Option<String>,
    /// What the guests have run on.
    pub(crate) accelerator: Accelerator,
    /// Version of QEMU.
    pub(crate) qemu: String,
    pub(crate) os: Option<String>,
    /// Processes that wanted a processor at once, averaged over the minute before the benchmark.
    pub(crate) load_before: Option<f64>,
}

impl HostFacts {
    /// This machine.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(crate) fn gather(
        accelerator: Accelerator,
        qemu: String,
        load_before: Option<f64>,
    ) -> anyhow::Result<Self> {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(what).context("cannot look at this machine")?;
        let os = OsRelease::open().ok().map(|release| release.pretty_name().to_owned());
        Ok(Self {
            cpu: system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()),
            cpus: system.cpus().len(),
            memory_mib: system.total_memory() >> 20,
            kernel: System::kernel_version().ok(),
            accelerator,
            qemu,
            os: os.or_else(|| System::long_os_version().ok()),
            load_before,
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        format!(
            "{}, {} CPUs, {:.0} GiB, {}, Linux {}, QEMU {} with {}",
            known(&self.cpu),
            self.cpus,
            self.memory_mib as f64 / 1024.0,
            known(&self.os),
            known(&self.kernel),
            self.qemu,
            self.accelerator,
        )
    }
}

/// The load over the last minute.
pub(crate) fn load() -> Option<f64> {
    System::load_average().ok().map(|load| load.one)
}

/// What people should know about figures of a machine with this load.
pub(crate) fn warning(load: Option<f64>) -> Option<String> {
    let load = load.filter(|&load| load > QUIET)?;
    Some(format!(
        "the load of this machine is {load:.2}: the figures are upper bounds, measure again when it is quiet"
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An invented machine.
    pub(crate) fn sample() -> HostFacts {
        HostFacts {
            cpu: Some("Example CPU 9000".into()),
            cpus: 2,
            memory_mib: 16_000,
            kernel: Some("6.12.0".into()),
            accelerator: Accelerator::Tcg,
            qemu: "10.2.2".into(),
            os: Some("Debian GNU/Linux 13 (trixie)".into()),
            load_before: Some(0.1),
        }
    }

    #[test]
    fn a_busy_machine_is_warned_about() {
        assert_eq!(warning(Some(0.3)), None);
        assert_eq!(warning(None), None);
        insta::assert_snapshot!(warning(Some(1.7)).unwrap(), @"the load of this machine is 1.70: the figures are upper bounds, measure again when it is quiet");
    }

    #[test]
    fn the_host_is_one_line() {
        insta::assert_snapshot!(sample().line(), @"Example CPU 9000, 2 CPUs, 16 GiB, Debian GNU/Linux 13 (trixie), Linux 6.12.0, QEMU 10.2.2 with tcg");
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let facts = HostFacts::gather(Accelerator::Tcg, "1.0".into(), load()).unwrap();
        assert!(facts.cpus > 0 && facts.memory_mib > 0, "{facts:?}");
    }
}
