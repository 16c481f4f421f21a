//! `emulator reset`.

use crate::harness::Emulator;

#[test]
fn reset_needs_a_yes_where_nobody_can_be_asked() {
    let emulator = Emulator::new();
    emulator.write("instances/default/instance.json", include_str!("instance.json"));
    insta::assert_snapshot!(emulator.run(&["reset"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: `reset` would throw away the data of instance `default`, and there is no terminal to ask on

    hint: confirm with `emulator reset --yes`
    ");
}

#[test]
fn ctrl_c_at_a_question_leaves_the_terminal_as_it_was() {
    let emulator = Emulator::new();
    emulator.write("instances/default/instance.json", include_str!("instance.json"));
    let (exit, shown) = emulator.run_on_terminal(&["reset"], "Throw away", "\u{3}");
    assert_eq!(exit, 130, "{shown}");
    let (_, after) = shown.split_once("\u{1b}[?25l").unwrap();
    assert!(after.starts_with("\u{1b}[?25h\r\n") && after.contains("interrupted by Ctrl-C"), "{shown:?}");
    assert!(emulator.path("instances/default/instance.json").exists());
}
