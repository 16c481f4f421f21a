//! Finding images on a GitHub on which everything is there that can be.

use std::time::Duration;

use base::events::Silent;
use fake_github::{self as fake, Content, Fault, Place, Rule};
use protocol::Secret;
use time::OffsetDateTime;

use super::*;
use crate::github::Address;
use fetch::Credential;
use image::stack::DEFAULT_STACK;

const REPO: &str = "stack/emulator";
const IMAGE: &str = "stack-emulator-amd64.qcow2";

struct Server(fake::GitHub);

impl Server {
    fn new() -> Self {
        let server = fake::GitHub::start();
        server.world().tokens.insert("good".to_owned());
        server.world().repo(REPO);
        Self(server)
    }

    fn release(&self, tag: &str, day: i64, assets: &[&str]) {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(day);
        let mut world = self.0.world();
        let id = world.add_release(REPO, fake::Release::published(tag, at));
        for name in assets {
            world.add_asset(REPO, id, name, Content::from(format!("{tag} {name}").into_bytes()));
        }
    }

    fn pull(&self, from: &str) {
        let pull = fake::PullRequest::open(from, "dev", "cafe");
        self.0.world().repo(REPO).pulls.insert(7, pull);
    }

    fn run(&self, change: impl FnOnce(&mut fake::Run)) -> u64 {
        let mut run = fake::Run::succeeded(REPO, "dev", "cafe");
        change(&mut run);
        self.0.world().add_run(REPO, run)
    }

    fn artifact(&self, run: u64, name: &str) -> u64 {
        self.0.world().add_artifact(REPO, run, name, Content::from(b"zip".to_vec()))
    }

    async fn find_as(&self, token: Option<&str>, wanted: Wanted) -> Result<Found, FindError> {
        let token = token.map(|token| Credential::new(Secret::new(token), "GITHUB_TOKEN"));
        let address = Address::of(&self.0.api_url()).unwrap();
        let github = GitHub::new(address, REPO.parse().unwrap(), token).unwrap();
        github.find(&wanted, &Names::of(DEFAULT_STACK), Arch::Amd64, &Silent).await
    }

    async fn find(&self, wanted: Wanted) -> Result<Found, FindError> {
        self.find_as(Some("good"), wanted).await
    }

    async fn refusal(&self, wanted: Wanted) -> String {
        self.find(wanted).await.unwrap_err().to_string().replace(&self.0.api_url(), "[api]")
    }
}

fn dev() -> Wanted {
    Wanted::Branch("dev".to_owned())
}

#[tokio::test]
async fn the_rolling_release_is_the_newest_one() {
    let server = Server::new();
    server.release("emulator-dev-20260101-00000001", 1, &[IMAGE]);
    server.release("emulator-dev-latest", 0, &[IMAGE]);
    assert_eq!(server.find(dev()).await.unwrap().origin, "release `emulator-dev-latest`");
}

#[tokio::test]
async fn without_a_rolling_image_the_newest_of_that_very_branch_is_taken() {
    let server = Server::new();
    server.release("emulator-dev-latest", 9, &["stack-emulator-amd64.qcow2.new"]);
    server.release("emulator-dev-20260101-00000001", 1, &[IMAGE]);
    server.release("emulator-dev-20260103-00000003", 3, &["stack-emulator-arm64.qcow2"]);
    server.release("emulator-dev-20260102-00000002", 2, &[IMAGE]);
    server.release("emulator-dev-next-20260104-00000004", 4, &[IMAGE]);
    assert_eq!(server.find(dev()).await.unwrap().origin, "release `emulator-dev-20260102-00000002`");
    let error = server.find(Wanted::Branch("main".to_owned())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`stack/emulator` has no release of branch `main` with `stack-emulator-amd64.qcow2`"
    );
}

#[tokio::test]
async fn a_release_beyond_the_first_page_is_found() {
    let server = Server::new();
    server.release("emulator-dev-20250101-00000001", 0, &[IMAGE]);
    for number in 0..250 {
        server.release(&format!("v{number}"), 1 + number, &[]);
    }
    assert!(server.find(dev()).await.is_ok());
}

