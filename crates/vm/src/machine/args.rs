//! From a machine description to QEMU's command line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use image::arch::Arch;
use image::stack::Network;

use super::Accelerator;
use super::{
    Access, Begin, DirectBoot, Disk, DiskFile, HostFeatures, Launch, MEMORY, Memory, NETDEV, PortEnd,
    Topology,
};

/// One option's value: comma-separated properties, in which a comma within a value is doubled.
struct Value(OsString);

impl Value {
    fn new(head: impl AsRef<OsStr>) -> Self {
        Self(escaped(head.as_ref()))
    }

    fn with(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.push(",");
        self.0.push(key);
        self.0.push("=");
        self.0.push(escaped(value.as_ref()));
        self
    }

    fn with_if(self, condition: bool, key: &str, value: impl AsRef<OsStr>) -> Self {
        if condition { self.with(key, value) } else { self }
    }
}

/// Escapes `text` for QEMU's option parser, which reads `,,` as one comma.
pub(crate) fn escaped(text: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::with_capacity(text.len());
    for &byte in text.as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    /// An option whose value is taken as it is.
    fn plain(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.flag(name);
        self.0.push(value.as_ref().to_owned());
    }

    fn option(&mut self, name: &str, value: Value) {
        self.flag(name);
        self.0.push(value.0);
    }
}

pub(super) fn all(topology: &Topology, launch: &Launch, features: HostFeatures) -> Vec<OsString> {
    let mut args = Args::default();
    process(&mut args, launch, features);
    board(&mut args, topology, launch.begin);
    memory(&mut args, topology, &launch.memory);
    // In memory that is there already, the kernel is too.
    if launch.begin != Begin::Devices {
        boot(&mut args, &launch.boot);
    }
    args.0.extend(monitor(&launch.qmp, launch.listening));
    console(&mut args, &launch.console);
    for disk in &topology.disks {
        if let Some(file) = launch.disks.get(&disk.id) {
            block(&mut args, disk, file, features);
        }
    }
    network(&mut args, launch.network);
    ports(&mut args, topology, launch);
    args.option("-object", Value::new("rng-random").with("id", "rng0").with("filename", "/dev/urandom"));
    args.option("-device", Value::new("virtio-rng-pci").with("rng", "rng0"));
    if topology.generation_id {
        // `auto` is a new random id for every process, which informs a resumed guest that it is a clone.
        args.option("-device", Value::new("vmgenid").with("guid", "auto"));
    }
    args.0
}

fn process(args: &mut Args, launch: &Launch, features: HostFeatures) {
    args.option("-name", Value::new(&launch.name).with("debug-threads", "on"));
    // Neither files of the host's administrator nor defaults of this QEMU take part: only what is written here.
    args.flag("-no-user-config");
    args.flag("-nodefaults");
    args.plain("-display", "none");
    if features.sandbox {
        let deny = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];
        args.option(
            "-sandbox",
            deny.into_iter().fold(Value::new("on"), |value, what| value.with(what, "deny")),
        );
    }
    // A guest that reboots ends the process: every boot is a start of ours, with ports and configuration of its own.
    args.flag("-no-reboot");
    if launch.begin != Begin::Boot {
        args.flag("-S");
        args.plain("-incoming", "defer");
    }
    if is_bare(launch.begin) {
        // QEMU writes devices alone without the name of their machine in front, and would miss it. What this machine saves is without it
        // as well, and there is no other time to say so.
        args.plain("-global", "migration.send-configuration=off");
    }
}

/// Whether what QEMU loads has no description of its machine.
const fn is_bare(begin: Begin) -> bool {
    matches!(begin, Begin::Devices | Begin::BareState)
}

