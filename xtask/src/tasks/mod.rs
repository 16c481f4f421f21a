//! The list of tasks. One task a file: its flags, its help and what it does.

use base::console::Console;
use clap::Subcommand;

mod arguments;
mod bench;
mod build_image;
mod build_qemu;
mod cargo;
mod clients;
mod dist;
mod example_image;
mod fuzz_api;
mod kvm;
mod linters;
mod python;
mod quickstart;
mod release;
mod s3;
mod setup;
mod smoke;
mod soak;
mod stack;
mod test;
mod vm_tier;

/// Makes of the list of tasks the grammar, and the one way to each of them.
macro_rules! tasks {
    ($($name:ident($flags:ty),)+) => {
        /// What to do.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Task {
            $($name($flags),)+
        }

        impl Task {
            /// Does it.
            pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
                match self {
                    $(Self::$name(task) => task.run(console).await,)+
                }
            }
        }
    };
}

tasks! {
    Bench(bench::Bench),
    BuildImage(build_image::BuildImage),
    BuildQemu(build_qemu::BuildQemu),
    Dist(dist::Dist),
    ExampleImage(example_image::ExampleImage),
    FuzzApi(fuzz_api::FuzzApi),
    Quickstart(quickstart::Quickstart),
    Release(release::Release),
    S3(s3::S3),
    Setup(setup::Setup),
    Smoke(smoke::Smoke),
    Soak(soak::Soak),
    Stack(stack::Stack),
    Test(test::Test),
}
