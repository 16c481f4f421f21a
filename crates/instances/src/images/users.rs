//! The instances with data on images and snapshots, which must be kept for them.

use std::path::Path;

use base::digest::Sha256;
use base::files::FileError;
use vm::home::Home;

use super::identity::ImageIdentity;
use crate::name::InstanceName;

/// Lists the instances with data. To be called with the lock of what may be removed.
pub trait Users: Sync {
    /// All instances with data.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn users(&self) -> Result<Vec<User>, FileError>;
}

/// An instance with data.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: InstanceName,
    /// What its data needs.
    pub needs: Needs,
}

/// What data needs.
#[derive(Debug)]
pub enum Needs {
    /// This image.
    Of {
        /// The image.
        image: ImageIdentity,
        /// The snapshot between the image and the data, if there is one.
        snapshot: Option<String>,
    },
    /// Perhaps any image and any snapshot, and why that is not known.
    Any(String),
}

impl User {
    /// Whether its data may be on the image with this SHA-256.
    pub(super) fn may_need(&self, sha256: Sha256) -> bool {
        match &self.needs {
            Needs::Of { image, .. } => image.sha256 == sha256,
            Needs::Any(_) => true,
        }
    }

    /// Whether its data may be on the image at `path`.
    pub(crate) fn may_need_file(&self, home: &Home, path: &Path) -> bool {
        match &self.needs {
            Needs::Of { image, .. } => image.location(home) == path,
            Needs::Any(_) => true,
        }
    }
}

/// The instances that may have data on any image and any snapshot, and why that is not known.
///
/// # Errors
/// When the instances cannot be listed.
pub fn unknown(users: &dyn Users) -> Result<Vec<(InstanceName, String)>, FileError> {
    let unknown = |user: User| match user.needs {
        Needs::Any(why) => Some((user.name, why)),
        Needs::Of { .. } => None,
    };
    Ok(users.users()?.into_iter().filter_map(unknown).collect())
}
