//! What is not published, and what is said then.

use fake_github::Fault;
use fake_github::{Place, Rule};
use host::events::Silent;
use release::arch::Arch;
use release::github::{Address, ApiError, GitHub};
use release::publish::{Plan, PublishError, carry_out};

use crate::fixture::{BRANCH, Built, NEW, OLD, image, publish, repo, seen, server};

#[tokio::test]
async fn a_published_release_with_other_content_stays_as_it_is() {
    let server = server();
    let one = Built::from(NEW);
    publish(&server, &one).await.unwrap();
    let before = seen(&server);
    // Another build of the same commit on the same day.
    let dir = tempfile::tempdir().unwrap();
    let mut other = image(dir.path(), Arch::Amd64, OLD);
    other.manifest.build.git_sha = NEW.to_owned();
    let plan = Plan::images(&repo(), BRANCH, dir.path(), &[other], None, true).unwrap();
    let error = carry_out(&plan, &crate::fixture::client(&server), &Silent).await.unwrap_err();
    assert!(error.to_string().starts_with(
        "release `emulator-dev-20260309-bbbbbbbb` is published already, with another `stack-emulator-amd64.qcow2`: its digest is "
    ));
    assert_eq!(seen(&server), before);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let server = server();
    let github = GitHub::new(Address::of(&server.api_url()).unwrap(), repo(), None).unwrap();
    let error = carry_out(&Built::from(NEW).plan, &github, &Silent).await.unwrap_err();
    assert_eq!(error.to_string(), "publishing needs a token, and there is none");
    assert_eq!(server.take_requests(), []);
}

#[tokio::test]
async fn a_token_that_may_not_write_is_told() {
    let server = server();
    server.rule(Rule::new(Place::Api, Fault::Status(403)).method("POST"));
    let error = publish(&server, &Built::from(NEW)).await.unwrap_err();
    assert!(matches!(error, PublishError::Api(ApiError::Forbidden { .. })), "{error}");
}

#[tokio::test]
async fn a_tag_that_may_not_be_moved_is_no_failure() {
    let server = server();
    publish(&server, &Built::from(OLD)).await.unwrap();
    server.rule(Rule::new(Place::Api, Fault::Status(403)).method("PATCH").path("/git/refs"));
    publish(&server, &Built::from(NEW)).await.unwrap();
    let world = server.world();
    let tags = &world.repos[crate::fixture::REPO].tags;
    assert_eq!(tags["emulator-dev-latest"], OLD);
    assert_eq!(tags["emulator-dev-20260309-bbbbbbbb"], NEW);
}
