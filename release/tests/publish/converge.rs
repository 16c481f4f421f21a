//! Whatever happens on the way, publishing again leads to the same end.

use fake_github::{Fault, GitHub as Server, Place, Rule};
use release::publish::PublishError;

use crate::fixture::{Built, NEW, OLD, Seen, is_killed, publish, seen, server, warnings_of};

/// A GitHub where `before` has been published, if anything.
async fn server_with(before: Option<&Built>) -> Server {
    let server = server();
    if let Some(before) = before {
        publish(&server, before).await.unwrap();
    }
    server
}

async fn end(before: Option<&Built>, new: &Built) -> Seen {
    let server = server_with(before).await;
    publish(&server, new).await.unwrap();
    seen(&server)
}

/// Publishes, is killed at the request that meets `rule`, and publishes again. Tells whether there was such a request.
async fn killed_by(rule: Rule, before: Option<&Built>, new: &Built) -> (bool, Seen) {
    let server = server_with(before).await;
    server.rule(rule);
    let killed = is_killed(&server, new).await;
    server.clear_rules();
    publish(&server, new).await.unwrap();
    (killed, seen(&server))
}

/// Kills at every single request that `rule` is about, and returns their number.
async fn killed_at_each(rule: &Rule, before: Option<&Built>, new: &Built) -> u32 {
    let expected = end(before, new).await;
    let mut count = 0;
    loop {
        let (killed, found) = killed_by(rule.clone().after(count), before, new).await;
        assert_eq!(found, expected, "killed by {rule:?} after {count} requests");
        if !killed {
            return count;
        }
        count += 1;
    }
}

/// Kills after every single request, once before GitHub has done it and once after, and in the middle of every upload.
async fn always_converges(before: Option<&Built>, new: &Built) {
    for fault in [Fault::Hang, Fault::Unanswered] {
        let count = killed_at_each(&Rule::new(Place::Api, fault), before, new).await;
        assert!(count >= 10, "{count} requests are too few to be all");
    }
    let upload = Rule::new(Place::Api, Fault::HangAt(1000)).method("POST").path("/assets");
    assert_eq!(killed_at_each(&upload, before, new).await, 4, "two files for two releases");
}

#[tokio::test]
async fn a_first_publication_killed_after_any_request_is_repaired_next_time() {
    always_converges(None, &Built::from(NEW)).await;
}

#[tokio::test]
async fn a_replacement_killed_after_any_request_is_repaired_next_time() {
    always_converges(Some(&Built::from(OLD)), &Built::from(NEW)).await;
}

#[tokio::test]
async fn a_publication_after_one_that_was_killed_leaves_nothing_of_that() {
    let (old, dead, new) =
        (Built::from(OLD), Built::from("cccccccccccccccccccccccccccccccccccccccc"), Built::from(NEW));
    let expected = end(Some(&old), &new).await;
    let mut count = 0;
    loop {
        let server = server_with(Some(&old)).await;
        server.rule(Rule::new(Place::Api, Fault::Hang).after(count));
        let killed = is_killed(&server, &dead).await;
        server.clear_rules();
        publish(&server, &new).await.unwrap();
        // The release of the dead one's own stays, as a draft or published; the rolling one has nothing of it.
        assert_eq!(seen(&server).without("cccccccc"), expected, "killed after {count} requests");
        if !killed {
            break;
        }
        count += 1;
    }
}

#[tokio::test]
async fn publishing_again_changes_nothing() {
    let new = Built::from(NEW);
    let server = server_with(Some(&new)).await;
    let before = seen(&server);
    server.take_requests();
    publish(&server, &new).await.unwrap();
    assert_eq!(seen(&server), before);
    let uploads = server.take_requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(uploads.count(), 0);
}

#[tokio::test]
async fn without_digests_sizes_are_compared_and_a_warning_says_so() {
    let (old, new) = (Built::from(OLD), Built::from(NEW));
    let server = server();
    server.world().hides_digests = true;
    for built in [&old, &new] {
        let warnings = warnings_of(&server, built).await;
        let says = |text: &String| text.starts_with("the API reports no digest of `stack-emulator-a");
        assert!(warnings.len() == 4 && warnings.iter().all(says), "{warnings:?}");
    }
    assert_eq!(seen(&server), end(Some(&old), &new).await);
    publish(&server, &new).await.unwrap();
    assert_eq!(seen(&server), end(Some(&old), &new).await);

    // What is known to be another file still is.
    let mut world = server.world();
    let releases = world.repo(crate::fixture::REPO).releases.values_mut();
    for asset in releases.flat_map(|release| release.assets.values_mut()) {
        asset.content = vec![0; 7].into();
    }
    drop(world);
    let error = publish(&server, &new).await.unwrap_err().to_string();
    assert!(error.contains(": its digest is unknown, of 7 bytes, that of the file here "), "{error}");
}

#[tokio::test]
async fn uploads_that_fail_for_a_passing_reason_are_made_again() {
    let new = Built::from(NEW);
    let server = server();
    server.rule(Rule::new(Place::Api, Fault::Status(502)).method("POST").path("assets").times(2));
    publish(&server, &new).await.unwrap();
    assert_eq!(seen(&server), end(None, &new).await);
}

#[tokio::test]
async fn an_upload_that_arrives_spoilt_is_never_published() {
    let new = Built::from(NEW);
    let server = server();
    // The file changes after the plan was made: every upload has another digest.
    std::fs::write(new.dir.path().join("stack-emulator-amd64.qcow2"), vec![b'x'; plan_size(&new)]).unwrap();
    let error = publish(&server, &new).await.unwrap_err();
    assert!(matches!(error, PublishError::Digest { .. }), "{error}");
    let world = server.world();
    assert!(world.repos[crate::fixture::REPO].releases.values().all(|release| release.draft));
}

fn plan_size(built: &Built) -> usize {
    usize::try_from(built.plan.releases[0].assets[0].size).unwrap()
}
