//! Pulls in which something goes wrong, from every source: the old image stays, and what can be resumed is.
//!
//! A transfer that stands still is given up after half a minute; a test in `release` verifies that with a shorter limit.

use std::fs;
use std::time::Duration;

use base::wait;
use fake_github::{Fault, Place, Rule};
use image::arch::Arch;

use super::hub::{FILE, Hub, PART, REPO, image, zipped, zipped64};

/// Where an image is pulled from over the network, and how it lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A release, without a token.
    Release,
    /// A release, through the API.
    ReleaseByApi,
    /// A pull request, in a zip that compresses.
    PullRequest,
    /// A run, in a zip for large files.
    Run,
}

/// A source with an image, and the program that pulls it.
struct Case {
    source: Source,
    hub: Hub,
    /// Number of the run that has it.
    run: String,
    /// Bytes of what is transferred.
    length: u64,
}

impl Case {
    fn new(source: Source) -> Self {
        let hub = if source == Source::Release { Hub::new() } else { Hub::signed_in() };
        Self { source, hub, run: String::new(), length: 0 }
    }

    /// From now on, this is the image there.
    fn offer(&mut self, image: &[u8]) {
        let transferred = match self.source {
            Source::Release | Source::ReleaseByApi => image.to_vec(),
            Source::PullRequest => zipped(FILE, image),
            Source::Run => zipped64(FILE, image),
        };
        self.length = transferred.len() as u64;
        match self.source {
            Source::Release | Source::ReleaseByApi => self.hub.publish(transferred),
            Source::PullRequest | Source::Run => {
                self.run = self.hub.build(REPO, transferred).to_string();
            }
        }
    }

    fn args(&self) -> Vec<&str> {
        match self.source {
            Source::Release | Source::ReleaseByApi => vec![],
            Source::PullRequest => vec!["--pr", "7"],
            Source::Run => vec!["--run", &self.run],
        }
    }

    /// Lets `rules` hold while it is pulled; nothing that comes then takes the place of `old`.
    fn fails(&self, exit: i32, says: &str, rules: impl IntoIterator<Item = Rule>, old: &[u8]) {
        let rules: Vec<_> = rules.into_iter().collect();
        let case = format!("{:?}: {rules:?}", self.source);
        for rule in rules {
            self.hub.server.rule(rule);
        }
        let shown = self.hub.pull(&self.args());
        assert!(shown.starts_with(&format!("exit {exit}\n")) && shown.contains(says), "{case}: {shown}");
        self.hub.has(old);
        self.hub.server.clear_rules();
    }

    /// Lets `rules` hold while it is pulled; it comes nevertheless.
    fn succeeds(&self, rules: impl IntoIterator<Item = Rule>, image: &[u8]) {
        for rule in rules {
            self.hub.server.rule(rule);
        }
        self.hub.gets(image, &[&self.args()[..], &["--force"]].concat());
        self.hub.server.clear_rules();
    }

    /// The place that has the address which leads to the file, and what is in its path.
    fn door(&self) -> (Place, &'static str) {
        match self.source {
            Source::Release => (Place::Web, "/releases/download/"),
            Source::ReleaseByApi => (Place::Api, "/releases/assets/"),
            Source::PullRequest | Source::Run => (Place::Api, "/zip"),
        }
    }
}

fn storage(fault: Fault) -> Rule {
    Rule::new(Place::Storage, fault)
}

fn limit(status: u16, retry_after: bool) -> Fault {
    Fault::RateLimit { status, reset_in: Duration::from_hours(1), retry_after }
}

/// Permanent failures: reported, with the right exit code, and the next pull succeeds.
fn the_old_image_stays(source: Source) {
    let mut case = Case::new(source);
    let old = image(Arch::Amd64, "old");
    case.offer(&old);
    case.succeeds([], &old);
    let new = image(Arch::Amd64, "new");
    case.offer(&new);
    for percent in [1, 50, 99] {
        case.fails(1, "broke off", [storage(Fault::CutAt(case.length * percent / 100))], &old);
    }
    // What has come by now is right, and would not be asked for again.
    case.hub.emulator.run(&["prune"]);
    let middle = case.length / 2;
    case.fails(7, "cause: ", [storage(Fault::WrongByte(middle))], &old);
    case.fails(7, "cause: ", [storage(Fault::TruncateTo(case.length - 1000))], &old);
    case.fails(1, "is no longer valid: it answered 403", [storage(Fault::Expired)], &old);
    case.fails(1, "answered 500", [storage(Fault::Status(500))], &old);
    let (place, path) = case.door();
    case.fails(1, "answered 404", [Rule::new(place, Fault::Status(404)).path(path)], &old);
    for (status, retry_after) in [(429, true), (403, false)] {
        let limit = || limit(status, retry_after);
        case.fails(4, "is used up until 20", [storage(limit())], &old);
        case.fails(4, "is used up until 20", [Rule::new(place, limit()).path(path)], &old);
    }
    let pull = [&["pull", "--skip-snapshot"], &case.args()[..]].concat();
    let shown = case.hub.emulator.run_with_short_files(8, &pull);
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert!(shown.contains(&format!("cause: cannot write `[root]/home/{PART}`")), "{shown}");
    case.hub.has(&old);
    case.succeeds([], &new);
}

