//! Where secrets are: in files that only their owner may read, and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::process::Cmd;
use base::wait::Backoff;
use instances::home::HomeExt;
use tokio::task::JoinHandle;
use vm_tests::emulator::Emulator;
use vm_tests::processes;

#[tokio::test]
async fn secrets_are_in_no_argument_log_snapshot_or_readable_file() {
    let emulator = Emulator::for_amd64();
    let watch = Arguments::watch();
    let mut secrets: BTreeSet<String> = emulator.start(&[]).await.secrets.into_values().collect();
    emulator.run(&["rotate"]).await.expect(0);
    secrets.extend(emulator.secrets().await.into_values());
    emulator.run(&["env", "-o", "shell"]).await.expect(0);
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    let arguments = watch.end().await;
    let guilty = |text: &str| secrets.iter().any(|secret| text.contains(secret.as_str()));
    assert!(arguments.iter().any(|line| line.contains("qemu-system")), "nothing was watched");
    let guilty_arguments: Vec<_> = arguments.iter().filter(|line| guilty(line)).collect();
    assert!(guilty_arguments.is_empty(), "{guilty_arguments:?}");
    assert!(
        !guilty(&emulator.guest().sh("journalctl --no-pager -q; dmesg").await),
        "a secret is in the guest's logs"
    );
    let reported = report(&emulator).await;
    assert!(reported.contains("Z backend "), "the report has no journal: {reported}");
    assert!(!guilty(&reported), "a secret is in a report: {reported}");
    emulator.finish().await;

    let home = emulator.home().home();
    assert_eq!(holders(&home.snapshots(), &secrets).await, [""; 0].map(PathBuf::from));
    let found = holders(home.root(), &secrets).await;
    let dir = emulator.dir();
    // The record is where `status` reads them, and the memory where the services have them: both show that the search works.
    assert!(found.contains(&dir.record()) && found.contains(&dir.memory()), "{found:?}");
    for file in found {
        assert!(!file.starts_with(dir.logs()), "{} is a log", file.display());
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert!(matches!(mode, 0o600 | 0o400), "{} has mode {mode:o}", file.display());
    }
}

/// Everything in a report for others.
async fn report(emulator: &Emulator) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.tar.zst");
    emulator.run(&["diagnose", "--file", file.to_str().unwrap(), "-o", "json"]).await.expect(0);
    let tar = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
    String::from_utf8_lossy(&tar).into_owned()
}

/// Files below `dir` that hold one of `secrets`.
async fn holders(dir: &Path, secrets: &BTreeSet<String>) -> Vec<PathBuf> {
    // Records end with a zero: a memory is not text, and has lines of gigabytes.
    let mut search = Cmd::new("grep").args(["-r", "-z", "-l", "-a", "-F"]);
    for secret in secrets {
        search = search.args(["-e", secret.as_str()]);
    }
    // Links are followed where they are given: the slash is for those.
    let finished = search.arg(format!("{}/", dir.display())).finished().await.unwrap();
    // 0: found; 1: not found; anything else is a failure of the search.
    assert!(matches!(finished.status.code(), Some(0 | 1)), "{finished:?}");
    let text = String::from_utf8(finished.stdout).unwrap();
    text.lines().map(|line| PathBuf::from(line.replace("//", "/"))).collect()
}

/// All command lines that were ever seen.
struct Arguments {
    seen: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Arguments {
    fn watch() -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                all.lock().unwrap().extend(processes::command_lines());
                Backoff::default().pause().await;
            }
        });
        Self { seen, task }
    }

    async fn end(self) -> BTreeSet<String> {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "the watch failed");
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}
