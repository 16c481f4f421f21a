//! The newest image of a branch is not replaced by an older one, unless that is wanted.

use base::digest::Sha256;
use fake_github::GitHub as Server;
use release::publish::Choices;

use crate::fixture::{Built, NEW, OLD, REPO, seen, server, warnings_of};

const ROLLING: &str = "emulator-dev-latest";

/// The digests of what the newest release has.
fn newest(server: &Server) -> Vec<Sha256> {
    let world = server.world();
    let release = world.repos[REPO].releases.values().find(|release| release.tag == ROLLING).unwrap();
    release.assets.values().map(|asset| asset.content.sha256()).collect()
}

fn planned(built: &Built) -> Vec<Sha256> {
    built.plan.releases[0].assets.iter().map(|asset| asset.sha256).collect()
}

/// Publishes `first` and then `second`, from a branch with this history. Gives what was warned of.
async fn one_after_the_other(history: &[&str], first: &Built, second: &Built) -> (Server, Vec<String>) {
    let server = server();
    server.world().repo(REPO).history = history.iter().map(|&commit| commit.to_owned()).collect();
    assert_eq!(warnings_of(&server, first).await, [""; 0]);
    let warnings = warnings_of(&server, second).await;
    (server, warnings)
}

#[tokio::test]
async fn an_older_commit_gets_its_own_release_and_leaves_the_newest_one_alone() {
    // Built again, later than what is newer.
    let late = Built::at(OLD, "2026-03-10T00:00:00Z", Choices::default());
    for old in [Built::from(OLD), late] {
        let new = Built::from(NEW);
        let (server, warnings) = one_after_the_other(&[OLD, NEW], &new, &old).await;
        let warning = format!("`{ROLLING}` stays as it is: what it has is of {NEW}, and newer than {OLD};");
        assert!(warnings.len() == 1 && warnings[0].starts_with(&warning), "{warnings:?}");
        assert_eq!(newest(&server), planned(&new));
        let world = server.world();
        let repo = &world.repos[REPO];
        assert_eq!(repo.tags[ROLLING], NEW);
        assert!(
            repo.releases.values().any(|release| release.tag == old.plan.releases[0].tag && !release.draft)
        );
    }
}

#[tokio::test]
async fn where_the_history_does_not_tell_the_later_build_is_the_newest() {
    let (early, late) = ("2026-03-09T10:00:00Z", "2026-03-09T11:00:00Z");
    let at = |commit, time| Built::at(commit, time, Choices::default());
    let (server, warnings) = one_after_the_other(&[], &at(NEW, late), &at(OLD, early)).await;
    assert_eq!((warnings.len(), newest(&server)), (1, planned(&at(NEW, late))));
    let (server, warnings) = one_after_the_other(&[], &at(NEW, early), &at(OLD, late)).await;
    assert_eq!((warnings.len(), newest(&server)), (0, planned(&at(OLD, late))));
}

#[tokio::test]
async fn an_older_image_takes_the_newest_ones_place_when_that_is_wanted() {
    let choices = Choices { replace_newer: true, ..Choices::default() };
    let old = Built::at(OLD, "2026-03-09T10:20:30Z", choices);
    let (server, warnings) = one_after_the_other(&[OLD, NEW], &Built::from(NEW), &old).await;
    assert_eq!((warnings, newest(&server)), (vec![], planned(&old)));
}

#[tokio::test]
async fn notes_that_do_not_say_what_they_are_of_keep_nothing() {
    let server = server();
    warnings_of(&server, &Built::from(NEW)).await;
    for release in server.world().repo(REPO).releases.values_mut() {
        "by hand".clone_into(&mut release.body);
    }
    server.world().repo(REPO).history = vec![OLD.to_owned(), NEW.to_owned()];
    let old = Built::from(OLD);
    assert_eq!(warnings_of(&server, &old).await, [""; 0]);
    assert_eq!(newest(&server), planned(&old));
    assert!(format!("{:?}", seen(&server)).contains(&format!("Built from {OLD}")));
}
