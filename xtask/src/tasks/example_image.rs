//! `cargo xtask example-image`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use base::console::Console;
use clap::Args;
use image::arch::Arch;
use image_build::example_image::{EXTENSION, description, example_image};

use super::arguments::absolute_path;
use super::build_image::workspace;
use crate::packages::{self, Feature};

/// Directory of the repository with the descriptions of example images.
const IMAGES: &str = "examples/images";

/// Make a container image from Debian's packages, without a registry
///
/// Prints the path of the archive, which is kept in the cache. `examples/images/` has descriptions, and `docs/stacks.md` lists their
/// keys.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask example-image miniflux
  cargo xtask example-image ../shop/web.toml
  cargo xtask build-image amd64 --stack examples/miniflux \\
      --image \"$(cargo xtask example-image miniflux)\" --image \"$(cargo xtask example-image postgres)\"")]
pub(crate) struct ExampleImage {
    /// Name of a file in `examples/images`, without `.toml`, or the path of another description
    #[arg(value_name = "NAME|FILE.toml")]
    image: Named,
}

/// How a description is named.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// One of this repository.
    Example(String),
    /// A file.
    File(PathBuf),
}

impl FromStr for Named {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let path = absolute_path(text)?;
        let is_file = path.extension().is_some_and(|extension| extension == EXTENSION);
        Ok(if is_file { Self::File(path) } else { Self::Example(text.to_owned()) })
    }
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
        let description = match self.image {
            Named::Example(name) => description(&workspace()?.join(IMAGES), &name)?,
            Named::File(path) => path,
        };
        let file = example_image(&description, arch, &cache, console).await?;
        writeln!(io::stdout(), "{}", file.display()).context("cannot write to stdout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_an_example_and_a_file_is_found_from_where_it_was_named() {
        let named = |text: &str| text.parse::<Named>().unwrap();
        assert_eq!(named("miniflux"), Named::Example("miniflux".to_owned()));
        let here = std::env::current_dir().unwrap();
        assert_eq!(named("web.toml"), Named::File(here.join("web.toml")));
        assert_eq!(named("/shop/web.toml"), Named::File("/shop/web.toml".into()));
    }
}
