//! `/init` of the fast initial RAM file system.
//!
//! The distribution's own one is built to find any root on any machine, with a shell, udev and dozens of
//! modules; on an emulated CPU that alone takes 6 s. This one knows the machine that it runs on: it loads the few
//! modules that lie beside it (`/modules/*.ko`, not compressed, in the order of their names), waits for the
//! partition that `root=` on the kernel command line names, mounts it, and becomes the system's `/sbin/init`. On the
//! way it does what would need udev later: it mounts the volume with this start's settings, sets up the network
//! card and names the ports to the host.
//!
//! With `stack.probe` on the command line it only reports on the console and powers off, which verifies that an
//! accelerator really runs a guest.

mod block;
mod cmdline;
mod network;
mod ports;
mod uevent;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use protocol::names::{labels, markers};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::console;
use block::Wanted;
use cmdline::Cmdline;

/// Where that volume is mounted. `/run` moves into the new root with it.
const CONFIG_DIR: &str = "/run/stack/config";

/// The only units that systemd sees after a direct boot, once provisioning has put them there: a few dozen instead of four
/// hundred that it would read first. Booted by other means, the system has all of Debian's.
const DIRECT_UNITS: &str = "/usr/lib/stack/direct";

/// A directory that does not exist.
const NO_GENERATORS: &str = "/usr/lib/stack/direct/generators";

const MODULES: &str = "/modules";
const NEW_ROOT: &str = "/root";

/// How long the root partition may take to appear. Under emulation on a busy machine seconds are normal.
const ROOT_DEADLINE: Duration = Duration::from_mins(1);

/// Runs as process 1 and becomes the system's init. On failure it powers the machine off: a panic would leave it
/// hanging, and the host sees at once that it has ended.
pub(crate) fn run() {
    if let Err(error) = boot() {
        let _ = console::line(&format!("{}: {error:#}", markers::INIT_FAILED));
    }
    let _ = reboot(RebootCommand::PowerOff);
}

/// Comes back only for a probe or on failure.
fn boot() -> anyhow::Result<()> {
    mount_kernel_file_systems()?;
    let cmdline = fs::read_to_string("/proc/cmdline").context("cannot read `/proc/cmdline`")?;
    let cmdline = Cmdline::parse(&cmdline);
    if cmdline.probe {
        return console::line(markers::PROBE_OK).context("cannot write to the console");
    }
    load_modules(Path::new(MODULES))?;
    let root = cmdline.root.as_deref().context("no `root=` on the kernel command line")?;
    let device = block::wait_for(&Wanted::parse(root)?, ROOT_DEADLINE)?;
    mount_root(&device, &cmdline)?;
    // None of these may prevent the boot: it must be possible to find out what went wrong.
    for (what, result) in [
        ("settings volume", mount_config()),
        ("network", set_up_network(&cmdline)),
        ("type information", hide_type_information()),
        ("ports", ports::link(Path::new("/sys/class/virtio-ports"), Path::new("/dev")).map_err(Into::into)),
    ] {
        if let Err(error) = result {
            console::line(&format!("{what}: {error:#}"))?;
        }
    }
    switch_root()?;
    Err(Command::exec(&mut init_command(&cmdline)).into())
}

fn mount_kernel_file_systems() -> anyhow::Result<()> {
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    for (kind, target, flags, options) in [
        ("devtmpfs", "/dev", MountFlags::NOSUID, Some(c"mode=0755")),
        ("proc", "/proc", safe, None),
        ("sysfs", "/sys", safe, None),
        // The options with which systemd would mount it: it keeps what it finds.
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755,size=20%,nr_inodes=800k")),
    ] {
        fs::create_dir_all(target).with_context(|| format!("cannot create `{target}`"))?;
        mount(kind, target, kind, flags, options).with_context(|| format!("cannot mount {kind}"))?;
    }
    Ok(())
}

