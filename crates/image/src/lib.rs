//! What an image is: its architecture, the stack inside, and the manifest that it carries. Types and their checks only: nothing
//! here reads a disk or a network.

pub mod arch;
pub mod description;
pub mod manifest;
pub mod stack;
