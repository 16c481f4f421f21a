//! Measuring `emulator` as a user runs it: whole processes, from outside, one scenario after the other and all of them again. One comparison is made below that, with the library: [`memory_ways`]; one is of downloads: [`downloads`]; one is of clients that come at the same time: [`connections`]; one is of the commands of a working day: [`everyday`]; and one is of the stacks of examples beside the same programs without a machine: [`stacks`].
//!
//! `docs/bench.md` says what is measured, how, and how to read it.

mod answers;
pub(crate) mod connections;
pub(crate) mod contestant;
pub(crate) mod downloads;
pub(crate) mod emulator;
pub(crate) mod everyday;
pub(crate) mod home;
pub(crate) mod host_facts;
mod memory_use;
pub(crate) mod memory_ways;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod rounds;
mod scenario;
mod sizes;
pub(crate) mod stacks;
pub(crate) mod statistics;
pub(crate) mod table;
