//! What is not published, and what is said then.

use base::events::Silent;
use fake_github::Fault;
use fake_github::{Place, Rule};
use fetch::Refusal;
use image::arch::Arch;
use release::github::{Address, ApiError, GitHub};
use release::publish::{Choices, Plan, PublishError, carry_out};

use crate::fixture::{BRANCH, Built, NEW, OLD, REPO, image, names, publish, repo, seen, server, warnings_of};

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
    let choices = Choices { incomplete: true, ..Choices::default() };
    let plan = Plan::images(&repo(), &names(), BRANCH, dir.path(), &[other], choices).unwrap();
    let error = carry_out(&plan, &crate::fixture::client(&server), &Silent).await.unwrap_err();
    assert!(error.to_string().starts_with(
        "release `emulator-dev-20260309-bbbbbbbb` is published already, with another `stack-emulator-amd64.qcow2`: its digest is "
    ));
    assert_eq!(seen(&server), before);
}

#[tokio::test]
async fn an_architecture_is_not_added_to_a_published_release() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let choices = Choices { incomplete: true, ..Choices::default() };
    let images = [image(dir.path(), Arch::Amd64, NEW)];
    let plan = Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, choices).unwrap();
    carry_out(&plan, &crate::fixture::client(&server), &Silent).await.unwrap();
    let before = seen(&server);
    let error = publish(&server, &Built::from(NEW)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "release `emulator-dev-20260309-bbbbbbbb` is published already, without `stack-emulator-arm64.qcow2`: what is published \
         never changes"
    );
    assert!(error.hint().is_some());
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
    assert!(matches!(error, PublishError::Api(ApiError::Refused(Refusal::Forbidden { .. }))), "{error}");
    assert!(error.hint().unwrap().starts_with("use a token that may write the repository's contents"));
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_told_by_its_new_name() {
    let server = server();
    server.world().repos.insert("a/renamed".to_owned(), fake_github::Repo::default());
    for status in [301, 307, 308] {
        let location = format!("{}/repositories/0/releases", server.api_url());
        server.rule(Rule::new(Place::Api, Fault::Moved(status, location)).method("POST"));
        let error = publish(&server, &Built::from(NEW)).await.unwrap_err();
        assert_eq!(error.to_string(), "the repository `stack/emulator` is called `a/renamed` by now");
        assert!(error.hint().unwrap().starts_with("name it `a/renamed`, by `--repo`"));
        assert!(server.world().repos["a/renamed"].releases.is_empty());
        server.clear_rules();
    }
}

#[tokio::test]
async fn the_token_does_not_follow_an_answer_to_another_host() {
    let (one, other) = (server(), server());
    for location in [format!("{}/repositories/0/releases", other.api_url()), "nowhere".to_owned()] {
        one.rule(Rule::new(Place::Api, Fault::Moved(307, location)).method("POST").times(1));
        let error = publish(&one, &Built::from(NEW)).await.unwrap_err();
        assert!(matches!(error, PublishError::Api(ApiError::Moved { .. })), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(other.take_requests(), []);
}

#[tokio::test]
async fn a_commit_that_changes_workflows_needs_no_right_to_write_them() {
    let server = server();
    let built = Built::from(NEW);
    server.world().repo(REPO).workflow_commits.insert(NEW.to_owned());
    let warnings = warnings_of(&server, &built).await;
    let shown = warnings.iter().map(|text| text.split(", and cannot be put there").next().unwrap());
    let tags = ["emulator-dev-20260309-bbbbbbbb", "emulator-dev-latest"];
    assert!(shown.eq(tags.map(|tag| format!("the tag `{tag}` is not on {NEW}"))), "{warnings:?}");
    let world = server.world();
    let repo = &world.repos[REPO];
    assert!(tags.iter().all(|tag| repo.tags[*tag] == "main"));
    assert!(repo.releases.values().all(|release| !release.draft && release.assets.len() == 2));
}

#[tokio::test]
async fn an_existing_tag_is_not_made_again() {
    let server = server();
    let built = Built::from(NEW);
    let mut world = server.world();
    let repo = world.repo(REPO);
    repo.workflow_commits.insert(NEW.to_owned());
    for release in &built.plan.releases {
        repo.tags.insert(release.tag.clone(), NEW.to_owned());
    }
    drop(world);
    assert_eq!(warnings_of(&server, &built).await, [""; 0]);
    let tags = &server.world().repos[REPO].tags;
    assert!(tags.values().all(|commit| commit == NEW), "{tags:?}");
}

#[tokio::test]
async fn a_tag_that_may_not_be_moved_is_no_failure() {
    let server = server();
    publish(&server, &Built::from(OLD)).await.unwrap();
    server.rule(Rule::new(Place::Api, Fault::Status(403)).method("PATCH").path("/git/refs"));
    publish(&server, &Built::from(NEW)).await.unwrap();
    let world = server.world();
    let tags = &world.repos[REPO].tags;
    assert_eq!(tags["emulator-dev-latest"], OLD);
    assert_eq!(tags["emulator-dev-20260309-bbbbbbbb"], NEW);
}
