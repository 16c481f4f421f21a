//! What an image is called and what is written about it: artefact names, the stack's description and the manifest
//! that every image carries.

pub mod arch;
pub mod manifest;
pub mod stack;
