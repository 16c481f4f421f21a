//! `cargo xtask example-image`.

use std::io::{self, Write};

use anyhow::Context;
use base::console::Console;
use clap::Args;
use image::arch::Arch;
use image_build::example_image::example_image;

use crate::packages::{self, Feature};

/// Directory of the repository with the descriptions of example images.
const IMAGES: &str = "examples/images";

/// Make a container image for the examples and the tests, from Debian's packages
///
/// Prints the path of the archive, which is kept in the cache. `examples/images/` has the descriptions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask example-image miniflux
  cargo xtask build-image amd64 --stack examples/miniflux \\
      --image \"$(cargo xtask example-image miniflux)\" --image \"$(cargo xtask example-image postgres)\"")]
pub(crate) struct ExampleImage {
    /// Name of the image: that of a file in `examples/images`, without `.toml`
    #[arg(value_name = "NAME")]
    name: String,
}

impl ExampleImage {
    /// Makes the image.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::Bootstrap], console).await?;
        let arch = Arch::host().context("there are no images for this machine's architecture")?;
        let cache = base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
        let dir = std::env::current_dir().context("the working directory is gone")?.join(IMAGES);
        let file = example_image(&dir, &self.name, arch, &cache, console).await?;
        writeln!(io::stdout(), "{}", file.display()).context("cannot write to stdout")
    }
}