#[tokio::test]
async fn a_tag_names_a_release_and_what_it_lacks_is_told() {
    let server = Server::new();
    server.release("v1", 1, &[IMAGE]);
    server.release("v2", 2, &["stack-emulator-arm64.qcow2"]);
    let found = server.find(Wanted::Tag("v1".to_owned())).await.unwrap();
    let content = format!("v1 {IMAGE}");
    assert_eq!(found.remote.pin, Some(Pin::Sha256(base::digest::of_bytes(content.as_bytes()))));
    assert_eq!(found.remote.size, Some(content.len() as u64));
    assert_eq!(
        server.refusal(Wanted::Tag("v2".to_owned())).await,
        "release `v2` of `stack/emulator` has no `stack-emulator-amd64.qcow2`, only `stack-emulator-arm64.qcow2`"
    );
    assert_eq!(server.refusal(Wanted::Tag("v3".to_owned())).await, "`stack/emulator` has no release `v3`");
}

#[tokio::test]
async fn whatever_is_typed_as_a_tag_is_only_a_tag() {
    let server = Server::new();
    let refused = server.refusal(Wanted::Tag("../v 1?#é".to_owned())).await;
    assert_eq!(refused, "`stack/emulator` has no release `../v 1?#é`");
    server.release("v/1", 1, &[IMAGE]);
    assert!(server.find(Wanted::Tag("v/1".to_owned())).await.is_ok());
    server.0.world().anonymous_left = Some(0);
    let found = server.find_as(None, Wanted::Tag("v/1".to_owned())).await.unwrap();
    assert!(found.remote.url.ends_with(&format!("/releases/download/v%2F1/{IMAGE}")), "{}", found.remote.url);
    assert!(found.unasked.unwrap().is_limit());
}

#[tokio::test]
async fn without_a_token_a_used_up_limit_leads_to_an_address_without_api() {
    let server = Server::new();
    server.release("emulator-dev-latest", 1, &[IMAGE]);
    let web = format!("{}/stack/emulator/releases/download/emulator-dev-latest/{IMAGE}", server.0.web_url());
    let found = server.find_as(None, dev()).await.unwrap();
    assert_eq!((found.remote.url.as_str(), found.remote.pin.is_some()), (web.as_str(), true));
    server.0.world().anonymous_left = Some(0);
    let found = server.find_as(None, dev()).await.unwrap();
    assert_eq!((found.remote.url.as_str(), found.remote.pin.is_some()), (web.as_str(), false));
}

#[tokio::test]
async fn a_pull_request_is_found_by_its_commit_and_a_fork_is_told() {
    let server = Server::new();
    server.pull("mallory/emulator");
    // Another commit of the same branch name must not be taken.
    let other = server.run(|run| run.head_sha = "beef".to_owned());
    server.artifact(other, "qemu-emulator-amd64");
    assert_eq!(
        server.refusal(Wanted::PullRequest(7)).await,
        "no image was built for pull request #7: its head cafe has no run of `.github/workflows/image.yml`"
    );
    let run = server.run(|run| run.head_repo = "mallory/emulator".to_owned());
    let artifact = server.artifact(run, "qemu-emulator-amd64");
    server.artifact(run, "qemu-emulator-arm64");
    let found = server.find(Wanted::PullRequest(7)).await.unwrap();
    let fork = Fork { repo: Some("mallory/emulator".to_owned()), sha: "cafe".to_owned() };
    assert_eq!(found.fork, Some(fork.clone()));
    assert!(found.remote.url.ends_with(&format!("/actions/artifacts/{artifact}/zip")));
    assert!(found.remote.may_be_zip);
    assert_eq!(server.find(Wanted::Run(run)).await.unwrap().fork, Some(fork));
    server.pull(REPO);
    assert_eq!(server.find(Wanted::PullRequest(7)).await.unwrap().fork, None);
}

#[tokio::test]
async fn running_failed_and_expired_builds_have_messages_of_their_own() {
    let server = Server::new();
    server.pull(REPO);
    let failed = server.run(|run| run.conclusion = Some("failure"));
    let url = |id: u64| format!("https://github.com/stack/emulator/actions/runs/{id}");
    assert_eq!(
        server.refusal(Wanted::PullRequest(7)).await,
        format!("there is no image of cafe: `{}` ended with `failure`", url(failed))
    );
    let running = server.run(|run| (run.status, run.conclusion) = ("in_progress", None));
    let still = format!("the image of cafe is not ready: `{}` is still running", url(running));
    assert_eq!(server.refusal(Wanted::PullRequest(7)).await, still);
    assert_eq!(server.refusal(Wanted::Run(running)).await, still);
    // A linter's run says nothing about images.
    server.run(|run| run.path = ".github/workflows/ci.yml".to_owned());
    assert_eq!(server.refusal(Wanted::PullRequest(7)).await, still);

    let done = server.run(|_| {});
    server.artifact(done, "logs");
    assert_eq!(
        server.refusal(Wanted::PullRequest(7)).await,
        format!("`{}` has no artifact `qemu-emulator-amd64`, only `logs`", url(done))
    );
    let artifact = server.artifact(done, "qemu-emulator-amd64");
    server.0.world().repo(REPO).artifacts.get_mut(&artifact).unwrap().expired = true;
    assert_eq!(
        server.refusal(Wanted::PullRequest(7)).await,
        format!("artifact `qemu-emulator-amd64` of `{}` has expired", url(done))
    );
    assert_eq!(server.refusal(Wanted::PullRequest(8)).await, "`stack/emulator` has no pull request #8");
    assert_eq!(server.refusal(Wanted::Run(99)).await, "`stack/emulator` has no workflow run 99");
}