/// Transient failures: no one notices.
fn what_passes_is_waited_for(source: Source) {
    let mut case = Case::new(source);
    let bytes = image(Arch::Amd64, "kernel");
    case.offer(&bytes);
    for percent in [1, 50, 99] {
        case.succeeds([storage(Fault::CutAt(case.length * percent / 100)).times(3)], &bytes);
    }
    case.succeeds([storage(Fault::ETag("\"other\"".to_owned())).after(2).times(1)], &bytes);
    case.succeeds([storage(Fault::Expired).times(2)], &bytes);
    let (place, path) = case.door();
    case.succeeds([storage(Fault::Status(500)).times(3)], &bytes);
    case.succeeds([Rule::new(place, Fault::Status(500)).path(path).times(3)], &bytes);
    case.succeeds([Rule::new(Place::Api, Fault::Status(500)).times(3)], &bytes);
    case.succeeds([storage(Fault::NoRanges)], &bytes);
    let soon = Fault::RateLimit { status: 429, reset_in: Duration::from_secs(1), retry_after: true };
    case.succeeds([storage(soon).times(1)], &bytes);
}

#[test]
fn whatever_becomes_of_a_release_the_old_image_stays() {
    the_old_image_stays(Source::Release);
}

#[test]
fn whatever_becomes_of_a_release_through_the_api_the_old_image_stays() {
    the_old_image_stays(Source::ReleaseByApi);
}

#[test]
fn whatever_becomes_of_a_pull_request_the_old_image_stays() {
    the_old_image_stays(Source::PullRequest);
}

#[test]
fn whatever_becomes_of_a_run_the_old_image_stays() {
    the_old_image_stays(Source::Run);
}

#[test]
fn what_passes_on_the_way_from_a_release_is_waited_for() {
    what_passes_is_waited_for(Source::Release);
}

#[test]
fn what_passes_on_the_way_through_the_api_is_waited_for() {
    what_passes_is_waited_for(Source::ReleaseByApi);
}

#[test]
fn what_passes_on_the_way_from_a_pull_request_is_waited_for() {
    what_passes_is_waited_for(Source::PullRequest);
}

#[test]
fn what_passes_on_the_way_from_a_run_is_waited_for() {
    what_passes_is_waited_for(Source::Run);
}

#[test]
fn whatever_is_wrong_with_a_file_the_old_image_stays() {
    let hub = Hub::new();
    let (old, new) = (image(Arch::Amd64, "old"), image(Arch::Amd64, "new"));
    let file = hub.emulator.path("file");
    let file = file.to_str().unwrap();
    let write = |bytes: &[u8]| fs::write(file, bytes).unwrap();
    hub.emulator.write("file", "");
    write(&old);
    hub.gets(&old, &["--file", file]);

    let mut damaged = zipped64(FILE, &new);
    let length = damaged.len();
    damaged[length / 2] ^= 1;
    let cases = [
        (new[..1 << 20].to_vec(), "is not an image for amd64"),
        (image(Arch::Arm64, "kernel"), "is for arm64"),
        (zipped(FILE, &new)[..1000].to_vec(), "it is not a valid zip"),
        (damaged, "cause: Invalid checksum"),
        (zipped("stack-emulator-arm64.qcow2", &new), "it holds no `stack-emulator-amd64.qcow2`"),
        (zipped(&format!("../{FILE}"), &new), "which leads elsewhere"),
    ];
    for (bytes, says) in cases {
        write(&bytes);
        let shown = hub.refuses(7, Some(&old), &["--file", file]);
        assert!(shown.contains(says), "{says}: {shown}");
        assert!(!hub.emulator.path(PART).exists());
    }
    let shown = hub.refuses(1, Some(&old), &["--file", "/no/such/file"]);
    assert!(shown.contains("cause: cannot open `/no/such/file`"), "{shown}");
    write(&new);
    let full = hub.emulator.run_with_short_files(8, &["pull", "--skip-snapshot", "--file", file]);
    assert!(full.starts_with("exit 1\n") && full.contains("cause: cannot write"), "{full}");
    hub.has(&old);
    for (good, bytes) in [(zipped(FILE, &new), &new), (zipped64(FILE, &old), &old)] {
        write(&good);
        hub.gets(bytes, &["--file", file]);
    }
}

