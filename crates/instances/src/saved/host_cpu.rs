//! The host's processor, as far as a guest that runs on it can see.

/// Model, stepping, microcode and features of the first processor as `/proc/cpuinfo` has them, the features by their digest.
#[cfg(target_os = "linux")]
pub(super) fn identity() -> String {
    use procfs::{CpuInfo, Current};

    let fields =
        ["vendor_id", "model name", "CPU implementer", "CPU part", "CPU revision", "stepping", "microcode"];
    let info = CpuInfo::current().ok();
    let field = |name: &str| info.as_ref().and_then(|info| info.get_field(0, name)).map(str::to_owned);
    let mut parts: Vec<String> = fields.into_iter().filter_map(field).collect();
    if let Some(features) = field("flags").or_else(|| field("Features")) {
        parts.push(base::digest::of_bytes(features.as_bytes()).first_digits(16));
    }
    parts.join(" ")
}

/// The name by which the operating system knows it.
#[cfg(not(target_os = "linux"))]
pub(super) fn identity() -> String {
    use sysinfo::{CpuRefreshKind, System};

    let mut system = System::new();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    system.cpus().first().map(|cpu| format!("{} {}", cpu.vendor_id(), cpu.brand())).unwrap_or_default()
}