fn board(args: &mut Args, topology: &Topology, begin: Begin) {
    let machine = Value::new(&topology.machine_type).with("memory-backend", MEMORY).with_if(
        is_bare(begin),
        // Nor is there a description of the state behind it.
        "suppress-vmdesc",
        "on",
    );
    args.option(
        "-machine",
        match topology.arch {
            // Nothing to probe that a guest of ours has no use for: ports of another hypervisor, keyboard controller, graphics, disks
            // other than virtio's, SMBus. Without system management mode no vCPU has a second map of the memory, which QEMU would
            // rebuild with each device.
            Arch::Amd64 => ["vmport", "i8042", "graphics", "sata", "smbus", "smm"]
                .into_iter()
                .fold(machine, |machine, part| machine.with(part, "off")),
            Arch::Arm64 => machine.with("gic-version", "max"),
        },
    );
    args.option(
        "-accel",
        match topology.accelerator {
            Accelerator::Kvm => Value::new("kvm"),
            Accelerator::Hvf => Value::new("hvf"),
            Accelerator::Tcg => Value::new("tcg").with("thread", "multi"),
        },
    );
    args.plain("-cpu", &topology.cpu_model);
    args.option("-smp", Value::new(topology.cpus.to_string()));
    args.option("-m", Value::new(format!("{}M", topology.memory_mib)));
    // The guest's clock starts as the host's and keeps running when the guest is stopped.
    args.option("-rtc", Value::new("base=utc"));
}

/// An object of one id whatever it is made of, so that a state that was saved with one kind can be loaded with another.
fn memory(args: &mut Args, topology: &Topology, memory: &Memory) {
    let object = match memory {
        Memory::Anonymous => Value::new("memory-backend-ram"),
        Memory::Shared(path) => Value::new("memory-backend-file").with("mem-path", path).with("share", "on"),
        // The file is only read, and the memory can be written all the same.
        Memory::Private(path) => Value::new("memory-backend-file")
            .with("mem-path", path)
            .with("share", "off")
            .with("readonly", "on")
            .with("rom", "off"),
    };
    let size = format!("{}M", topology.memory_mib);
    args.option("-object", object.with("id", MEMORY).with("size", size));
}

fn boot(args: &mut Args, boot: &DirectBoot) {
    args.plain("-kernel", &boot.kernel);
    args.plain("-initrd", &boot.initrd);
    args.plain("-append", &boot.cmdline);
}

/// The monitor on a unix socket, which may be there already.
pub(crate) fn monitor(socket: &Path, listening: Option<i32>) -> Vec<OsString> {
    let mut args = Args::default();
    args.option(
        "-chardev",
        match listening {
            None => socket_chardev("qmp", "path", socket),
            Some(number) => socket_chardev("qmp", "fd", number.to_string()),
        },
    );
    args.option("-mon", Value::new("chardev=qmp").with("mode", "control"));
    args.0
}

fn console(args: &mut Args, file: &Path) {
    args.option("-chardev", file_chardev("console", file));
    args.plain("-serial", "chardev:console");
}

fn block(args: &mut Args, disk: &Disk, file: &DiskFile, features: HostFeatures) {
    // From the lowest to the one that the guest sees: QEMU must know a node before it is referred to.
    let chain: Vec<&DiskFile> = file.chain().collect();
    for (depth, file) in chain.into_iter().enumerate().rev() {
        nodes(args, disk, file, depth, features);
    }
    args.option(
        "-device",
        Value::new("virtio-blk-pci")
            .with("id", format!("disk-{}", disk.id))
            .with("drive", &disk.id)
            .with("serial", &disk.id)
            // The guest would take an error of the host's disk for one of its own, and write no more until its next boot. So it
            // pauses, and continues with the same request when the host's disk has been fixed. No part of its state.
            .with("werror", "stop")
            .with("rerror", "stop"),
    );
}

/// Name of the node that is so many below the one that the guest sees.
fn node(disk: &Disk, depth: usize) -> String {
    if depth == 0 { disk.id.clone() } else { format!("{}-{depth}", disk.id) }
}

fn nodes(args: &mut Args, disk: &Disk, file: &DiskFile, depth: usize, features: HostFeatures) {
    let writable = disk.access == Access::Write && depth == 0;
    let name = node(disk, depth);
    args.option(
        "-blockdev",
        Value::new("driver=file")
            .with("node-name", format!("{name}-file"))
            .with("filename", &file.path)
            .with_if(!writable, "read-only", "on")
            .with_if(writable, "discard", "unmap")
            .with_if(features.io_uring, "aio", "io_uring"),
    );
    args.option(
        "-blockdev",
        Value::new(format!("driver={}", file.format.as_str()))
            .with("node-name", &name)
            .with("file", format!("{name}-file"))
            .with_if(file.backing.is_some(), "backing", node(disk, depth + 1))
            .with_if(!writable, "read-only", "on")
            // What the guest trims, or overwrites with zeroes, takes no space on the host.
            .with_if(writable, "discard", "unmap")
            .with_if(writable, "detect-zeroes", "unmap"),
    );
}

