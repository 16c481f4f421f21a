//! The native services that containers can use: those whose descriptions have `[native]`.

use std::collections::BTreeMap;
use std::path::Path;

use compose::model::Project;
use image::description::NativeUse;

use crate::source::{SourceError, descriptions};

/// How containers use native services, by the names of these.
#[derive(Debug, Clone)]
pub struct Natives(BTreeMap<String, NativeUse>);

impl Natives {
    /// Reads the services of the platform in `dir`, and those in the directory `beside` that `project` names.
    pub(in crate::containers) fn read(
        dir: &Path,
        beside: &Path,
        project: &Project,
    ) -> Result<Self, SourceError> {
        let replacing = project.services.iter().filter_map(|service| service.emulator.native.as_ref());
        let named = project.emulator.services.iter().chain(replacing).map(|name| name.value.as_str());
        let files = descriptions(dir, beside, named)?;
        Ok(Self(files.into_iter().filter_map(|(name, file)| Some((name, file.native?))).collect()))
    }

    /// How containers use the service `name`, if they can.
    pub fn get(&self, name: &str) -> Option<&NativeUse> {
        self.0.get(name)
    }

    /// Name and title of the service that stands for the image with this reference.
    pub(in crate::containers) fn standing_for(&self, reference: &str) -> Option<(&str, &str)> {
        let (name, native) = self.0.iter().find(|(_, native)| native.stands_for(reference))?;
        Some((name, &native.title))
    }

    /// The names as a list.
    pub(super) fn names(&self) -> String {
        self.0.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}
