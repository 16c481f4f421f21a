//! Environment variables that stand in for flags.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::harness::Emulator;

/// Every variable that the program reads, except those that every program has.
const VARIABLES: [&str; 23] = [
    "EMULATOR_ACCEL",
    "EMULATOR_ARCH",
    "EMULATOR_BACKEND_PORT",
    "EMULATOR_CPUS",
    "EMULATOR_FORCE_CAPTURE",
    "EMULATOR_INSTANCE",
    "EMULATOR_NO_ROTATION",
    "EMULATOR_NO_SNAPSHOT",
    "EMULATOR_RAM",
    "EMULATOR_READY_TIMEOUT",
    "EMULATOR_REPO",
    "EMULATOR_SNAPSHOT_READY_TIMEOUT",
    "EMULATOR_STACK",
    "GH_TOKEN",
    "GITHUB_API_URL",
    "GITHUB_TOKEN",
    "HTTPS_PROXY",
    "NO_COLOR",
    "QEMU_IMG",
    "QEMU_SYSTEM_X86_64",
    "SSL_CERT_FILE",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    for command in ["start", "status", "capture", "pull", "images"] {
        let plain = Emulator::new().without_programs().run(&[command, "--arch", "amd64"]);
        let other = Emulator::new().without_programs();
        let other = VARIABLES.iter().fold(other, |emulator, name| emulator.with(name, ""));
        assert_eq!(other.run(&[command, "--arch", "amd64"]), plain);
    }
}

#[test]
fn a_value_that_cannot_be_used_is_an_error_with_the_name_of_the_variable() {
    let refusal = |name: &str, value: &str, command: &str| Emulator::new().with(name, value).run(&[command]);
    insta::assert_snapshot!(refusal("EMULATOR_CPUS", "many", "start"), @"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'many' for 'EMULATOR_CPUS': invalid digit found in string

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal("EMULATOR_ARCH", "mips", "status"), @"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'mips' for 'EMULATOR_ARCH': unknown architecture `mips`: it is `amd64` or `arm64`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal("EMULATOR_READY_TIMEOUT", "soon", "start"), @"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'soon' for 'EMULATOR_READY_TIMEOUT': invalid duration `soon`: use `90s`, `5m` or a number of seconds

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal("EMULATOR_REPO", "nowhere", "pull"), @"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'nowhere' for 'EMULATOR_REPO': `nowhere` is not a valid repository: write `owner/name`

    For more information, try '--help'.
    ");
    let emulator = Emulator::new().with("EMULATOR_REPO", OsString::from_vec(b"\xff/x".to_vec()));
    insta::assert_snapshot!(emulator.run(&["pull"]), @"
    exit 2
    --- stdout

    --- stderr
    error: the environment variable `EMULATOR_REPO` is `�/x`: invalid UTF-8 was detected in one or more arguments

    Usage: emulator [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    let emulator = Emulator::new().with("EMULATOR_REPO", "a/b").with("HTTPS_PROXY", "http://[");
    insta::assert_snapshot!(emulator.run(&["list-releases"]), @"
    exit 2
    --- stdout

    --- stderr
    error: `HTTPS_PROXY` is not a valid address of a proxy
      cause: builder error
      cause: builder error
      cause: invalid IPv6 address

    hint: set `HTTPS_PROXY` to an address such as `http://proxy.example.com:3128`, or unset it
    ");
}

#[test]
fn a_value_out_of_range_names_the_variable_or_the_flag() {
    for (name, flag, values) in [
        ("EMULATOR_CPUS", "--cpus <N>", &["0", "9999"][..]),
        ("EMULATOR_RAM", "--memory <MIB>", &["0", "63", "99999999"]),
        ("EMULATOR_READY_TIMEOUT", "--timeout <DURATION>", &["0", "0s"]),
        ("EMULATOR_SNAPSHOT_READY_TIMEOUT", "--snapshot-timeout <DURATION>", &["0"]),
    ] {
        for value in values {
            let shown = Emulator::new().with(name, *value).run(&["start"]);
            let error =
                format!("exit 2\n--- stdout\n\n--- stderr\nerror: invalid value '{value}' for '{name}': ");
            assert!(shown.starts_with(&error), "{shown}");
            let shown = Emulator::new().run(&["start", flag.split(' ').next().unwrap(), *value]);
            assert!(shown.contains(&format!("error: invalid value '{value}' for '{flag}': ")), "{shown}");
        }
    }
    for (name, value) in [
        ("GITHUB_API_URL", "http://a/\n"),
        ("GITHUB_API_URL", "https://user:s3cr3t@127.0.0.1/api/v3"),
        ("HTTPS_PROXY", "foo://s3cr3t@bar"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ] {
        let shown = Emulator::new().with(name, value).run(&["list-releases", "--repo", "a/b"]);
        assert!(shown.starts_with(&format!("exit 2\n--- stdout\n\n--- stderr\nerror: `{name}` ")), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}

#[test]
fn an_invalid_token_names_where_it_was_found_and_is_not_shown() {
    let refused = |emulator: Emulator, args: &[&str], source: &str| {
        let shown = emulator.run(args);
        let error = format!("error: `{source}` holds no token: it has more than one line in it");
        assert!(shown.starts_with("exit 2\n") && shown.contains(&error), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    };
    for variable in ["GITHUB_TOKEN", "GH_TOKEN"] {
        let emulator = || Emulator::new().with_program("qemu-img", "").with(variable, "s3cr3t\ns3cr3t");
        refused(emulator(), &["list-releases", "--repo", "a/b"], variable);
        refused(emulator(), &["pull", "--repo", "a/b"], variable);
    }
    let emulator = Emulator::new().with_program("gh", "echo s3cr3t; echo s3cr3t");
    refused(emulator, &["list-releases", "--repo", "a/b"], "gh auth token");
}

#[test]
fn a_flag_that_was_given_keeps_its_variable_out_of_it() {
    let emulator = Emulator::new().without_programs().with("EMULATOR_CPUS", "many");
    let shown = emulator.run(&["start", "--cpus", "2"]);
    assert!(!shown.contains("EMULATOR_CPUS"), "{shown}");
    let shown = emulator.run(&["start", "--cpus", "two"]);
    assert!(shown.contains("invalid value 'two' for '--cpus <N>'"), "{shown}");
    for (name, value, flag) in [
        ("EMULATOR_ARCH", "mips", ["--arch", "amd64"]),
        ("EMULATOR_CPUS", "many", ["--cpus", "2"]),
        ("EMULATOR_RAM", "much", ["--memory", "2048"]),
        ("EMULATOR_READY_TIMEOUT", "soon", ["--timeout", "5m"]),
        ("EMULATOR_SNAPSHOT_READY_TIMEOUT", "soon", ["--snapshot-timeout", "5m"]),
        ("EMULATOR_REPO", "nowhere", ["--repo", "a/b"]),
    ] {
        let emulator = Emulator::new().without_programs().with(name, value);
        let [flag, chosen] = flag;
        for args in [["start", "--offline", flag, chosen], [flag, chosen, "start", "--offline"]] {
            // Most flags are those of one command, and nothing before its name.
            if args[0] == flag && flag != "--arch" {
                continue;
            }
            let shown = emulator.run(&args);
            assert!(!shown.contains(name) && !shown.starts_with("exit 2"), "{args:?}: {shown}");
        }
    }
}
