//! How much of the host's memory a QEMU has.

use serde::Serialize;

/// Memory of one QEMU right after its start, in bytes.
///
/// A guest's memory that is shared is part of both only as far as QEMU has touched it: pages that were filled for it and that the
/// guest has not used yet are in neither. They take room all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoryUse {
    /// The most that it has ever had at once (`VmHWM` in `/proc/PID/status`).
    pub(crate) peak_rss: u64,
    /// Its share of what it has now, pages of several processes divided by their number (`Pss` in `/proc/PID/smaps_rollup`).
    pub(crate) pss: u64,
}

/// The memory of the process `pid`.
///
/// # Errors
/// When it is gone or the operating system does not report it.
#[cfg(target_os = "linux")]
pub(super) fn of(pid: i32) -> anyhow::Result<Option<MemoryUse>> {
    use anyhow::Context as _;
    use procfs::process::Process;

    let read = || -> anyhow::Result<MemoryUse> {
        let process = Process::new(pid)?;
        let peak_kib = process.status()?.vmhwm.context("it has no `VmHWM`")?;
        let rollup = process.smaps_rollup()?.memory_map_rollup;
        let mut shares = rollup.iter().filter_map(|map| map.extension.map.get("Pss"));
        let pss = *shares.next().context("it has no `Pss`")?;
        Ok(MemoryUse { peak_rss: peak_kib << 10, pss })
    };
    read().map(Some).with_context(|| format!("cannot read the memory of process {pid}"))
}

/// Other operating systems count in other ways.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
pub(super) fn of(_: i32) -> anyhow::Result<Option<MemoryUse>> {
    Ok(None)
}

/// Returns the peak memory of the process `pid` in bytes; none if that is not reported, or it is gone.
#[cfg(target_os = "linux")]
pub(super) fn peak(pid: i32) -> Option<u64> {
    Some(procfs::process::Process::new(pid).ok()?.status().ok()?.vmhwm? << 10)
}

/// Other operating systems count in other ways.
#[cfg(not(target_os = "linux"))]
pub(super) fn peak(_: i32) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_had_at_least_what_it_has() {
        let own = of(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        assert!(own.pss > 0 && own.peak_rss >= own.pss, "{own:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_with_its_number() {
        assert_eq!(of(i32::MAX).unwrap_err().to_string(), "cannot read the memory of process 2147483647");
    }
}
