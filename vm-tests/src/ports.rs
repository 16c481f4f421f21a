//! The ports of the image under test, as its manifest names them.

use std::sync::LazyLock;

use image::arch::Arch;
use image::stack::Port;
use tokio::runtime::Builder;
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::qemu::find_img;

use crate::{SOURCE_HOME_VARIABLE, path_from_env};

/// The ports. The images of all architectures have the same.
pub static PORTS: LazyLock<Vec<Port>> = LazyLock::new(|| {
    // Tests have a runtime of their own, which cannot wait here.
    std::thread::spawn(read).join().expect("the manifest of the image can be read")
});

/// A start that a program reads, on ports that no other machine has: any free one for each of the image's.
pub static START: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let ports = PORTS.iter().map(|port| &*format!("--port={}=auto", port.name).leak());
    ["start", "-o", "json"].into_iter().chain(ports).collect()
});

fn read() -> Vec<Port> {
    let home = Home::new(path_from_env(SOURCE_HOME_VARIABLE));
    let arch = Arch::ALL.into_iter().find(|arch| home.image(*arch).is_file());
    let arch = arch.expect("the home under test has an image: run `cargo xtask build-image`");
    let img = find_img(&home).expect("there is a `qemu-img`");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let boot_files = runtime.block_on(BootFiles::of(&home, arch, &img)).expect("the image is valid");
    boot_files.manifest.stack.ports
}
