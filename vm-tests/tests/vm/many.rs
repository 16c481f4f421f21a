//! Many instances of one home: one for each worktree, and several that are started, listed and ended together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use rustix::process::Signal;
use serde_json::Value;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::processes;
use vm_tests::stack::{sign_up, users};

/// Longest wait for a machine to be launched, where the snapshot has to be created first.
const LIMIT: Duration = Duration::from_mins(5);

const START: [&str; 3] = ["start", "-o", "json"];

/// A repository with two linked worktrees of one name.
struct Repository {
    _dir: tempfile::TempDir,
    main: PathBuf,
    worktrees: [PathBuf; 2],
}

impl Repository {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main");
        fs::create_dir(&main).unwrap();
        let worktrees = ["a/review", "b/review"].map(|name| dir.path().join(name));
        let it = Self { _dir: dir, main, worktrees };
        it.git(&["init", "--quiet"]).await;
        it.git(&["commit", "--quiet", "--allow-empty", "--message", "first"]).await;
        for (worktree, branch) in it.worktrees.iter().zip(["one", "other"]) {
            it.git(&["worktree", "add", "--quiet", "-b", branch, worktree.to_str().unwrap()]).await;
        }
        it
    }

    async fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        Cmd::new("git").args(identity).args(args).current_dir(&self.main).output().await.unwrap();
    }
}

