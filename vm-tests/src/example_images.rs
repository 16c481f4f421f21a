//! Container images of the examples, which need no registry.

use std::path::PathBuf;

use base::process::Cmd;

use crate::{XTASK_VARIABLE, path_from_env};

/// The archive with the example image `name`. It is made unless it is in the cache.
///
/// # Panics
/// When it cannot be made.
pub async fn example_image(name: &str) -> PathBuf {
    let path = Cmd::new(path_from_env(XTASK_VARIABLE)).args(["example-image", name]).text().await;
    path.expect("the example image is made").into()
}
