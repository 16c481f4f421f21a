//! `emulator`: a whole backend in one virtual machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    emulator::main()
}
