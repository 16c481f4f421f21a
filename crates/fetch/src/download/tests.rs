//! Downloads from a server on which everything that can go wrong does.

use std::fs;
use std::io::{Cursor, Write as _};

use base::digest;
use base::events::Silent;
use fake_github::{Content, Fault, GitHub, Place, Release, Rule, Run};
use protocol::Secret;
use time::OffsetDateTime;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::transfer::FRONT_BYTES;
use super::*;
use crate::Credential;

const REPO: &str = "stack/emulator";
const IMAGE: &str = "stack-emulator-amd64.qcow2";
const TOKEN: &str = "t0ken";

/// Bytes of a piece: a file in these tests has some dozens.
const SMALL_PIECE: u64 = 8 << 10;

/// Bytes that neither repeat themselves nor compress.
fn content() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..300_000).map(next).collect()
}

fn zipped(entries: &[(&str, &[u8])], method: zip::CompressionMethod, zip64: bool) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method).large_file(zip64);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What is on the server, and how it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kindred {
    /// A release's file by its web address.
    Web,
    /// A release's file through the API.
    Asset,
    /// A run's artifact that was not zipped.
    RawArtifact,
    /// A zip that does not compress.
    Stored,
    /// A zip that does.
    Deflated,
    /// A zip in the format for large files.
    Zip64,
}

const ALL: [Kindred; 6] =
    [Kindred::Web, Kindred::Asset, Kindred::RawArtifact, Kindred::Stored, Kindred::Deflated, Kindred::Zip64];

struct It {
    kindred: Kindred,
    server: GitHub,
    dir: tempfile::TempDir,
    remote: Remote,
    /// Bytes of what is transferred.
    length: u64,
    downloader: Downloader,
}

impl It {
    fn new(kindred: Kindred) -> Self {
        let stored = zip::CompressionMethod::Stored;
        let entries: [(&str, &[u8]); 2] = [("notes.txt", b"notes"), (IMAGE, &content())];
        let bytes = match kindred {
            Kindred::Web | Kindred::Asset | Kindred::RawArtifact => content(),
            Kindred::Stored => zipped(&entries[1..], stored, false),
            Kindred::Deflated => zipped(&entries, zip::CompressionMethod::Deflated, false),
            Kindred::Zip64 => zipped(&entries, stored, true),
        };
        Self::of(kindred, bytes)
    }

    fn of(kindred: Kindred, bytes: Vec<u8>) -> Self {
        let server = GitHub::start();
        let pin = Some(Pin::Sha256(digest::of_bytes(&bytes)));
        let length = bytes.len() as u64;
        let mut world = server.world();
        world.tokens.insert(TOKEN.to_owned());
        let token = Some(Credential::new(Secret::new(TOKEN), "GITHUB_TOKEN"));
        let api = format!("{}/repos/{REPO}", server.api_url());
        let remote = match kindred {
            Kindred::Web | Kindred::Asset => {
                let release = world.add_release(REPO, Release::published("v1", OffsetDateTime::UNIX_EPOCH));
                let id = world.add_asset(REPO, release, IMAGE, Content::from(bytes));
                let web = format!("{}/{REPO}/releases/download/v1/{IMAGE}", server.web_url());
                let (url, token) = match kindred {
                    Kindred::Web => (web, None),
                    _ => (format!("{api}/releases/assets/{id}"), token),
                };
                Remote { url, token, size: Some(length), pin, may_be_zip: false, accept: ANY_BYTES }
            }
            _ => {
                let run = world.add_run(REPO, Run::succeeded(REPO, "dev", "cafe"));
                let id = world.add_artifact(REPO, run, "artifact", Content::from(bytes));
                let url = format!("{api}/actions/artifacts/{id}/zip");
                Remote {
                    url,
                    token,
                    size: Some(length),
                    pin,
                    may_be_zip: true,
                    accept: "application/vnd.github+json",
                }
            }
        };
        drop(world);
        let client = crate::http::client_with(Duration::from_millis(300)).unwrap();
        let manner = Manner { piece: SMALL_PIECE, parallel: 4, first_pause: Duration::from_millis(1) };
        let downloader = Downloader { client, manner };
        Self { kindred, server, dir: tempfile::tempdir().unwrap(), remote, length, downloader }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join(IMAGE)
    }

