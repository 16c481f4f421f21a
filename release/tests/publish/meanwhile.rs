//! A pull during a publication that replaces the newest image gets an image: the old one or the new one.

use std::sync::atomic::{AtomicBool, Ordering};

use base::digest::{self, Sha256};
use base::events::Silent;
use fake_github::{Fault, GitHub as Server, Place, Rule};
use fetch::download::Pin;
use image::arch::Arch;
use release::github::find::{Found, Wanted};
use release::github::{Address, GitHub};
use std::time::Duration;

use crate::fixture::{BRANCH, Built, NEW, OLD, client, is_killed, names, publish, repo, server};

fn anonymous(server: &Server) -> GitHub {
    GitHub::new(Address::of(&server.api_url()).unwrap(), repo(), None).unwrap()
}

/// Pulls until `done` and once more; returns the digest of each image that it got.
async fn pull_until(server: &Server, github: GitHub, done: &AtomicBool) -> Vec<Sha256> {
    let mut got = Vec::new();
    loop {
        let last = done.load(Ordering::Relaxed);
        got.push(pull(&github).await);
        if last {
            assert!(!server.take_requests().is_empty());
            return got;
        }
    }
}

/// What the newest image is. One that is replaced between the look and the download is looked for once more.
async fn pull(github: &GitHub) -> Sha256 {
    for _ in 0..3 {
        let found =
            github.find(&Wanted::Branch(BRANCH.to_owned()), &names(), Arch::Amd64, &Silent).await.unwrap();
        if let Some(digest) = download(github, &found).await {
            return digest;
        }
    }
    panic!("the image was replaced again and again")
}

/// The digest of what comes, if it is what was found.
async fn download(github: &GitHub, found: &Found) -> Option<Sha256> {
    let mut request = github.http().get(&found.remote.url).header("accept", "application/octet-stream");
    if let Some(token) = &found.remote.token {
        request = request.bearer_auth(token.secret().reveal());
    }
    let answer = request.send().await.unwrap();
    if answer.status() == 404 {
        return None;
    }
    let digest = digest::of_bytes(&answer.error_for_status().unwrap().bytes().await.unwrap());
    (found.remote.pin.as_ref().unwrap() == &Pin::Sha256(digest)).then_some(digest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pulls_all_the_time_never_fails() {
    let (old, new) = (Built::from(OLD), Built::from(NEW));
    let digest = |built: &Built| built.plan.releases[0].assets[0].sha256;
    for connect in [client, anonymous] {
        let server = server();
        publish(&server, &old).await.unwrap();
        // So that there is much time between any two requests of the publication.
        server.rule(Rule::new(Place::Api, Fault::Delay(Duration::from_millis(30))).method("PATCH"));
        server.rule(Rule::new(Place::Api, Fault::Delay(Duration::from_millis(30))).method("DELETE"));
        let done = AtomicBool::new(false);
        let publishing = async {
            publish(&server, &new).await.unwrap();
            done.store(true, Ordering::Relaxed);
        };
        let (got, ()) = tokio::join!(pull_until(&server, connect(&server), &done), publishing);
        assert!(got.len() > 5, "{} pulls are too few to be meanwhile", got.len());
        let first_new = got.iter().position(|sha256| *sha256 == digest(&new)).unwrap();
        assert!(got[..first_new].iter().all(|sha256| *sha256 == digest(&old)));
        assert!(got[first_new..].iter().all(|sha256| *sha256 == digest(&new)));
    }
}

#[tokio::test]
async fn whenever_a_publication_is_killed_there_is_an_image_to_pull() {
    let (old, new) = (Built::from(OLD), Built::from(NEW));
    let mut count = 0;
    loop {
        let server = server();
        publish(&server, &old).await.unwrap();
        server.rule(Rule::new(Place::Api, Fault::Hang).after(count));
        let killed = is_killed(&server, &new).await;
        server.clear_rules();
        for github in [client(&server), anonymous(&server)] {
            let got = pull(&github).await;
            let known = [&old, &new].map(|built| built.plan.releases[0].assets[0].sha256);
            assert!(known.contains(&got), "killed after {count} requests");
        }
        if !killed {
            break;
        }
        count += 1;
    }
}
