//! `stackd`: every program that runs inside the virtual machine, in one static binary.

fn main() {}