    fn part(&self) -> u64 {
        fs::metadata(part_of(&self.target())).map_or(0, |data| data.len())
    }

    fn storage(&self, fault: Fault) {
        self.server.rule(Rule::new(Place::Storage, fault));
    }

    /// Requests in which an artifact's ends are looked at before it is transferred.
    fn looks(&self) -> u32 {
        match self.kindred {
            Kindred::Web | Kindred::Asset => 0,
            Kindred::RawArtifact => 1,
            Kindred::Stored | Kindred::Deflated | Kindred::Zip64 => 3,
        }
    }

    async fn fetch(&self) -> Result<(), DownloadError> {
        let target = self.target();
        let phase = phase(&Silent, &target);
        let result = self.downloader.fetch(&self.remote, &target, &phase).await;
        phase.done();
        result
    }

    /// The download succeeds, and leaves the file and nothing else. Only the API has seen the token.
    async fn succeeds(&self) {
        self.fetch().await.unwrap();
        assert_eq!(fs::read(self.target()).unwrap(), content());
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 1);
        self.token_stayed_at_home();
    }

    /// The download fails, and there is no file by the target's name.
    async fn fails(&self) -> DownloadError {
        let error = self.fetch().await.unwrap_err();
        assert!(!self.target().exists());
        self.token_stayed_at_home();
        error
    }

    fn token_stayed_at_home(&self) {
        for request in self.server.take_requests() {
            assert!(request.place == Place::Api || request.authorization.is_none(), "{request:?}");
        }
    }
}

fn at(percent: u64, length: u64) -> u64 {
    length * percent / 100
}

#[tokio::test]
async fn what_comes_gets_its_name_when_it_is_whole() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.succeeds().await;
    }
}

#[tokio::test]
async fn a_transfer_that_is_cut_is_taken_up_again_at_once() {
    for kindred in ALL {
        for percent in [1, 50, 99] {
            let it = It::new(kindred);
            it.server.rule(Rule::new(Place::Storage, Fault::CutAt(at(percent, it.length))).times(4));
            it.succeeds().await;
        }
    }
}

