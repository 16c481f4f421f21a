//! Where a file is.

use super::Pin;
use crate::Credential;

/// Media type of a file of any kind (RFC 2046, section 4.5.1).
pub const ANY_BYTES: &str = "application/octet-stream";

/// Where bytes are.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Address that answers with them, or leads to them.
    pub url: String,
    /// Token for that address, and for no other host that it leads to.
    pub token: Option<Credential>,
    /// How many they are, when that is known.
    pub size: Option<u64>,
    /// Their digest, when that is known.
    pub pin: Option<Pin>,
    /// Whether they may be a zip that the file is in.
    pub may_be_zip: bool,
    /// Media type that the address is asked for.
    pub accept: &'static str,
}

impl Remote {
    /// A file that everybody may have, whose digest is pinned.
    pub fn pinned(url: impl Into<String>, pin: Pin) -> Self {
        Self {
            url: url.into(),
            token: None,
            size: None,
            pin: Some(pin),
            may_be_zip: false,
            accept: ANY_BYTES,
        }
    }
}