#[tokio::test]
async fn an_artifact_that_was_uploaded_unzipped_has_the_name_of_the_file() {
    let server = Server::new();
    let run = server.run(|_| {});
    server.artifact(run, IMAGE);
    assert!(server.find(Wanted::Run(run)).await.is_ok());
    let error = server.find_as(None, Wanted::Run(run)).await.unwrap_err();
    assert!(matches!(error, FindError::NeedsToken) && error.is_about_access(), "{error}");
}

#[tokio::test]
async fn what_the_api_refuses_is_told_apart() {
    let server = Server::new();
    server.run(|_| {});
    let error = server.find_as(Some("bad"), dev()).await.unwrap_err();
    assert!(error.to_string().ends_with("answered 401: the token of `GITHUB_TOKEN` is not valid"), "{error}");
    assert!(error.is_about_access());

    for (status, retry_after) in [(403, false), (429, false), (429, true), (403, true)] {
        let limit = Fault::RateLimit { status, reset_in: Duration::from_mins(10), retry_after };
        server.0.rule(Rule::new(Place::Api, limit));
        let error = server.find(Wanted::Run(1)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the limit of requests of this token is used up until 20"), "{text}");
        assert!(error.is_about_access());
        server.0.clear_rules();
    }

    server.0.rule(Rule::new(Place::Api, Fault::Status(403)));
    let text = server.refusal(Wanted::Run(1)).await;
    assert!(text.ends_with("answered 403: it was set to fail"), "{text}");
    server.0.clear_rules();

    let private = server.find_as(None, Wanted::Run(99)).await.unwrap_err();
    assert!(!private.is_about_access(), "{private}");

    let api = server.0.api_url();
    drop(server);
    let github = GitHub::new(Address::of(&api).unwrap(), REPO.parse().unwrap(), None).unwrap();
    let error = github.find(&dev(), &Names::of(DEFAULT_STACK), Arch::Amd64, &Silent).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot reach `http://127.0.0.1:"), "{error}");
    assert!(!error.is_about_access());
}

#[tokio::test]
async fn a_server_that_fails_three_times_is_asked_again() {
    let server = Server::new();
    server.release("v1", 1, &[IMAGE]);
    server.0.rule(Rule::new(Place::Api, Fault::Status(500)).times(3));
    server.find(Wanted::Tag("v1".to_owned())).await.unwrap();
    server.0.rule(Rule::new(Place::Api, Fault::Status(502)));
    let text = server.refusal(Wanted::Tag("v1".to_owned())).await;
    assert!(text.contains("answered 502 Bad Gateway"), "{text}");
}

#[tokio::test]
async fn of_several_stacks_the_image_of_the_one_that_is_wanted_is_found() {
    let server = Server::new();
    server.release("emulator-dev-latest", 1, &[IMAGE]);
    server.release("shop-emulator-dev-latest", 2, &["shop-amd64.qcow2"]);
    let github = GitHub::new(Address::of(&server.0.api_url()).unwrap(), REPO.parse().unwrap(), None).unwrap();
    let shop = Names::of("shop");
    let found = github.find(&dev(), &shop, Arch::Amd64, &Silent).await.unwrap();
    assert_eq!(found.origin, "release `shop-emulator-dev-latest`");
    let tags = async |names: &Names| {
        let releases = github.releases(names, None).await.unwrap();
        releases.into_iter().map(|release| release.tag_name).collect::<Vec<_>>()
    };
    assert_eq!(tags(&shop).await, ["shop-emulator-dev-latest"]);
    assert_eq!(tags(&Names::of(DEFAULT_STACK)).await, ["emulator-dev-latest"]);
}
