//! What is going to be published is known before anything happens.

use std::fs::File;

use release::arch::Arch;
use release::publish::notes::Figures;
use release::publish::plan::{PlanError, SIZE_LIMIT, check_size};
use release::publish::{Kind, Plan};

use crate::fixture::{BRANCH, Built, NEW, OLD, image, repo};

const FIGURES: &str = r#"{
    "schemaVersion": 1,
    "host": { "cpu": "A CPU", "cpus": 4, "accelerator": "kvm", "qemu": "10.2.2", "kernel": "6.8" },
    "scenarios": {
        "template": { "seconds": { "median": 0.31, "min": 0.3, "max": 0.352, "runs": [0.3, 0.31, 0.352] }, "phases": {} },
        "stop": { "seconds": { "median": 0.1, "min": 0.1, "max": 0.1, "runs": [0.1] }, "phases": {} }
    }
}"#;

#[test]
fn a_build_has_a_release_of_its_own_and_then_replaces_the_newest_one() {
    let plan = Built::from(NEW).plan;
    let shape: Vec<_> = plan
        .releases
        .iter()
        .map(|release| (release.kind, release.tag.as_str(), release.prerelease))
        .collect();
    assert_eq!(
        shape,
        [
            (Kind::Immutable, "emulator-dev-20260309-bbbbbbbb", true),
            (Kind::Rolling, "emulator-dev-latest", true)
        ]
    );
    for release in &plan.releases {
        let names: Vec<_> = release.assets.iter().map(|asset| asset.name.as_str()).collect();
        assert_eq!(names, ["stack-emulator-amd64.qcow2", "stack-emulator-arm64.qcow2"]);
    }
}

#[test]
fn the_notes_tell_what_is_inside_and_how_fast_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let images = [Arch::Amd64, Arch::Arm64].map(|arch| image(dir.path(), arch, NEW));
    let figures = Figures::parse(FIGURES.as_bytes()).unwrap();
    let plan = Plan::images(&repo(), BRANCH, dir.path(), &images, Some(&figures), false).unwrap();
    insta::assert_snapshot!(plan.releases[0].notes);
}

#[test]
fn a_plan_is_one_json_document() {
    let built = Built::from(NEW);
    let json = serde_json::to_value(&built.plan).unwrap();
    assert_eq!(json["schemaVersion"], 1);
    assert_eq!(json["releases"][0]["kind"], "immutable");
    let path = built.dir.path().join("stack-emulator-amd64.qcow2");
    assert_eq!(json["releases"][0]["assets"][0]["path"], path.to_str().unwrap());
}

#[test]
fn a_file_that_github_does_not_take_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut large = image(dir.path(), Arch::Amd64, NEW);
    File::options().write(true).open(&large.path).unwrap().set_len(SIZE_LIMIT).unwrap();
    large.size = large.path.metadata().unwrap().len();
    let error = Plan::images(&repo(), BRANCH, dir.path(), &[large.clone()], None, true).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{}` has 2147483648 bytes: a release takes files of less than 2 GiB", large.path.display())
    );
    check_size(&large.path, SIZE_LIMIT - 1).unwrap();
}

#[test]
fn images_that_do_not_come_from_one_commit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = |commits: [&str; 2]| {
        let [one, other] = commits;
        let images = [image(dir.path(), Arch::Amd64, one), image(dir.path(), Arch::Arm64, other)];
        Plan::images(&repo(), BRANCH, dir.path(), &images, None, true)
    };
    plan([NEW, NEW]).unwrap();
    assert!(matches!(plan([NEW, OLD]), Err(PlanError::TwoCommits { .. })));
    for commit in ["unknown", &format!("{NEW}-dirty")] {
        assert!(matches!(plan([commit, NEW]), Err(PlanError::NoCommit { .. })), "{commit}");
    }
    let nothing = Plan::images(&repo(), BRANCH, dir.path(), &[], None, true).unwrap_err().to_string();
    assert!(nothing.starts_with("there is no image `stack-emulator-<arch>.qcow2` in `"), "{nothing}");
}
