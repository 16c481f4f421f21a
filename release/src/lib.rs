//! What an image is called and what is written about it: artefact names, the stack's description and the manifest
//! that every image carries; and how big files are fetched: resumed where they stopped, verified before they get a name.

pub mod arch;
pub mod download;
pub mod github;
pub mod http;
pub mod local;
pub mod manifest;
pub mod names;
pub mod program;
pub mod publish;
pub mod stack;
