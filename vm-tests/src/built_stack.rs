//! Images of other stacks, built for one test.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use image::arch::Arch;
use tokio::process::Command;
use vm::home::HOME_VARIABLE;

use crate::emulator::{Emulator, Run, finished};
use crate::home::TestHome;
use crate::{XTASK_VARIABLE, path_from_env};

/// The program in a home with the image of the stack `name` alone, which is built from the compose file or directory `source` with
/// these archives of container images.
///
/// # Panics
/// When it cannot be built, or is of another stack.
pub async fn built_stack(name: &str, source: &Path, images: &[impl AsRef<OsStr>]) -> Emulator {
    let emulator = without_image(name);
    build(&emulator, source, images).await.expect(0);
    assert_eq!(emulator.home().manifest().stack.name, name);
    emulator
}

/// What is printed when the image of such a stack is not built.
///
/// # Panics
/// When it is built.
pub async fn failed_build(name: &str, source: &Path, images: &[impl AsRef<OsStr>]) -> String {
    build(&without_image(name), source, images).await.expect(1).stderr
}

fn without_image(name: &str) -> Emulator {
    Emulator::new(TestHome::new(Arch::Amd64).without_image().for_stack(name))
}

/// Builds an image of such a stack into the home of `emulator`.
pub async fn build(emulator: &Emulator, source: &Path, images: &[impl AsRef<OsStr>]) -> Run {
    #[expect(clippy::disallowed_methods, reason = "the tests check raw exit codes")]
    let mut command = Command::new(path_from_env(XTASK_VARIABLE));
    command.args(["build-image", "amd64", "--stack"]).arg(source);
    for image in images {
        command.arg("--image").arg(image);
    }
    command.env(HOME_VARIABLE, emulator.home().home().root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    finished(command.spawn().expect("the built program starts")).await
}