fn network(args: &mut Args, network: Network) {
    // Forwards from the host are added through the monitor once the guest may be talked to.
    args.option(
        "-netdev",
        Value::new("user").with("id", NETDEV).with_if(network == Network::Closed, "restrict", "on"),
    );
    args.option(
        "-device",
        Value::new("virtio-net-pci")
            .with("netdev", NETDEV)
            // An option ROM is part of a snapshot's state and of no use to a kernel that is started directly.
            .with("romfile", "")
            // A resumed card would have its guest announce it, in a network that has no other machine; and QEMU's timer for that makes
            // it crash when it ends.
            .with("guest_announce", "off"),
    );
}

fn ports(args: &mut Args, topology: &Topology, launch: &Launch) {
    args.option("-device", Value::new("virtio-serial-pci").with("id", "ports"));
    for (number, name) in topology.ports.iter().enumerate() {
        let Some(end) = launch.ports.get(name) else { continue };
        let id = port_chardev(number);
        args.option(
            "-chardev",
            match end {
                PortEnd::Socket(path) => socket_chardev(&id, "path", path),
                PortEnd::File(path) => file_chardev(&id, path),
            },
        );
        args.option(
            "-device",
            // Port 0 is reserved for a console.
            Value::new("virtserialport")
                .with("bus", "ports.0")
                .with("nr", (number + 1).to_string())
                .with("chardev", &id)
                .with("name", name),
        );
    }
}

/// Id of the character device behind the virtio-serial port that has this number in the topology.
pub fn port_chardev(number: usize) -> String {
    format!("port{number}")
}

fn socket_chardev(id: &str, key: &str, place: impl AsRef<OsStr>) -> Value {
    Value::new("socket").with("id", id).with(key, place).with("server", "on").with("wait", "off")
}

