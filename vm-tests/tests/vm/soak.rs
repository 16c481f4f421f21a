//! Many cycles of use and misuse. `cargo xtask soak` runs this file with as many cycles as it is asked for.

use std::io::Write as _;

use base::variables;
use vm_tests::{number_from_env, soak};

/// Variable with the number of cycles.
const CYCLES: &str = "VM_TESTS_SOAK_CYCLES";

/// Variable with the seed that the cycles are drawn by.
const SEED: &str = "VM_TESTS_SOAK_SEED";

/// Variable with a file for the report as JSON.
const JSON: &str = "VM_TESTS_SOAK_JSON";

/// Number of cycles by default: some of each kind.
const DEFAULT_CYCLES: usize = 30;

#[tokio::test]
async fn kills_suspensions_and_full_disks_lose_no_row_and_leave_nothing() {
    let cycles = number_from_env(CYCLES).unwrap_or(DEFAULT_CYCLES);
    let seed = number_from_env(SEED).unwrap_or_else(rand::random);
    writeln!(std::io::stderr(), "{cycles} cycles, seed {seed}").unwrap();
    let json = variables::path(JSON);
    let report = soak::run(cycles, seed, json.as_deref()).await;
    write!(std::io::stderr(), "{report}").unwrap();
}
