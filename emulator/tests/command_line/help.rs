//! What `--help` says.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use crate::harness::Emulator;

const GLOBAL: &str = "Global options:\n";

/// The options that every command has: the first snapshot below shows them.
fn global_options(help: &str) -> &str {
    let (_, rest) = help.split_once(GLOBAL).unwrap();
    let (options, _) = rest.split_once("  -h, --help ").or_else(|| rest.split_once("\n\n")).unwrap();
    options.trim_end()
}

/// The commands that the help of the program lists.
pub(crate) fn commands(help: &str) -> Vec<&str> {
    let (groups, _) = help.split_once(GLOBAL).unwrap();
    groups.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect()
}

/// These options without the one that says what is printed.
fn without_output(options: &str) -> String {
    let (before, rest) = options.split_once("  -o, --output ").unwrap();
    let (_, after) = rest.split_once("      --json").unwrap();
    format!("{before}      --json{after}")
}

/// The help of `command` without those options, which it has as well.
fn own(emulator: &Emulator, command: &str) -> String {
    let help = emulator.run(&[command, "--help"]);
    let options = global_options(&help);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let all = emulator.run(&["--help"]);
    // It has formats of its own.
    let all =
        if command == "env" { without_output(global_options(&all)) } else { global_options(&all).into() };
    assert_eq!(words(options), words(&all), "{command}");
    help.replace(&format!("{GLOBAL}{options}\n\n"), "")
}

