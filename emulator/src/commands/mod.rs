//! One command a file: each adds `run` to its flags, or has it alone where there are none.

mod capture;
mod completions;
mod doctor;
pub(crate) mod images;
mod list_releases;
mod logs;
mod prune;
mod pull;
mod reset;
pub(crate) mod rotate;
mod start;
mod status;
mod stop;
pub(crate) mod version;
pub(crate) mod watch;
