//! Images and programs on GitHub: what they are called, how they are found, and how they are published.

pub mod github;
pub mod names;
pub mod program;
pub mod publish;
