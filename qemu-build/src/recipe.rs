//! How QEMU is configured: features, devices, patches. `docs/qemu.md` gives the reason of each flag.

/// System emulators to build.
pub(crate) const TARGETS: [&str; 2] = ["x86_64-softmmu", "aarch64-softmmu"];

/// Programs to build and install.
pub(crate) const PROGRAMS: [&str; 3] = ["qemu-system-x86_64", "qemu-system-aarch64", "qemu-img"];

/// Name under which the device lists are put into the source tree.
pub(crate) const DEVICE_LIST: &str = "stack";

/// A text file that is an input of the build: its name and what is in it.
pub(crate) type Input = (&'static str, &'static str);

/// Device lists by target.
pub(crate) const DEVICES: [Input; 2] = [
    ("x86_64-softmmu", include_str!("../devices/x86_64-softmmu.mak")),
    ("aarch64-softmmu", include_str!("../devices/aarch64-softmmu.mak")),
];

/// Patches in the order in which they are applied; both flavours of the source take all of them.
pub(crate) const PATCHES: [Input; 5] = [
    (
        "0001-edk2-images-only-with-blobs.patch",
        include_str!("../patches/0001-edk2-images-only-with-blobs.patch"),
    ),
    (
        "0002-device-trees-only-with-blobs.patch",
        include_str!("../patches/0002-device-trees-only-with-blobs.patch"),
    ),
    (
        "0003-one-memory-map-for-all-devices.patch",
        include_str!("../patches/0003-one-memory-map-for-all-devices.patch"),
    ),
    ("0004-look-at-entered-tlbs-only.patch", include_str!("../patches/0004-look-at-entered-tlbs-only.patch")),
    (
        "0005-device-of-an-access-by-its-own-map.patch",
        include_str!("../patches/0005-device-of-an-access-by-its-own-map.patch"),
    ),
];

/// Python packages, with digests, that configure needs and the reduced tarball lacks.
pub(crate) const WHEELS: Input = ("requirements.txt", include_str!("../requirements.txt"));

/// Flags for every host.
const FLAGS: [&str; 14] = [
    // Where programs look for their data is relative to where they are; this prefix is only what that is relative to.
    "--prefix=/usr",
    "--without-default-features",
    "--without-default-devices",
    "--enable-system",
    "--enable-tools",
    "--enable-tcg",
    "--enable-slirp",
    "--enable-zstd",
    "--enable-pixman",
    "--enable-fdt=system",
    "--disable-install-blobs",
    "--disable-debug-info",
    "--disable-qom-cast-debug",
    // Everything that the build needs is in the tree by then; nothing may be fetched behind our back.
    "--disable-download",
];

/// Flags for Linux hosts.
const LINUX: [&str; 6] = [
    "--enable-kvm",
    "--enable-linux-io-uring",
    "--enable-linux-aio",
    "--enable-seccomp",
    "--enable-malloc-trim",
    "--enable-membarrier",
];

/// Flags for macOS hosts.
const MACOS: [&str; 1] = ["--enable-hvf"];

/// Returns the arguments of `configure` on a host with the operating system `os`, as [`std::env::consts::OS`] names it.
pub(crate) fn configure_args(os: &str) -> Vec<String> {
    let mut args = vec![format!("--target-list={}", TARGETS.join(","))];
    args.extend(FLAGS.map(str::to_owned));
    match os {
        "macos" => args.extend(MACOS.map(str::to_owned)),
        _ => args.extend(LINUX.map(str::to_owned)),
    }
    args.extend(TARGETS.iter().map(|target| {
        let arch = target.strip_suffix("-softmmu").unwrap_or(target);
        format!("--with-devices-{arch}={DEVICE_LIST}")
    }));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_gets_kvm_and_macos_hvf() {
        insta::assert_snapshot!(configure_args("linux").join("\n"), @r"
        --target-list=x86_64-softmmu,aarch64-softmmu
        --prefix=/usr
        --without-default-features
        --without-default-devices
        --enable-system
        --enable-tools
        --enable-tcg
        --enable-slirp
        --enable-zstd
        --enable-pixman
        --enable-fdt=system
        --disable-install-blobs
        --disable-debug-info
        --disable-qom-cast-debug
        --disable-download
        --enable-kvm
        --enable-linux-io-uring
        --enable-linux-aio
        --enable-seccomp
        --enable-malloc-trim
        --enable-membarrier
        --with-devices-x86_64=stack
        --with-devices-aarch64=stack
        ");
        let macos = configure_args("macos");
        assert!(macos.contains(&"--enable-hvf".to_owned()));
        assert!(!macos.iter().any(|arg| arg.contains("kvm") || arg.contains("seccomp")), "{macos:?}");
    }

    #[test]
    fn every_target_has_a_device_list() {
        assert_eq!(DEVICES.map(|(target, _)| target), TARGETS);
    }
}