#[tokio::test]
async fn worktrees_have_instances_of_their_own_without_a_flag() {
    let (emulator, repository) = (Emulator::for_amd64(), Repository::new().await);
    let start = async |dir: &Path| {
        let run = emulator.run_in(dir, &START).await.expect(0);
        let name = run.json()["instance"].as_str().unwrap().to_owned();
        // It ends its machine when it is dropped.
        let instance = emulator.instance(&name);
        (instance.started(run).await.by("snapshot"), name, instance)
    };
    let [one, other] = &repository.worktrees;
    let ((first, first_name, _running), (second, second_name, second_instance)) =
        tokio::join!(start(one), start(other));
    assert_ne!(first_name, second_name);
    let urls = |report: &Value| report["ports"].as_array().unwrap().iter().map(url).collect::<BTreeSet<_>>();
    assert!(urls(&first.report).is_disjoint(&urls(&second.report)));
    sign_up(&first, "first@example.com").await;
    assert!(!users(&second).await.contains(&"first@example.com".to_owned()));

    let status = emulator.run_in(&one.join("."), &["status", "-o", "json"]).await.expect(0).json();
    assert_eq!((&status["instance"], &status["directory"]), (&first_name.into(), &shown(one)));
    let status = emulator.run_in(&repository.main, &["status", "-o", "json"]).await.expect(3).json();
    assert_eq!((&status["instance"], &status["directory"]), (&"default".into(), &Value::Null));

    // The ports stay the same.
    emulator.run_in(one, &["stop"]).await.expect(0);
    let again = emulator.run_in(one, &START).await.expect(0).json();
    assert_eq!(urls(&again), urls(&first.report));
    assert_eq!(again["startedBy"], "suspended");

    repository.git(&["worktree", "remove", "--force", other.to_str().unwrap()]).await;
    let pruned = emulator.run_in(&repository.main, &["prune", "-o", "json"]).await.expect(0);
    assert!(pruned.stderr.contains("`emulator prune --instances`"), "{}", pruned.stderr);
    let orphans = &pruned.json()["orphans"];
    assert_eq!(orphans.as_array().unwrap().len(), 1, "{orphans}");
    assert_eq!(orphans[0]["instance"], second_name.as_str());
    second_instance.run(&["status"]).await.expect(0);
    emulator.run_in(&repository.main, &["prune", "--instances", "--yes"]).await.expect(0);
    second_instance.run(&["status"]).await.expect(3);
    emulator.run_in(&repository.main, &["delete", "--all", "--yes"]).await.expect(0);
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn worktrees_run_commands_at_once_without_a_flag() {
    let (emulator, repository) = (Emulator::for_amd64(), Repository::new().await);
    let shown = "echo $EMULATOR_INSTANCE; echo $STACK_API_URL; echo $STACK_SECRET_SERVER_KEY; sleep 1";
    let [one, other] = &repository.worktrees;
    let run = ["run", "--", "sh", "-c", shown];
    let (one, other) = tokio::join!(emulator.run_in(one, &run), emulator.run_in(other, &run));
    let (one, other) = (one.expect(0).stdout, other.expect(0).stdout);
    let values: BTreeSet<_> = one.lines().chain(other.lines()).collect();
    assert_eq!(values.len(), 6, "{one}{other}");
    assert!(!values.contains("default"));
    emulator.run_in(&repository.main, &["delete", "--all", "--yes"]).await.expect(0);
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn several_instances_start_and_end_together() {
    let emulator = Emulator::for_amd64();
    // One that cannot be started does not keep the others from it.
    fs::create_dir_all(emulator.instance("shard-2").dir().root()).unwrap();
    fs::write(emulator.instance("shard-2").dir().overlay(), "data").unwrap();
    let start = ["start", "--count", "3", "-o", "json"];
    let run = emulator.instance("shard").run(&start).await.expect(1);
    let report = run.json();
    let instances = report["instances"].as_array().unwrap();
    let states: Vec<_> = instances.iter().map(|it| (&it["instance"], &it["state"])).collect();
    let (running, none) = (&"running".into(), &Value::Null);
    assert_eq!(
        states,
        [(&"shard-1".into(), running), (&"shard-2".into(), none), (&"shard-3".into(), running)],
        "{}",
        run.stderr
    );
    assert!(instances[1]["error"]["hint"].as_str().unwrap().contains("emulator reset --instance shard-2"));
    let ports = instances.iter().flat_map(|it| it["ports"].as_array().unwrap());
    let ports: Vec<_> = ports.map(|port| port["host"].as_u64().unwrap()).collect();
    let different: BTreeSet<_> = ports.iter().collect();
    assert_eq!(different.len(), ports.len());
    assert!(ports.iter().all(|port| (20_000..30_000).contains(port)), "{ports:?}");

    let list = emulator.run(&["list", "-o", "json"]).await.expect(0).json();
    let used = |it: &Value, key: &str| it[key].as_f64().unwrap_or_else(|| panic!("no {key}: {it}"));
    for it in list["instances"].as_array().unwrap().iter().filter(|it| it["state"] == "running") {
        // The snapshot's memory is shared, and so is not part of it.
        let memory = used(it, "memoryUsedBytes") / f64::from(1 << 20);
        assert!((1.0..1024.0).contains(&memory), "{it}");
        assert!(used(it, "cpuSeconds") > 0.0 && used(it, "cpuPercent") >= 0.0, "{it}");
    }
    // They run already, and the broken one is gone.
    emulator.instance("shard-2").run(&["reset", "--yes"]).await.expect(0);
    let report = emulator.instance("shard").run(&start).await.expect(0).json();
    let ran: Vec<_> =
        report["instances"].as_array().unwrap().iter().map(|it| &it["alreadyRunning"]).collect();
    assert_eq!(ran, [true, false, true]);

    let all = ["--all", "-o", "json"];
    let home = emulator.home().home().root().to_owned();
    let stopped = emulator.run_in(&home, &[&["stop"][..], &all].concat()).await.expect(0).json();
    let states: Vec<_> = stopped["instances"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["suspended"; 3]);
    emulator.assert_tidy().await;
    let deleted = emulator.run_in(&home, &[&["delete", "--yes"][..], &all].concat()).await.expect(0).json();
    assert_eq!(deleted["instances"].as_array().unwrap().len(), 3);
    let list = emulator.run(&["list", "-o", "json"]).await.expect(0).json();
    assert_eq!(list["instances"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn an_interrupted_start_of_several_leaves_nothing_half_started() {
    let emulator = Emulator::for_amd64();
    let shard = emulator.instance("shard");
    let run = shard.spawn(&["start", "--count", "4"]);
    // The last one is launched.
    let fourth = emulator.instance("shard-4");
    let launched = async || fourth.dir().live().exists().then_some(());
    wait::until(LIMIT, launched).await.unwrap();
    processes::send(run.id().unwrap().try_into().unwrap(), Signal::INT);
    finished(run).await.expect(130);
    let list = emulator.run(&["list", "-o", "json"]).await.expect(0).json();
    for it in list["instances"].as_array().unwrap() {
        let state = it["state"].as_str().unwrap();
        assert!(["running", "absent"].contains(&state), "{it}");
    }
    assert_eq!(fourth.run(&["status", "-o", "json"]).await.expect(3).json()["state"], "absent");
    let home = emulator.home().home().root().to_owned();
    emulator.run_in(&home, &["delete", "--all", "--yes"]).await.expect(0);
    emulator.assert_tidy().await;
}

fn url(port: &Value) -> String {
    port["url"].as_str().unwrap().to_owned()
}

/// A directory as a program is shown it.
fn shown(dir: &Path) -> Value {
    fs::canonicalize(dir).unwrap().to_str().unwrap().into()
}