#[test]
fn the_help_groups_the_commands() {
    insta::assert_snapshot!(Emulator::new().run(&["--help"]), @"
    exit 0
    --- stdout
    A whole backend in one virtual machine, on 127.0.0.1

    Usage: emulator [OPTIONS] <COMMAND>

    Run the emulator:
      start          Start the machine and wait until every service answers
      run            Run a command beside the instance, with what it needs in its environment
      stop           Suspend the machine; the next start resumes it
      wait           Wait until the instance runs and every service answers
      status         Show state, addresses and health
      list           Show all instances
      env            Print the environment variables of the running stack
      exec           Run a command inside the machine
      logs           Show logs of the services, the serial console or QEMU
      rotate         Give the running instance new secrets
      reset          Delete the instance's data; the next start is a new session with new secrets
      delete         End an instance and remove everything that belongs to it

    Images:
      pull           Download an image and make the snapshot that new sessions start from
      list-releases  Show the releases that have images
      images         Show the images on this machine
      prune          Remove unused images, snapshots and downloads
      du             Show what takes space on the disk

    This program and this machine:
      capture        Make the snapshot that new sessions start from
      doctor         Check whether this machine can run the emulator
      diagnose       Pack what a report of a fault needs into an archive, without secrets
      version        Show the version of this program and of the formats that it reads
      completions    Print the completion script of a shell
      uninstall      Remove this program and everything that it keeps

    Global options:
          --instance <NAME>      Instance to act on: each has its own data, ports and machine; by
                                 default `EMULATOR_INSTANCE`, else the one of the git worktree if it is
                                 a linked one, else `default`, with `-ARCH` where the architecture is
                                 not this machine's
          --stack <NAME>         Stack whose image is used: each has a default instance of its own; by
                                 default the instance's, or `stack-emulator` [env: EMULATOR_STACK]
          --arch <amd64|arm64>   Architecture of image and machine; by default the instance's, or this
                                 machine's [env: EMULATOR_ARCH]
      -o, --output <table|json>  What to print on stdout: for people, or one JSON document with a
                                 `schemaVersion` [default: table]
          --json                 Short for `--output json`
      -q, --quiet                Show warnings and errors only
      -v, --verbose              Show every detail
      -h, --help                 Print help
      -V, --version              Print version

    Examples:
      emulator pull --repo OWNER/NAME       download an image and make it ready
      emulator start                        start, and wait for every service
      emulator status -o json               state, addresses and health
      emulator logs backend --follow        watch one service
      emulator stop                         suspend; the next start resumes
      emulator start --instance feature-17 --port dashboard=auto --port backend=auto
      emulator start --arch arm64 --port dashboard=auto --port backend=auto

    Files are kept in `$STACK_EMULATOR_HOME`, by default `~/.stack/emulator`.
    --- stderr
    ");
}

#[test]
fn the_help_of_start_groups_its_flags() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(own(&emulator, "start"), @"
    exit 0
    --- stdout
    Start the machine and wait until every service answers

    Usage: emulator start [OPTIONS]

    Options:
          --count <N>           Start so many instances, `NAME-1` to `NAME-N`, all on automatic ports
          --timeout <DURATION>  Longest wait for a machine that boots, `90s` or `5m`; by default what
                                the accelerator needs [env: EMULATOR_READY_TIMEOUT]
      -h, --help                Print help

    Ports:
          --port <NAME=PORT>  Host port of a service: a number, or `auto` for any free one; repeatable

    Machine:
          --accel <auto|kvm|hvf|tcg>  Accelerator: `auto` verifies that the fast one works, else takes
                                      `tcg` [env: EMULATOR_ACCEL] [default: auto]
          --cpus <N>                  Virtual CPUs; by default the image's [env: EMULATOR_CPUS]
          --memory <MIB>              Memory in MiB; by default the image's [env: EMULATOR_RAM]
          --image <FILE>              Image file to use instead of the one in the home

    Image:
          --repo <OWNER/NAME>  Repository to pull the image from when there is none here [env:
                               EMULATOR_REPO]
          --offline            Never pull: fail when there is no image here

    Snapshot:
          --no-snapshot                     Boot instead of resuming from saved memory [env:
                                            EMULATOR_NO_SNAPSHOT]
          --strategy <template|mapped-ram>  How a new session's snapshot keeps memory; by default the
                                            first that is possible here
          --no-rotation                     Leave the image's well-known placeholders in a new session
                                            instead of its own secrets [env: EMULATOR_NO_ROTATION]
          --snapshot-timeout <DURATION>     Longest wait for the services when resuming from saved
                                            memory, `10s` [env: EMULATOR_SNAPSHOT_READY_TIMEOUT]

    If the instance is already running, `start` reports its state and exits 0. A
    suspended instance resumes with its data and secrets. A new session starts from
    a snapshot, made on this machine the first time, and gets its own secrets: see
    them with `emulator status --show-secrets`.

    Each host port is taken from the first of these that is set: `--port`, the
    variable that the image names for it, an earlier `--port` of this instance, the
    image's default. The instance of a linked git worktree has automatic ports
    instead of the defaults: free ones, which it keeps.

    Examples:
      emulator start
      emulator start --port backend=30001 --port dashboard=auto
      emulator start --accel tcg --timeout 5m
      emulator start --no-snapshot          boot, instead of resuming
      emulator start -o json                ports, phases and seconds for a program
      emulator start --count 4 --instance shard
                                            `shard-1` to `shard-4`, on own ports
      emulator start --repo OWNER/NAME      pull an image if there is none here
    --- stderr
    ");
}

#[test]
fn every_command_has_help_with_examples() {
    let emulator = Emulator::new();
    let help = emulator.run(&["--help"]);
    let commands = commands(&help);
    assert!(commands.contains(&"start") && commands.contains(&"completions"), "{commands:?}");
    for command in commands {
        let shown = own(&emulator, command);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
        assert!(shown.contains("Examples:\n  emulator "), "{shown}");
    }
}

#[test]
fn what_follows_the_options_fits_a_terminal_of_80_columns() {
    for command in emulator::grammar().get_subcommands() {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // What cannot be broken stays.
        let long = |line: &&str| line.chars().count() > 80 && !line.contains("~/.local/share");
        assert_eq!(text.lines().find(long), None, "{}", command.get_name());
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["begin"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: unrecognized subcommand 'begin'

    Usage: emulator [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["status", "--instance", "../x"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value '../x' for '--instance <NAME>': invalid instance name `../x`: use 1 to 32 lower-case letters, digits or hyphens; no hyphen at the start or end

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--port", "backend=http"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'backend=http' for '--port <NAME=PORT>': invalid port `http`: use a number from 1 to 65535 or `auto`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--accel", "xen"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'xen' for '--accel <auto|kvm|hvf|tcg>': unknown accelerator `xen`: it is `auto`, `kvm`, `hvf` or `tcg`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["capture", "--strategy", "savevm"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'savevm' for '--strategy <template|mapped-ram>': unknown strategy `savevm`: it is `template` or `mapped-ram`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--timeout", "soon"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'soon' for '--timeout <DURATION>': invalid duration `soon`: use `90s`, `5m` or a number of seconds

    For more information, try '--help'.
    ");
}

#[test]
fn completions_exist_for_every_shell() {
    let emulator = Emulator::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let shown = emulator.run(&["completions", shell]);
        assert!(shown.starts_with("exit 0\n") && shown.contains("emulator"), "{shell}: {shown}");
    }
}