#[test]
fn an_image_that_leads_to_another_file_is_refused() {
    let hub = Hub::new();
    let mut bytes = image(Arch::Amd64, "kernel");
    fake_image::lead_to(&mut bytes, "/etc/shadow");
    hub.publish(bytes);
    let shown = hub.refuses(7, None, &[]);
    assert!(shown.contains("is not whole: a part of it is the file `/etc/shadow`"), "{shown}");
    assert!(!hub.emulator.path(PART).exists());
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    for percent in [1, 50, 99] {
        let cut = bytes.len() as u64 * percent / 100;
        hub.server.rule(storage(Fault::CutAt(cut)));
        hub.refuses(1, None, &[]);
        assert_eq!(fs::metadata(hub.emulator.path(PART)).unwrap().len(), cut);
        hub.server.clear_rules();
    }
    hub.gets(&bytes, &[]);
}

#[tokio::test]
async fn a_killed_pull_goes_on_where_it_was() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    hub.server.rule(storage(Fault::HangAt(bytes.len() as u64 / 2)));
    let mut pull = hub.emulator.start(&["pull", "--skip-snapshot"]);
    let part = hub.emulator.path(PART);
    let enough = async || (fs::metadata(&part).ok()?.len() >= 8 << 20).then_some(());
    wait::until(Duration::from_secs(30), enough).await.unwrap();
    pull.kill().unwrap();
    pull.wait().unwrap();
    hub.server.clear_rules();
    hub.server.take_requests();
    let shown = hub.emulator.run(&["pull", "--skip-snapshot"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    hub.has(&bytes);
    let start = |range: &str| range.strip_prefix("bytes=")?.split_once('-')?.0.parse::<u64>().ok();
    let requests = hub.server.take_requests();
    let starts: Vec<_> = requests.iter().filter_map(|request| start(request.range.as_deref()?)).collect();
    assert!(!starts.is_empty() && starts.iter().all(|start| *start >= 8 << 20), "{starts:?}");
}

#[tokio::test]
async fn a_pull_that_is_killed_after_the_last_byte_downloads_nothing_again() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    hub.emulator.write("images/.lock", "");
    let lock = hub.emulator.lock("images/.lock");
    let mut pull = hub.emulator.start(&["pull", "--skip-snapshot"]);
    // It is verified by now, and waits to be renamed.
    let verified = hub.emulator.path("images/.incoming-amd64.boot");
    let waits = async || verified.exists().then_some(());
    wait::until(Duration::from_secs(30), waits).await.unwrap();
    pull.kill().unwrap();
    pull.wait().unwrap();
    drop(lock);
    hub.server.take_requests();
    let shown = hub.emulator.run(&["pull", "--skip-snapshot"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    hub.has(&bytes);
    let requests = hub.server.take_requests();
    assert!(requests.iter().all(|request| request.place != Place::Storage), "{requests:?}");
    assert_eq!(fs::read_dir(hub.emulator.path("downloads")).unwrap().count(), 1, "only the lock is left");
}

#[test]
fn what_is_no_image_for_this_machine_is_refused_and_not_kept() {
    let hub = Hub::signed_in();
    hub.publish(image(Arch::Arm64, "kernel"));
    let shown = hub.refuses(7, None, &[]);
    assert!(
        shown.contains(
            "error: the file from release `emulator-dev-latest` of `stack/emulator` is not an image for amd64"
        ),
        "{shown}"
    );
    hub.publish(vec![0; 1 << 20]);
    hub.refuses(7, None, &[]);
    hub.build(REPO, zipped("stack-emulator-arm64.qcow2", b"arm"));
    let shown = hub.refuses(7, None, &["--pr", "7"]);
    assert!(
        shown.contains("it holds no `stack-emulator-amd64.qcow2`, only `stack-emulator-arm64.qcow2`"),
        "{shown}"
    );
    hub.build(REPO, zipped(&format!("../{FILE}"), b"evil"));
    hub.refuses(7, None, &["--pr", "7"]);
    assert!(!hub.emulator.path(PART).exists());
}

#[test]
fn a_part_of_an_image_is_never_taken_for_one() {
    let hub = Hub::new();
    hub.publish(image(Arch::Amd64, "kernel"));
    hub.server.rule(Rule::new(Place::Storage, Fault::CutAt(1 << 20)));
    hub.refuses(1, None, &[]);
    let shown = hub.emulator.run(&["images"]);
    assert!(shown.contains("there is no image"), "{shown}");
    let shown = hub.emulator.run(&["start", "--offline"]);
    assert!(shown.contains("there is no image for amd64, and with `--offline` none is pulled"), "{shown}");
}
