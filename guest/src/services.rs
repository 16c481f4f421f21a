//! The services of this machine.

use std::{fs, path::Path};

use anyhow::Context as _;
use protocol::services::{self, Services};

pub(crate) mod list;

/// Reads what the image build has written about the services.
///
/// # Errors
/// When the file is not there or not valid.
pub(crate) fn load() -> anyhow::Result<Services> {
    let path = Path::new(services::FILE);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Services::parse(&text).with_context(|| format!("`{}` cannot be used", path.display()))
}