#[tokio::test]
async fn a_transfer_that_stays_cut_is_gone_on_with_by_the_next_command() {
    for kindred in ALL {
        for percent in [1, 50, 99] {
            let it = It::new(kindred);
            let cut = at(percent, it.length);
            // The archive's ends are looked at first, and are not what is cut here.
            let skip = it.looks();
            it.server.rule(Rule::new(Place::Storage, Fault::CutAt(cut)).after(skip));
            let error = it.fails().await;
            assert!(matches!(error, DownloadError::BrokenOff { .. }), "{kindred:?} {percent}: {error:?}");
            assert_eq!(error.kind(), Kind::Failed);
            let have = it.part();
            it.server.clear_rules();
            it.succeeds().await;
            if matches!(kindred, Kindred::Web | Kindred::Asset | Kindred::RawArtifact) {
                assert_eq!(have, cut, "{kindred:?} {percent}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_here_is_not_asked_for_again() {
    for kindred in [Kindred::Web, Kindred::Asset, Kindred::RawArtifact, Kindred::Stored] {
        let it = It::new(kindred);
        let skip = it.looks();
        it.server.rule(Rule::new(Place::Storage, Fault::CutAt(200_000)).after(skip));
        it.fails().await;
        it.server.clear_rules();
        it.fetch().await.unwrap();
        let first = |range: &str| range.strip_prefix("bytes=")?.split_once('-')?.0.parse::<u64>().ok();
        let asked = it.server.take_requests();
        let pieces =
            asked.iter().filter(|request| request.place == Place::Storage && request.if_range.is_some());
        let starts: Vec<_> = pieces.filter_map(|request| first(request.range.as_deref()?)).collect();
        let body: Vec<_> = starts.iter().filter(|start| **start >= FRONT_BYTES).collect();
        assert!(!body.is_empty() && body.iter().all(|start| **start >= 37_000), "{kindred:?}: {starts:?}");
        assert_eq!(fs::read(it.target()).unwrap(), content());
    }
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_is_begun_anew() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.server.rule(Rule::new(Place::Storage, Fault::ETag("\"other\"".to_owned())).after(6).times(1));
        it.succeeds().await;
    }
}

#[tokio::test]
async fn a_file_that_has_changed_since_the_last_command_is_begun_anew() {
    for kindred in [Kindred::Web, Kindred::Asset, Kindred::RawArtifact, Kindred::Stored] {
        let it = It::new(kindred);
        let skip = it.looks();
        it.server.rule(Rule::new(Place::Storage, Fault::CutAt(200_000)).after(skip));
        it.fails().await;
        it.server.clear_rules();
        it.storage(Fault::ETag("\"other\"".to_owned()));
        it.succeeds().await;
    }
}

#[tokio::test]
async fn a_file_that_changes_all_the_time_is_given_up() {
    let mut it = It::new(Kindred::Web);
    it.downloader.manner.parallel = 1;
    for number in 0..100 {
        let other = Fault::ETag(format!("\"{number}\""));
        it.server.rule(Rule::new(Place::Storage, other).after(number).times(1));
    }
    let error = it.fails().await;
    assert!(matches!(error, DownloadError::Changed { .. }), "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_wrong_byte_is_found_and_nothing_of_the_file_is_kept() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.storage(Fault::WrongByte(it.length / 2));
        let error = it.fails().await;
        assert_eq!(error.kind(), Kind::Verification, "{kindred:?}: {error:?}");
        assert_eq!(fs::read_dir(it.dir.path()).unwrap().count(), 0);
        it.server.clear_rules();
        it.succeeds().await;
    }
}

#[tokio::test]
async fn a_wrong_byte_from_an_earlier_command_costs_a_second_transfer_only() {
    let it = It::new(Kindred::Web);
    it.storage(Fault::CutAt(200_000));
    it.fails().await;
    let mut bytes = fs::read(part_of(&it.target())).unwrap();
    bytes[1000] ^= 1;
    fs::write(part_of(&it.target()), bytes).unwrap();
    it.server.clear_rules();
    it.succeeds().await;
}

#[tokio::test]
async fn a_truncated_body_is_found_by_its_length_or_its_digest() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.storage(Fault::TruncateTo(it.length - 1000));
        let error = it.fails().await;
        assert_eq!(error.kind(), Kind::Verification, "{kindred:?}: {error:?}");
        assert_eq!(it.part(), 0);
    }
}

#[tokio::test]
async fn an_address_that_has_expired_is_asked_for_again() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.server.world().signature_uses = Some(6);
        it.succeeds().await;
        let it = It::new(kindred);
        it.server.rule(Rule::new(Place::Storage, Fault::Expired).after(3).times(2));
        it.succeeds().await;
    }
    let it = It::new(Kindred::Web);
    it.storage(Fault::Expired);
    let error = it.fails().await;
    assert!(matches!(error, DownloadError::Expired { .. }), "{error:?}");
}

