//! `emulator uninstall`.

use crate::harness::Emulator;

#[test]
fn a_program_is_removed_with_all_that_it_keeps_after_a_yes() {
    let emulator = Emulator::new();
    emulator.write("instances/a/overlay.qcow2", "x");
    emulator.write("images/stack-emulator-amd64.qcow2", &"x".repeat(2 << 20));
    emulator.write("notes.txt", "mine");
    let run = |flags: &[&str]| {
        let shown = emulator.run(&[&["uninstall"], flags].concat());
        shown.replace(env!("CARGO_BIN_EXE_emulator"), "[program]")
    };
    insta::assert_snapshot!(run(&["--dry-run"]), @"
    exit 0
    --- stdout
    KIND  SIZE   PATH
    home  0 MiB  [root]/home/instances
    home  2 MiB  [root]/home/images
    2 MiB would be free
    --- stderr
    the program `[program]` stays: it was built in a checkout, and goes with that
    ");
    insta::assert_snapshot!(emulator.run(&["uninstall"]), @"
    exit 2
    --- stdout

    --- stderr
    error: `uninstall` would remove all instances with their data, and there is no terminal to ask on

    hint: confirm with `emulator uninstall --yes`
    ");
    assert!(emulator.path("instances/a").exists());
    let (code, shown) = emulator.run_on_terminal(&["uninstall"], "Remove this program", "n");
    assert!(code == 0 && shown.contains("nothing was changed"), "{shown}");
    let shown = emulator.run(&["uninstall", "--yes", "-o", "json"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    let left: Vec<_> = std::fs::read_dir(emulator.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    insta::assert_snapshot!(run(&["--yes"]), @"
    exit 0
    --- stdout
    there is nothing to remove
    --- stderr
    the program `[program]` stays: it was built in a checkout, and goes with that
    ");
}
