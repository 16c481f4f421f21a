//! `cargo xtask setup --kvm`: a `/dev/kvm` that every user may open, as CI runners need it.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use base::events::{Event, Phase, Reporter};
use base::process::Cmd;

const DEVICE: &str = "/dev/kvm";

/// Rules of the administrator, after those of packages: udev(7).
const RULE_FILE: &str = "/etc/udev/rules.d/99-stack-emulator-kvm.rules";

const RULE: &str = "KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"\n";

/// Lets every user open `/dev/kvm`, by a rule: a mode that is merely changed is changed back by udev's next event. Comes after
/// packages are installed, which is such an event. Without a `/dev/kvm` there is nothing to do.
///
/// # Errors
/// When the rule cannot be written, or the device does not open afterwards.
pub(crate) async fn open_to_everybody(reporter: &dyn Reporter) -> anyhow::Result<()> {
    if !Path::new(DEVICE).exists() {
        let text = format!("there is no `{DEVICE}` here: machines run under software emulation");
        reporter.report(&Event::Warning(&text));
        return Ok(());
    }
    let phase = Phase::start(reporter, "kvm", &format!("Open `{DEVICE}` to every user"));
    as_root(["tee", RULE_FILE]).stdin(RULE).output().await?;
    as_root(["udevadm", "control", "--reload-rules"]).output().await?;
    as_root(["udevadm", "trigger", "--name-match=kvm"]).output().await?;
    as_root(["udevadm", "settle"]).output().await?;
    // Opened, since mode bits do not decide alone.
    opens().with_context(|| format!("`{DEVICE}` does not open, in spite of `{RULE_FILE}`"))?;
    phase.done();
    Ok(())
}

fn opens() -> io::Result<File> {
    File::options().read(true).write(true).open(DEVICE)
}

fn as_root<const N: usize>(command: [&str; N]) -> Cmd {
    if rustix::process::geteuid().is_root() {
        let [program, arguments @ ..] = &command[..] else { unreachable!("no command is empty") };
        Cmd::new(program).args(arguments)
    } else {
        Cmd::new("sudo").arg("-n").args(command)
    }
}
