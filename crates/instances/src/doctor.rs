//! Checks whether this machine can run the emulator. Each check gives its result in one line, and what to do if it fails.

use base::events::{Phase, Reporter};
use image::arch::Arch;
use serde::Serialize;
use vm::accel::{Choice, Chooser, Unusable};
use vm::boot_files::BootFiles;
use vm::error::Explain;
use vm::qemu::Qemu;

use crate::instance::Instance;
use crate::ports::FilePort;

mod host_checks;
mod port_checks;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The emulator runs, but less well than it could.
    Warn,
    /// The emulator does not run.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: short, stable.
    pub name: &'static str,
    /// What was found.
    pub verdict: Verdict,
    /// The finding for people, one line.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, text: String) -> Self {
        Self { name, verdict: Verdict::Ok, text, hint: None }
    }

    fn warn(name: &'static str, text: String, hint: Option<String>) -> Self {
        Self { name, verdict: Verdict::Warn, text, hint }
    }

    fn fail(name: &'static str, text: String, hint: Option<String>) -> Self {
        Self { name, verdict: Verdict::Fail, text, hint }
    }

    /// A failed check, with the text of the error with which a start would end.
    fn failed(name: &'static str, error: &(dyn Explain + 'static), hint: Option<String>) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        Self::fail(name, text, hint)
    }
}

/// What a start would choose ports by, besides the instance's record.
pub struct PortSources<'a> {
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What files of settings name.
    pub file_ports: &'a [FilePort],
    /// Whether a new instance gets automatic ports.
    pub automatic: bool,
}

/// The program's hint for an error.
pub type Hint<'a> = &'a dyn Fn(&(dyn Explain + 'static)) -> Option<String>;

/// Checks everything that a start of `instance` with an image for `arch` needs.
pub async fn examine(
    instance: &Instance,
    arch: Arch,
    sources: &PortSources<'_>,
    hint: Hint<'_>,
    reporter: &dyn Reporter,
) -> Vec<Check> {
    let home = instance.home();
    let mut checks = vec![
        host_checks::home(home.root()),
        host_checks::disk_space(home.root()),
        host_checks::sockets(instance.dir().root()),
    ];
    checks.extend(host_checks::connections());
    let qemu = match Qemu::find(home, arch).await {
        Ok(qemu) => qemu,
        Err(error) => {
            checks.push(Check::failed("qemu", &error, hint(&error)));
            return checks;
        }
    };
    checks.push(qemu_found(&qemu));
    let boot = match BootFiles::of(home, arch, qemu.img()).await {
        Ok(boot) => boot,
        Err(error) => {
            checks.push(Check::failed("image", &error, hint(&error)));
            return checks;
        }
    };
    checks.push(image_found(&boot));
    let phase = Phase::start(reporter, "accelerator", "Try the accelerator");
    checks.push(accelerator(instance, &qemu, &boot, hint).await);
    phase.done();
    checks.push(port_checks::all(instance, &boot.manifest.stack.ports, sources, hint));
    checks
}

fn qemu_found(qemu: &Qemu) -> Check {
    let capabilities = qemu.capabilities();
    let features = [
        ("io_uring", capabilities.io_uring),
        ("sandbox", capabilities.sandbox),
        ("generation id", capabilities.vmgenid),
    ];
    let has: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let features = if has.is_empty() { String::new() } else { format!(" with {}", has.join(", ")) };
    Check::ok("qemu", format!("QEMU {}{features}: `{}`", qemu.version(), qemu.system().display()))
}

fn image_found(boot: &BootFiles) -> Check {
    let mib = boot.image.stamp.size.div_ceil(1 << 20);
    let build = &boot.manifest.build;
    let name = &boot.manifest.stack.name;
    Check::ok("image", format!("{name} for {}, built {} ({mib} MiB)", boot.manifest.arch, build.time))
}

async fn accelerator(instance: &Instance, qemu: &Qemu, boot: &BootFiles, hint: Hint<'_>) -> Check {
    let boot = boot.direct_boot();
    let chooser = Chooser { home: instance.home(), qemu, boot: &boot };
    match chooser.choose(Choice::Auto).await {
        Ok(decision) => match (&decision.fallback, decision.notice()) {
            // It follows from the requested architecture, and is not a fault of this machine.
            (Some(Unusable::OtherArchitecture { .. }), Some(notice)) => Check::ok("accelerator", notice),
            (Some(reason), Some(notice)) => Check::warn("accelerator", notice, hint(reason)),
            _ => Check::ok("accelerator", format!("`{}` runs a guest", decision.accelerator)),
        },
        Err(error) => Check::failed("accelerator", &error, hint(&error)),
    }
}