fn load_modules(dir: &Path) -> anyhow::Result<()> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("cannot list the modules"),
    };
    paths.sort();
    for path in paths {
        let file = File::open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        match finit_module(&file, c"", 0) {
            // The kernel has it built in, or has loaded it by itself.
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot load `{}`", path.display()));
            }
        }
    }
    Ok(())
}

fn mount_root(device: &Path, cmdline: &Cmdline) -> anyhow::Result<()> {
    fs::create_dir_all(NEW_ROOT)?;
    let (mut flags, options) = mount_options(cmdline.root_flags.as_deref().unwrap_or_default());
    flags.set(MountFlags::RDONLY, !cmdline.writable);
    let kind = cmdline.root_type.as_deref().unwrap_or("ext4");
    let options = CString::new(options)?;
    mount(device, NEW_ROOT, kind, flags, options.as_c_str())
        .with_context(|| format!("cannot mount `{}` as {kind}", device.display()))
}

/// Splits mount options, as mount(8) does, into the flags that the kernel takes as such and the words for the file system.
fn mount_options(text: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut words = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            word => words.push(word),
        }
    }
    (flags, words.join(","))
}

fn mount_config() -> anyhow::Result<()> {
    let Some(device) = block::find_fat(labels::CONFIG)? else { return Ok(()) };
    fs::create_dir_all(CONFIG_DIR)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(&device, CONFIG_DIR, "vfat", flags, c"umask=0077")
        .with_context(|| format!("cannot mount `{}`", device.display()))
}

fn set_up_network(cmdline: &Cmdline) -> anyhow::Result<()> {
    let Some(text) = &cmdline.network else { return Ok(()) };
    network::Settings::parse(text)
        .with_context(|| format!("`ip={text}` is not a static configuration"))?
        .apply()
}

/// Covers the kernel's type information (BTF), which only programs for its BPF machine need. systemd tries such programs
/// before anything else, to learn that no unit here uses them; without the information it learns so 1 s earlier.
fn hide_type_information() -> anyhow::Result<()> {
    let dir = "/sys/kernel/btf";
    if !Path::new(dir).is_dir() {
        return Ok(());
    }
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("none", dir, "tmpfs", flags, None).with_context(|| format!("cannot cover `{dir}`"))
}

/// Makes the mounted root the root, with the kernel's file systems moved along. What the initial RAM file system
/// held is deleted first: it cannot be reached afterwards, and it would stay in memory, and in every snapshot of it.
fn switch_root() -> anyhow::Result<()> {
    for dir in ["/dev", "/proc", "/sys", "/run"] {
        mount_move(dir, format!("{NEW_ROOT}{dir}")).with_context(|| format!("cannot move `{dir}`"))?;
    }
    let _ = fs::remove_dir_all(MODULES);
    let _ = fs::remove_file("/init");
    std::env::set_current_dir(NEW_ROOT)?;
    mount_move(".", "/").context("cannot move the root")?;
    rustix::process::chroot(".").context("cannot enter the root")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// The system's init with the arguments and variables that the kernel gave this one.
fn init_command(cmdline: &Cmdline) -> Command {
    let program = cmdline.init.as_deref().unwrap_or("/sbin/init");
    #[expect(clippy::disallowed_methods, reason = "this process becomes it; there is no child to report on")]
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    if Path::new(DIRECT_UNITS).is_dir() {
        command.env("SYSTEMD_UNIT_PATH", DIRECT_UNITS);
        // No unit of such a boot is generated, and systemd would wait for a dozen programs that find that out.
        command.env("SYSTEMD_GENERATOR_PATH", NO_GENERATORS);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_options_are_split_into_flags_and_words() {
        let (flags, words) = mount_options("noatime,commit=30,lazytime,barrier=1");
        assert_eq!(flags, MountFlags::NOATIME | MountFlags::LAZYTIME);
        assert_eq!(words, "commit=30,barrier=1");
        assert_eq!(mount_options(""), (MountFlags::empty(), String::new()));
    }
}
