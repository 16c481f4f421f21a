//! Machines where there is less than usual: of the processor, of a user, of the environment, of places to write to.

use std::fs;
use std::os::unix::fs::chown;

use base::process::Cmd;
use tokio::process::Command;
use vm::home::HOME_VARIABLE;
use vm_tests::control_group::Group;
use vm_tests::emulator::{Emulator, Run, Started, finished};
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};
use vm_tests::{EMULATOR_VARIABLE, path_from_env};

/// The user who must outlive it all.
const USER: &str = "surroundings@example.com";

/// Hundredths of one processor.
const LITTLE: u32 = 15;

/// A user whom no table of users has.
const NOBODY_KNOWN: u32 = 54321;

async fn run(mut command: Command) -> Run {
    finished(command.spawn().unwrap()).await
}

#[tokio::test]
async fn with_little_processor_a_machine_resumes_and_stops_with_its_data() {
    let emulator = Emulator::for_amd64();
    let group = Group::with_processor(LITTLE);
    let enter = group.enter();
    let within = ["sh", "-c", &enter, "sh"];
    let started = emulator.started(run(emulator.command_within(&within, &START)).await).await.by("snapshot");
    sign_up(&started, USER).await;
    run(emulator.command_within(&within, &["stop"])).await.expect(0);
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn where_only_the_home_can_be_written_to_a_machine_starts() {
    let emulator = Emulator::for_amd64();
    emulator.home().copy_borrowed().await;
    for (places, origin) in [(&["/tmp"][..], "snapshot"), (&[], "suspended")] {
        let started = start_read_only(&emulator, places).await.by(origin);
        if origin == "snapshot" {
            sign_up(&started, USER).await;
        }
        assert!(users(&started).await.contains(&USER.to_owned()));
        emulator.finish().await;
    }
    emulator.assert_tidy().await;
}

/// Starts where nothing can be written to but the home, the kernel's own file systems and `places`.
async fn start_read_only(emulator: &Emulator, places: &[&str]) -> Started {
    let home = emulator.home().home().root().to_str().unwrap();
    let kept: Vec<String> =
        places.iter().chain([&home]).map(|dir| format!("mount --bind {dir} {dir}")).collect();
    let script = format!(
        "{} && mount -o remount,bind,ro / && ! touch /etc/writable 2> /dev/null && exec \"$@\"",
        kept.join(" && ")
    );
    let within = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let mut command = emulator.command_within(&within, &START);
    command.env_remove("XDG_RUNTIME_DIR");
    emulator.started(run(command).await).await
}

#[tokio::test]
async fn a_user_whom_no_table_has_starts_and_suspends_without_a_home_directory() {
    let visit = Visit::new().await;
    for home in [None, Some("")] {
        let mut lost = visit.command(&START, home);
        lost.env_remove(HOME_VARIABLE);
        let lost = run(lost).await.expect(1);
        assert!(lost.stderr.contains("neither `STACK_EMULATOR_HOME` nor `HOME` is set"), "{}", lost.stderr);
        assert!(lost.stderr.contains("hint: set `STACK_EMULATOR_HOME` to a directory"), "{}", lost.stderr);
    }
    let emulator = &visit.emulator;
    let started = emulator.started(visit.run(&START, None).await).await.by("snapshot");
    sign_up(&started, USER).await;
    let status = visit.run(&["status", "-o", "json"], Some("")).await.expect(0).json();
    assert_eq!(status["healthy"], true, "{status}");
    visit.run(&["stop"], None).await.expect(0);
    let again = emulator.started(visit.run(&START, Some("")).await).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    visit.run(&["stop"], None).await.expect(0);

    // Root, as with `sudo` that keeps the environment: what it writes is its own, as it is warned.
    let by_root = emulator.start(&[]).await.by("suspended");
    let warning = format!("`{}` belongs to", emulator.home().home().root().display());
    assert!(by_root.said.contains(&warning) && by_root.said.contains("without `sudo`"), "{}", by_root.said);
    emulator.finish().await;
    let refused = visit.run(&START, None).await.expect(1);
    assert!(refused.stderr.contains("belongs to root"), "{}", refused.stderr);
    visit.give().await;
    let given = emulator.started(visit.run(&START, None).await).await.by("suspended");
    assert!(users(&given).await.contains(&USER.to_owned()));
    visit.run(&["stop"], None).await.expect(0);
    emulator.assert_tidy().await;
}

/// A home of the unknown user, with the program where that user can run it.
struct Visit {
    emulator: Emulator,
    program: tempfile::TempDir,
}

impl Visit {
    async fn new() -> Self {
        let (emulator, program) = (Emulator::for_amd64(), tempfile::tempdir().unwrap());
        emulator.home().copy_borrowed().await;
        fs::copy(path_from_env(EMULATOR_VARIABLE), program.path().join("emulator")).unwrap();
        chown(program.path(), Some(NOBODY_KNOWN), Some(NOBODY_KNOWN)).unwrap();
        let it = Self { emulator, program };
        it.give().await;
        it
    }

    /// Makes everything in the home the user's.
    async fn give(&self) {
        let owner = format!("{NOBODY_KNOWN}:{NOBODY_KNOWN}");
        let chown = Cmd::new("chown").args(["-R", &owner]).arg(self.emulator.home().home().root());
        chown.output().await.unwrap();
    }

    /// A command of the user's, with this for `HOME`.
    fn command(&self, args: &[&str], home: Option<&str>) -> Command {
        let program = self.program.path().join("emulator").display().to_string();
        // The first argument is the program where it was built, which others need not be able to reach.
        let script = format!(
            "shift && exec setpriv --reuid={NOBODY_KNOWN} --regid={NOBODY_KNOWN} --clear-groups {program} \"$@\""
        );
        let mut command = self.emulator.command_within(&["sh", "-c", &script, "sh"], args);
        command.env_remove("HOME").env_remove("XDG_RUNTIME_DIR");
        command.envs(home.map(|home| ("HOME", home))).current_dir("/");
        command
    }

    async fn run(&self, args: &[&str], home: Option<&str>) -> Run {
        run(self.command(args, home)).await
    }
}