fn file_chardev(id: &str, path: &Path) -> Value {
    Value::new("file").with("id", id).with("path", path).with("append", "on")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::super::tests::{launch, topology};
    use protocol::names::ports;

    use super::super::DISK_ROOT;
    use super::*;
    use crate::accel::Host;

    const ALL: HostFeatures = HostFeatures { io_uring: true, sandbox: true };

    /// One option a line.
    fn shown(topology: &Topology, launch: &Launch, features: HostFeatures) -> String {
        let args = all(topology, launch, features);
        let mut text = String::new();
        for arg in args {
            let arg = arg.to_string_lossy().into_owned();
            text.push(if arg.starts_with('-') { '\n' } else { ' ' });
            text.push_str(&arg);
        }
        text
    }

    /// The options that the accelerator and the architecture decide.
    fn board_of(arch: Arch, accelerator: Accelerator) -> String {
        let text = shown(&topology(arch, accelerator), &launch(), ALL);
        let board = ["-machine", "-accel", "-cpu"];
        text.lines()
            .filter(|line| board.iter().any(|name| line.starts_with(name)))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn the_whole_command_line_of_an_instance() {
        assert_snapshot!(shown(&topology(Arch::Amd64, Accelerator::Kvm), &launch(), ALL), @"

        -name stack-emulator default,debug-threads=on
        -no-user-config
        -nodefaults
        -display none
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -no-reboot
        -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off
        -accel kvm
        -cpu host
        -smp 2
        -m 2048M
        -rtc base=utc
        -object memory-backend-ram,id=ram,size=2048M
        -kernel /boot/vmlinuz
        -initrd /boot/initrd
        -append root=PARTLABEL=stack-root quiet,really
        -chardev socket,id=qmp,path=/run/e/qmp,server=on,wait=off
        -mon chardev=qmp,mode=control
        -chardev file,id=console,path=/i/console.log,append=on
        -serial chardev:console
        -blockdev driver=file,node-name=root-file,filename=/i/disk.qcow2,discard=unmap,aio=io_uring
        -blockdev driver=qcow2,node-name=root,file=root-file,discard=unmap,detect-zeroes=unmap
        -device virtio-blk-pci,id=disk-root,drive=root,serial=root,werror=stop,rerror=stop
        -netdev user,id=net0
        -device virtio-net-pci,netdev=net0,romfile=,guest_announce=off
        -device virtio-serial-pci,id=ports
        -chardev socket,id=port0,path=/run/e/qga,server=on,wait=off
        -device virtserialport,bus=ports.0,nr=1,chardev=port0,name=org.qemu.guest_agent.0
        -object rng-random,id=rng0,filename=/dev/urandom
        -device virtio-rng-pci,rng=rng0
        -device vmgenid,guid=auto
        ");
    }

    #[test]
    fn a_provisioning_machine_has_read_only_volumes_and_a_progress_port() {
        let topology =
            topology(Arch::Amd64, Accelerator::Tcg).disk("seed", Access::Read).port(ports::PROGRESS);
        let mut launch = launch();
        launch.disks.insert("seed".to_owned(), DiskFile::raw("/b/seed.img"));
        launch.ports.insert(ports::PROGRESS.to_owned(), PortEnd::Socket("/run/b/progress".into()));
        let text = shown(&topology, &launch, HostFeatures::default());
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains("seed") || line.contains("port1")).collect();
        assert_snapshot!(lines.join("\n"), @r"
        -blockdev driver=file,node-name=seed-file,filename=/b/seed.img,read-only=on
        -blockdev driver=raw,node-name=seed,file=seed-file,read-only=on
        -device virtio-blk-pci,id=disk-seed,drive=seed,serial=seed,werror=stop,rerror=stop
        -chardev socket,id=port1,path=/run/b/progress,server=on,wait=off
        -device virtserialport,bus=ports.0,nr=2,chardev=port1,name=org.stack.progress
        ");
    }

    #[test]
    fn every_pair_of_host_and_guest_has_its_board() {
        let hosts = [
            ("Linux", Accelerator::Kvm, Arch::Amd64),
            ("Linux", Accelerator::Kvm, Arch::Arm64),
            ("macOS", Accelerator::Hvf, Arch::Amd64),
            ("macOS", Accelerator::Hvf, Arch::Arm64),
        ];
        let mut text = String::new();
        for (system, native, arch) in hosts {
            for guest in Arch::ALL {
                let possible = Host { native, arch: Some(arch) }.obstacle(native, guest).is_none();
                let accelerator = if possible { native } else { Accelerator::Tcg };
                let board = board_of(guest, accelerator).replace('\n', " ");
                writeln!(text, "{guest} on {system} {arch}: {board}").unwrap();
            }
        }
        assert_snapshot!(text, @"
        amd64 on Linux amd64: -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off -accel kvm -cpu host
        arm64 on Linux amd64: -machine virt-10.2,memory-backend=ram,gic-version=max -accel tcg,thread=multi -cpu max,lpa2=off,pauth=off,sme=off,sve=off
        amd64 on Linux arm64: -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off -accel tcg,thread=multi -cpu max,avx2=off,la57=off,erms=off,fsrm=off
        arm64 on Linux arm64: -machine virt-10.2,memory-backend=ram,gic-version=max -accel kvm -cpu host
        amd64 on macOS amd64: -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off -accel hvf -cpu host
        arm64 on macOS amd64: -machine virt-10.2,memory-backend=ram,gic-version=max -accel tcg,thread=multi -cpu max,lpa2=off,pauth=off,sme=off,sve=off
        amd64 on macOS arm64: -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off -accel tcg,thread=multi -cpu max,avx2=off,la57=off,erms=off,fsrm=off
        arm64 on macOS arm64: -machine virt-10.2,memory-backend=ram,gic-version=max -accel hvf -cpu host
        ");
    }

    #[test]
    fn a_closed_network_reaches_nothing_outside() {
        let of = |network| {
            let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &Launch { network, ..launch() }, ALL);
            text.lines().find(|line| line.starts_with("-netdev")).map(str::to_owned).unwrap()
        };
        assert_eq!(of(Network::Open), "-netdev user,id=net0");
        assert_eq!(of(Network::Closed), "-netdev user,id=net0,restrict=on");
    }

    #[test]
    fn memory_has_one_id_whatever_holds_it() {
        let of = |memory: Memory| {
            let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &Launch { memory, ..launch() }, ALL);
            text.lines().find(|line| line.contains("id=ram")).map(str::to_owned)
        };
        let shared = Memory::Shared("/proc/self/fd/9".into());
        let all = [Memory::Anonymous, shared, Memory::Private("/s/memory".into())];
        assert_snapshot!(all.map(of).map(Option::unwrap).join("\n"), @"
        -object memory-backend-ram,id=ram,size=2048M
        -object memory-backend-file,mem-path=/proc/self/fd/9,share=on,id=ram,size=2048M
        -object memory-backend-file,mem-path=/s/memory,share=off,readonly=on,rom=off,id=ram,size=2048M
        ");
    }

    #[test]
    fn a_machine_that_begins_with_a_saved_state_waits_for_it() {
        let of = |begin: Begin| {
            let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &Launch { begin, ..launch() }, ALL);
            let lines = text.lines().filter(|line| {
                ["-machine", "-S", "-incoming", "-global"].iter().any(|flag| line.starts_with(flag))
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_snapshot!([Begin::Boot, Begin::State, Begin::BareState, Begin::Devices].map(of).join("\n\n"), @"
        -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off

        -S
        -incoming defer
        -machine pc-q35-10.2,memory-backend=ram,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off

        -S
        -incoming defer
        -global migration.send-configuration=off
        -machine pc-q35-10.2,memory-backend=ram,suppress-vmdesc=on,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off

        -S
        -incoming defer
        -global migration.send-configuration=off
        -machine pc-q35-10.2,memory-backend=ram,suppress-vmdesc=on,vmport=off,i8042=off,graphics=off,sata=off,smbus=off,smm=off
        ");
    }

    #[test]
    fn a_host_without_io_uring_and_sandbox_gets_neither() {
        let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &launch(), HostFeatures::default());
        assert!(!text.contains("io_uring") && !text.contains("-sandbox"), "{text}");
    }

    #[test]
    fn commas_in_paths_are_doubled_where_options_are_parsed_and_nowhere_else() {
        let mut launch = launch();
        launch.disks.insert(DISK_ROOT.to_owned(), DiskFile::qcow2("/a,b/disk.qcow2"));
        launch.boot.kernel = "/a,b/vmlinuz".into();
        launch.qmp = "/a,b/qmp".into();
        let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &launch, ALL);
        assert!(text.contains("filename=/a,,b/disk.qcow2,discard=unmap"), "{text}");
        assert!(text.contains("-kernel /a,b/vmlinuz\n"), "{text}");
        assert!(text.contains("path=/a,,b/qmp,server=on"), "{text}");
        assert!(text.contains("-append root=PARTLABEL=stack-root quiet,really\n"), "{text}");
    }

    #[test]
    fn a_monitor_that_listens_already_is_given_by_its_number() {
        let launch = Launch { listening: Some(9), ..launch() };
        let text = shown(&topology(Arch::Amd64, Accelerator::Tcg), &launch, ALL);
        assert!(text.contains("-chardev socket,id=qmp,fd=9,server=on,wait=off\n-mon chardev=qmp"), "{text}");
    }

    /// QEMU's reading of a value: up to the first single comma, with doubled ones made single.
    fn parsed(text: &OsStr) -> (Vec<u8>, bool) {
        use std::os::unix::ffi::OsStrExt;
        let mut value = Vec::new();
        let mut bytes = text.as_bytes().iter().peekable();
        while let Some(&byte) = bytes.next() {
            if byte == b',' && bytes.next_if(|next| **next == b',').is_none() {
                return (value, false);
            }
            value.push(byte);
        }
        (value, true)
    }

    proptest! {
        #[test]
        fn qemu_reads_back_every_value_as_it_was(bytes: Vec<u8>) {
            use std::os::unix::ffi::OsStrExt;
            let (value, whole) = parsed(&escaped(OsStr::from_bytes(&bytes)));
            prop_assert!(whole);
            prop_assert_eq!(value, bytes);
        }
    }
}
