//! From a tree to the model.

mod at;
mod check;
mod documents;
mod emulator;
mod environment;
mod health;
mod limits;
mod mounts;
mod networks;
mod ports;
mod process;
mod service;
mod top;
mod units;
mod words;

#[cfg(test)]
mod tests;

use at::At;
pub(crate) use at::{Context, Defined};
pub(crate) use top::{project, project_name};
