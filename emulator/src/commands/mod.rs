//! One command a file: each adds `run` to its flags, or has it alone where there are none.

mod completions;
mod doctor;
mod logs;
mod reset;
mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod version;