#[tokio::test]
async fn a_short_limit_of_requests_is_waited_for_and_a_long_one_reported() {
    for place in [Place::Api, Place::Storage] {
        for status in [403, 429] {
            for retry_after in [true, false] {
                let it = It::new(Kindred::Asset);
                let short = Fault::RateLimit { status, reset_in: Duration::from_secs(1), retry_after };
                it.server.rule(Rule::new(place, short).times(1));
                it.succeeds().await;

                let it = It::new(Kindred::Asset);
                let long = Fault::RateLimit { status, reset_in: Duration::from_hours(1), retry_after };
                it.server.rule(Rule::new(place, long));
                let error = it.fails().await;
                assert_eq!(error.kind(), Kind::Access, "{error:?}");
                assert!(error.to_string().contains("is used up until 20"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_and_one_without_the_file_is_not() {
    for kindred in ALL {
        for place in [Place::Api, Place::Web, Place::Storage] {
            let it = It::new(kindred);
            it.server.rule(Rule::new(place, Fault::Status(500)).times(3));
            it.succeeds().await;
        }
    }
    let it = It::new(Kindred::Web);
    it.server.rule(Rule::new(Place::Web, Fault::Status(404)));
    let error = it.fetch().await.unwrap_err();
    assert!(error.is_gone(), "{error}");
    assert_eq!(error.to_string(), format!("`{}` answered 404 Not Found", it.remote.url));
    assert_eq!(it.server.take_requests().len(), 1);
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_given_up_and_taken_up_again() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.server.rule(Rule::new(Place::Storage, Fault::HangAt(it.length / 2)).times(1));
        it.server.rule(Rule::new(Place::Storage, Fault::Hang).after(2).times(1));
        it.succeeds().await;
    }
    let it = It::new(Kindred::Web);
    it.storage(Fault::Hang);
    assert_eq!(it.fails().await.kind(), Kind::TimedOut);
}

#[tokio::test]
async fn a_server_without_ranges_sends_everything() {
    for kindred in ALL {
        let it = It::new(kindred);
        it.storage(Fault::NoRanges);
        it.succeeds().await;

        let it = It::new(kindred);
        it.storage(Fault::NoRanges);
        it.server.rule(Rule::new(Place::Storage, Fault::CutAt(it.length / 2)).times(3));
        it.succeeds().await;

        let it = It::new(kindred);
        it.server.rule(Rule::new(Place::Storage, Fault::CutAt(200_000)).after(it.looks()));
        it.fails().await;
        it.server.clear_rules();
        it.storage(Fault::NoRanges);
        it.succeeds().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_leaves_nothing_behind() {
    let it = It::new(Kindred::Web);
    let It { server, dir, remote, downloader, .. } = it;
    drop(server);
    let target = dir.path().join(IMAGE);
    let error = downloader.fetch(&remote, &target, &phase(&Silent, &target)).await.unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error:?}");
    assert!(!target.exists());
}

#[tokio::test]
async fn an_archive_that_leads_elsewhere_or_lacks_the_file_is_refused() {
    let stored = zip::CompressionMethod::Stored;
    let bytes = content();
    let refusals = [
        (
            "../../stack-emulator-amd64.qcow2",
            "it has an entry `../../stack-emulator-amd64.qcow2`, which leads elsewhere",
        ),
        (
            "stack-emulator-arm64.qcow2",
            "it holds no `stack-emulator-amd64.qcow2`, only `stack-emulator-arm64.qcow2`",
        ),
        ("log.txt", "it holds no `stack-emulator-amd64.qcow2`, only `log.txt`"),
    ];
    for (name, refusal) in refusals {
        for ranges in [true, false] {
            let it = It::of(Kindred::Stored, zipped(&[(name, &bytes)], stored, false));
            if !ranges {
                it.storage(Fault::NoRanges);
            }
            let error = it.fails().await;
            let DownloadError::Archive { source, .. } = &error else { panic!("{error:?}") };
            assert_eq!(source.to_string(), refusal);
            assert_eq!(error.kind(), Kind::Verification);
            assert_eq!(it.part(), 0);
        }
    }
    let it = It::of(Kindred::Stored, [b"PK\x03\x04".as_slice(), &bytes].concat());
    assert_eq!(it.fails().await.kind(), Kind::Verification);
}

#[tokio::test]
async fn an_image_in_a_directory_of_an_archive_is_found() {
    let it = It::of(
        Kindred::Stored,
        zipped(&[("out/stack-emulator-amd64.qcow2", &content())], zip::CompressionMethod::Stored, false),
    );
    it.succeeds().await;
}

#[tokio::test]
async fn without_a_digest_the_entity_tag_tells_whether_to_go_on() {
    let mut it = It::new(Kindred::Web);
    (it.remote.pin, it.remote.size) = (None, None);
    it.storage(Fault::CutAt(200_000));
    it.fails().await;
    assert_eq!(it.part(), 200_000);
    it.server.clear_rules();
    it.succeeds().await;
}

#[tokio::test]
async fn what_is_left_of_another_file_is_not_gone_on_with() {
    let it = It::new(Kindred::Web);
    fs::write(part_of(&it.target()), vec![7; 1000]).unwrap();
    it.succeeds().await;
    let it = It::new(Kindred::Web);
    it.storage(Fault::CutAt(200_000));
    it.fails().await;
    let other = Remote { pin: Some(Pin::Sha256(digest::of_bytes(b"another file"))), ..it.remote.clone() };
    let target = it.target();
    it.server.clear_rules();
    let error = it.downloader.fetch(&other, &target, &phase(&Silent, &target)).await.unwrap_err();
    assert!(matches!(error, DownloadError::Digest { .. }), "{error:?}");
    assert_eq!(it.part(), 0);
}

#[tokio::test]
async fn a_whole_part_needs_its_name_only() {
    let it = It::new(Kindred::Web);
    let target = it.target();
    let part = Part::of(&target);
    let known = source::Known { etag: None, total: Some(it.length) };
    part.describe(&it.remote, known, false).unwrap();
    fs::write(part.path(), content()).unwrap();
    it.fetch().await.unwrap();
    assert_eq!(it.server.take_requests(), []);
}

/// Receives, and is interrupted before the file has its name.
async fn received_and_interrupted(it: &It) {
    let target = it.target();
    it.downloader.receive(&it.remote, &target, &phase(&Silent, &target)).await.unwrap();
    it.server.take_requests();
}

#[tokio::test]
async fn a_whole_download_that_did_not_get_its_name_is_not_made_again() {
    for kindred in [Kindred::Web, Kindred::Asset] {
        let it = It::new(kindred);
        received_and_interrupted(&it).await;
        it.fetch().await.unwrap();
        assert_eq!(it.server.take_requests(), [], "{kindred:?}");
        assert_eq!(fs::read(it.target()).unwrap(), content());
    }
    for kindred in [Kindred::RawArtifact, Kindred::Stored] {
        let it = It::new(kindred);
        received_and_interrupted(&it).await;
        it.fetch().await.unwrap();
        let asked = it.server.take_requests();
        let bodies = asked.iter().filter(|request| request.place == Place::Storage).count();
        // The look at it, and of an archive its end, which the digest is of too.
        assert!(bodies <= 4, "{kindred:?}: {asked:?}");
    }
}

#[tokio::test]
async fn a_whole_download_without_a_digest_is_asked_about_once() {
    let mut it = It::new(Kindred::Web);
    (it.remote.pin, it.remote.size) = (None, None);
    received_and_interrupted(&it).await;
    it.fetch().await.unwrap();
    let asked = it.server.take_requests();
    let bodies: Vec<_> = asked.iter().filter(|request| request.place == Place::Storage).collect();
    assert_eq!(bodies.len(), 1, "{asked:?}");
    assert!(bodies[0].if_range.is_some(), "{asked:?}");

    fs::remove_file(it.target()).unwrap();
    received_and_interrupted(&it).await;
    let mut other = content();
    other.reverse();
    let mut world = it.server.world();
    let release = world.repo(REPO).releases.values_mut().next().unwrap();
    release.assets.values_mut().next().unwrap().content = Content::from(other.clone());
    drop(world);
    it.fetch().await.unwrap();
    assert_eq!(fs::read(it.target()).unwrap(), other);
}

#[tokio::test]
async fn more_than_there_is_room_for_is_refused_before_anything_comes() {
    let mut it = It::new(Kindred::Web);
    it.remote.size = Some(1 << 60);
    let error = it.fails().await;
    assert!(matches!(error, DownloadError::NoSpace(_)), "{error:?}");
    assert!(error.hint().unwrap().starts_with("free some space in `/"));
    assert_eq!(it.server.take_requests(), []);
}

#[tokio::test]
async fn the_server_is_asked_for_an_unknown_length() {
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    fs::File::create(&large).unwrap().set_len(4 << 40).unwrap();
    let server = GitHub::start();
    let mut world = server.world();
    let release = world.add_release(REPO, Release::published("v1", OffsetDateTime::UNIX_EPOCH));
    world.add_asset(REPO, release, IMAGE, Content::file(&large).unwrap());
    drop(world);
    let url = format!("{}/{REPO}/releases/download/v1/{IMAGE}", server.web_url());
    let remote = Remote { url, token: None, size: None, pin: None, may_be_zip: false, accept: ANY_BYTES };
    let target = dir.path().join(IMAGE);
    let downloader = Downloader::new().unwrap();
    let error = downloader.fetch(&remote, &target, &phase(&Silent, &target)).await.unwrap_err();
    assert!(matches!(error, DownloadError::NoSpace(_)), "{error:?}");
    let storage = server.take_requests().into_iter().filter(|request| request.place == Place::Storage);
    assert_eq!(storage.count(), 1);
}
