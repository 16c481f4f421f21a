//! What every other room needs from the machine it runs on: the one process constructor, atomic file
//! writes, locks between processes, waits, phase events and their rendering on a terminal.
//!
//! Nothing here knows about virtual machines or images.

pub mod advice;
pub mod blocking;
pub mod cache;
pub mod command_line;
pub mod console;
pub mod dangling;
pub mod digest;
pub mod events;
pub mod files;
pub mod interrupt;
pub mod io_uring;
pub mod jumps;
pub mod limits;
pub mod memory;
pub mod process;
pub mod readiness;
pub mod refusal;
pub mod signals;
pub mod space;
pub mod sparse;
pub mod startup;
pub mod terminal;
pub mod text;
pub mod variables;
pub mod wait;
