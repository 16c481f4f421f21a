//! Pulling images with the built program.

use std::fs;
use std::time::Duration;

use fake_github::{Content, Fault, Place, Release, Rule, Run};
use image::arch::Arch;
use time::OffsetDateTime;

use super::harness::Emulator;
use super::hub::{FILE, Hub, IMAGE, REPO, image, zipped};

#[test]
fn the_newest_release_is_pulled_and_a_second_pull_does_nothing() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    insta::assert_snapshot!(hub.pull(&[]), @r"
    exit 0
    --- stdout
    the image for amd64 is release `emulator-dev-latest` of `stack/emulator`; it is in `[root]/home/images/stack-emulator-amd64.qcow2`
    --- stderr
    pulling release `emulator-dev-latest` of `stack/emulator`
    ok Download stack-emulator-amd64.qcow2 ([time])
    ok Verify the image ([time])
    ");
    hub.has(&bytes);
    insta::assert_snapshot!(hub.pull(&[]), @r"
    exit 0
    --- stdout
    the image for amd64 is up to date: it is release `emulator-dev-latest` of `stack/emulator`, in `[root]/home/images/stack-emulator-amd64.qcow2`
    --- stderr
    ");
    let bodies = |hub: &Hub| {
        hub.emulator.run(&["pull", "--skip-snapshot"]);
        let requests = hub.server.take_requests();
        requests.iter().filter(|request| request.place == Place::Storage).count()
    };
    assert_eq!(bodies(&hub), 0);
    hub.pull(&["--force"]);
    hub.has(&bytes);
}

#[test]
fn the_image_of_another_stack_is_pulled_and_kept_under_its_name() {
    let hub = Hub::signed_in();
    hub.publish(image(Arch::Amd64, "kernel"));
    let mut manifest = fake_image::manifest(Arch::Amd64);
    manifest.stack.name = "shop".to_owned();
    let shop = fake_image::image(&manifest, "kernel");
    let run = {
        let mut world = hub.server.world();
        let release = Release::published("shop-emulator-dev-latest", OffsetDateTime::UNIX_EPOCH);
        let release = world.add_release(REPO, release);
        world.add_asset(REPO, release, "shop-amd64.qcow2", Content::from(shop.clone()));
        let run = world.add_run(REPO, Run::succeeded(REPO, "dev", "cafe"));
        let artifact = Content::from(zipped("shop-amd64.qcow2", &shop));
        world.add_artifact(REPO, run, "qemu-shop-amd64", artifact);
        run.to_string()
    };
    let shown = hub.pull(&["--stack", "shop"]);
    assert!(shown.contains("the image for amd64 is release `shop-emulator-dev-latest`"), "{shown}");
    assert_eq!(fs::read(hub.emulator.path("images/shop-amd64.qcow2")).unwrap(), shop);
    let of_run = hub.pull(&["--stack", "shop", "--run", &run]);
    assert!(of_run.contains(&format!("the image for amd64 is run {run} of cafe")), "{of_run}");

    let file = hub.emulator.path("file");
    fs::write(&file, &shop).unwrap();
    let refused = hub.pull(&["--file", file.to_str().unwrap()]);
    for text in [
        "it is an image of the stack `shop`, not of `stack-emulator`",
        "hint: if you want that stack: `--stack shop`",
    ] {
        assert!(refused.contains(text), "{refused}");
    }
    let other = hub.pull(&["--stack", "other"]);
    assert!(other.contains("has no release of branch `dev` with `other-amd64.qcow2`"), "{other}");
}

#[test]
fn a_pull_request_a_run_and_a_file_are_pulled_and_known_again() {
    let hub = Hub::signed_in();
    let bytes = image(Arch::Amd64, "kernel");
    let run = hub.build(REPO, zipped(FILE, &bytes)).to_string();
    hub.gets(&bytes, &["--pr", "7"]);
    for again in [["--pr", "7"], ["--run", &run]] {
        let shown = hub.pull(&again);
        assert!(shown.contains("the image for amd64 is up to date"), "{shown}");
    }
    let other = image(Arch::Amd64, "other");
    let file = hub.emulator.path("file");
    fs::write(&file, &other).unwrap();
    let file = file.to_str().unwrap();
    hub.gets(&other, &["--file", file]);
    let shown = hub.pull(&["--file", file]);
    assert!(shown.contains("the image for amd64 is up to date"), "{shown}");
    hub.gets(&bytes, &["--run", &run]);
}

#[test]
fn a_directory_of_artifacts_is_looked_into_and_a_web_page_is_told_as_one() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    let artifacts = hub.emulator.path("artifacts");
    let artifact = artifacts.join("qemu-emulator-amd64");
    fs::create_dir_all(&artifact).unwrap();
    fs::write(artifacts.join("bench.json"), "{}").unwrap();
    let named = artifacts.to_str().unwrap();
    insta::assert_snapshot!(hub.refuses(1, None, &["--file", named]), @"
    exit 1
    --- stdout

    --- stderr
    failed Copy [root]/home/artifacts ([time])
    error: cannot get the image of `[root]/home/artifacts`
      cause: `[root]/home/artifacts` is a directory, and there is no `stack-emulator-amd64.qcow2` in it: `bench.json`, `qemu-emulator-amd64`

    hint: name the directory that `gh run download` has made, or `stack-emulator-amd64.qcow2` itself; `--arch` chooses the architecture
    ");
    let file = artifact.join(FILE);
    fs::write(&file, "<!DOCTYPE html><title>Sign in</title>").unwrap();
    insta::assert_snapshot!(hub.refuses(1, None, &["--file", file.to_str().unwrap()]), @"
    exit 1
    --- stdout

    --- stderr
    failed Copy [root]/home/artifacts/qemu-emulator-amd64/stack-emulator-amd64.qcow2 ([time])
    error: cannot get the image of `[root]/home/artifacts/qemu-emulator-amd64/stack-emulator-amd64.qcow2`
      cause: `[root]/home/artifacts/qemu-emulator-amd64/stack-emulator-amd64.qcow2` is a web page, not an image

    hint: pages that ask to sign in are saved like this: use `emulator pull --run ID`, `gh run download`, or a browser that is signed in
    ");
    fs::write(&file, &bytes).unwrap();
    hub.gets(&bytes, &["--file", named]);
}

#[test]
fn code_of_a_fork_needs_a_yes() {
    let hub = Hub::signed_in();
    let bytes = image(Arch::Amd64, "kernel");
    hub.build("mallory/emulator", zipped(FILE, &bytes));
    insta::assert_snapshot!(hub.refuses(2, None, &["--pr", "7"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: pull request #7 at cafe, run 1 of `stack/emulator` is code of `mallory/emulator` at cafe, which is not `stack/emulator`

    hint: look at the code first; if you trust it, confirm with `--allow-fork`
    ");
    hub.gets(&bytes, &["--pr", "7", "--allow-fork"]);
    let shown = hub.pull(&["--pr", "7", "--allow-fork", "--force"]);
    let whose = "pull request #7 at cafe, run 1 of `stack/emulator` is code of `mallory/emulator` at cafe\n";
    assert!(shown.contains(whose), "{shown}");
}

#[test]
fn on_a_terminal_the_yes_is_asked_for() {
    let hub = Hub::signed_in();
    let bytes = image(Arch::Amd64, "kernel");
    hub.build("mallory/emulator", zipped(FILE, &bytes));
    let pull = ["pull", "--skip-snapshot", "--pr", "7"];
    let question = "is code of `mallory/emulator` at cafe. Run it on this machine?";
    let (exit, shown) = hub.emulator.run_on_terminal(&pull, question, "n");
    assert_eq!(exit, 2, "{shown}");
    assert!(!hub.emulator.path(IMAGE).exists());
    let (exit, shown) = hub.emulator.run_on_terminal(&pull, question, "y");
    assert_eq!(exit, 0, "{shown}");
    hub.has(&bytes);
}

#[test]
fn the_token_of_gh_is_taken_where_the_environment_has_none() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.build(REPO, zipped(FILE, &bytes));
    let gh = r#"[ "$*" = "auth token --hostname 127.0.0.1" ] && echo good"#;
    let hub = Hub { emulator: hub.emulator.with_program("gh", gh), server: hub.server };
    hub.gets(&bytes, &["--pr", "7"]);
    let emulator = hub.emulator.with_program("gh", "echo revoked");
    let shown = Hub { emulator, server: hub.server }.refuses(4, Some(&bytes), &["--pr", "7"]);
    assert!(shown.contains("answered 401: the token of `gh auth token` is not valid"), "{shown}");
    assert!(shown.ends_with("hint: sign in again with `gh auth login`"), "{shown}");
}

#[test]
fn refusals_have_their_own_codes_and_hints() {
    let hub = Hub::new();
    hub.server.world().anonymous_left = Some(0);
    insta::assert_snapshot!(hub.refuses(4, None, &["--run", "1"])
        .split(" until ").next().unwrap(), @r"
    exit 4
    --- stdout

    --- stderr
    error: `[api]/repos/stack/emulator/actions/runs/1` answered 403 Forbidden: the limit of requests without a token is used up
    ");
    hub.server.world().anonymous_left = None;
    insta::assert_snapshot!(hub.refuses(1, None, &["--tag", "v9"]), @r"
    exit 1
    --- stdout

    --- stderr
    error: `stack/emulator` has no release `v9`

    hint: see what there is with `emulator list-releases --repo stack/emulator`; a private repository needs `GITHUB_TOKEN`
    ");
    let run = hub.build(REPO, zipped(FILE, b"")).to_string();
    insta::assert_snapshot!(hub.refuses(4, None, &["--run", &run]), @r"
    exit 4
    --- stdout

    --- stderr
    error: artifacts of workflow runs can only be downloaded with a token

    hint: set `GITHUB_TOKEN`, or sign in with `gh auth login`
    ");
    let bad = Hub { emulator: hub.emulator.with("GH_TOKEN", "bad"), server: hub.server };
    insta::assert_snapshot!(bad.refuses(4, None, &[]), @r"
    exit 4
    --- stdout

    --- stderr
    error: `[api]/repos/stack/emulator/releases/tags/emulator-dev-latest` answered 401: the token of `GH_TOKEN` is not valid

    hint: set `GH_TOKEN` to a valid token, or unset it
    ");
}

#[test]
fn a_release_comes_also_when_the_limit_of_the_api_is_used_up() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    hub.server.world().anonymous_left = Some(0);
    hub.gets(&bytes, &[]);
}

#[test]
fn what_is_not_there_without_the_api_is_told_as_its_limit() {
    let hub = Hub::new();
    hub.server.world().anonymous_left = Some(0);
    let shown = hub.refuses(4, None, &[]);
    let limit = "answered 403 Forbidden: the limit of requests without a token is used up until 20";
    assert!(shown.lines().any(|line| line.starts_with("error: ") && line.contains(limit)), "{shown}");
    assert!(shown.ends_with("hint: set `GITHUB_TOKEN`, or sign in with `gh auth login`"), "{shown}");
}

#[test]
fn a_private_authority_that_is_not_there_is_told() {
    let hub = Hub::new();
    let emulator = hub.emulator.with("SSL_CERT_FILE", "/no/such/authority.pem");
    let shown = Hub { emulator, server: hub.server }.refuses(2, None, &[]);
    assert!(shown.contains("error: `SSL_CERT_FILE` and `SSL_CERT_DIR` lead to no certificate: "), "{shown}");
    assert!(
        shown.contains("/no/such/authority.pem") && shown.contains("hint: set `SSL_CERT_FILE`"),
        "{shown}"
    );
}

#[test]
fn without_a_network_it_is_told_what_to_look_at() {
    let Hub { emulator, server } = Hub::new();
    drop(server);
    let shown = emulator.run(&["pull"]);
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert!(shown.contains("error: cannot reach `http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("hint: check the network"), "{shown}");
}

#[test]
fn two_pulls_at_once_make_one_download() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.publish(bytes.clone());
    // Slow enough for the second to find the first at work.
    hub.server.rule(Rule::new(Place::Web, Fault::Delay(Duration::from_secs(1))));
    let pulls = [(); 2].map(|()| hub.emulator.start(&["pull", "--skip-snapshot"]));
    let outputs = pulls.map(|pull| pull.wait_with_output().unwrap());
    let said = |text: &str| {
        outputs
            .iter()
            .filter(|output| {
                output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text)
            })
            .count()
    };
    assert_eq!((said("is up to date"), said("it is in")), (1, 1), "{outputs:?}");
    hub.has(&bytes);
    let downloads = hub.server.take_requests().into_iter().filter(|request| request.place == Place::Web);
    assert_eq!(downloads.count(), 1);
}

#[test]
fn releases_are_listed() {
    let hub = Hub::new();
    insta::assert_snapshot!(hub.emulator.run(&["list-releases"]), @r"
    exit 0
    --- stdout
    `stack/emulator` has no release with an image
    --- stderr
    ");
    hub.publish(vec![7; 3 << 20]);
    insta::assert_snapshot!(hub.emulator.run(&["list-releases"]), @r"
    exit 0
    --- stdout
    TAG                  PUBLISHED             IMAGES
    emulator-dev-latest  1970-01-01T00:00:00Z  amd64 (3 MiB)
    --- stderr
    ");
    let shown = hub.emulator.run(&["list-releases", "--branch", "main", "-o", "json"]);
    insta::assert_snapshot!(shown, @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "repo": "stack/emulator",
      "releases": []
    }
    --- stderr
    "#);
}

#[test]
fn every_example_says_where_from() {
    for command in ["pull", "list-releases"] {
        let help = Emulator::new().run(&[command, "--help"]);
        let examples = help.lines().filter(|line| line.starts_with(&format!("  emulator {command}")));
        let examples: Vec<_> = examples.collect();
        assert!(!examples.is_empty(), "{help}");
        let says = |line: &&str| line.contains("--repo OWNER/NAME") || line.contains("--file");
        assert!(examples.iter().all(says), "{examples:?}");
    }
}

#[test]
fn a_repository_has_to_be_named() {
    insta::assert_snapshot!(Emulator::new().run(&["list-releases"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: no repository given

    hint: name it with `--repo OWNER/NAME`, or set `EMULATOR_REPO`
    ");
    insta::assert_snapshot!(Emulator::new().run(&["pull", "--repo", "https://github.com/a/b"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'https://github.com/a/b' for '--repo <OWNER/NAME>': `https://github.com/a/b` is not a valid repository: write `owner/name`

    For more information, try '--help'.
    ");
}
