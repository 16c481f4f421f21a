//! One file a task; each adds `run` to its own flags.

mod cargo;
mod test;
