//! What is going to be published is known before anything happens.

use std::fs::File;

use image::arch::Arch;
use release::names::Names;
use release::publish::notes::Figures;
use release::publish::plan::{PlanError, SIZE_LIMIT, check_size};
use release::publish::{Choices, Kind, Plan};

use crate::fixture::{BRANCH, Built, NEW, OLD, image, names, repo};

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
    let choices = Choices { figures: Some(&figures), no_rolling: true, ..Choices::default() };
    let plan = Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, choices).unwrap();
    insta::assert_snapshot!(plan.releases[0].notes, @r"
    Built from bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb of `dev`, 2026-03-09T10:20:30Z.

    ```sh
    emulator pull --repo stack/emulator --tag emulator-dev-20260309-bbbbbbbb
    ```

    | Image | Size | Debian | Needs QEMU | SHA-256 |
    | --- | --- | --- | --- | --- |
    | `stack-emulator-amd64.qcow2` | 0.9 MiB | 13.2 | 8.2.0 | `1e305d03906a91279115d7598ad72f9324f4e9632ecc65de034a004cc3d5f69e` |
    | `stack-emulator-arm64.qcow2` | 0.9 MiB | 13.2 | 8.2.0 | `d23c9c3b1b67f2f0b3a4bc218076b774820aca4c66cde7e9870378b8b6541c6c` |

    ## Starts

    Medians of 3 runs on 4 CPUs (A CPU), QEMU 10.2.2 with kvm.

    | What | Median | Range |
    | --- | --- | --- |
    | New session from the snapshot, with fresh secrets | 0.31 s | 0.30 to 0.35 s |

    <details><summary>3 packages</summary>

    | Package | amd64 | arm64 |
    | --- | --- | --- |
    | linux-image-amd64 | 6.12.48-1 |  |
    | linux-image-arm64 |  | 6.12.48-1 |
    | postgresql-17 | 17.6-0+deb13u1 | 17.6-0+deb13u1 |

    </details>
    ");
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
    let error = Plan::images(&repo(), &names(), BRANCH, dir.path(), &[large.clone()], Choices::default())
        .unwrap_err();
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
        Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, Choices::default())
    };
    plan([NEW, NEW]).unwrap();
    assert!(matches!(plan([NEW, OLD]), Err(PlanError::TwoCommits { .. })));
    for commit in ["unknown", &format!("{NEW}-dirty")] {
        assert!(matches!(plan([commit, NEW]), Err(PlanError::NoCommit { .. })), "{commit}");
    }
    let nothing =
        Plan::images(&repo(), &names(), BRANCH, dir.path(), &[], Choices::default()).unwrap_err().to_string();
    assert!(nothing.starts_with("there is no image `stack-emulator-<arch>.qcow2` in `"), "{nothing}");
}

#[test]
fn a_build_is_for_every_architecture_unless_one_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let images = [image(dir.path(), Arch::Amd64, NEW)];
    let error = Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, Choices::default()).unwrap_err();
    assert!(error.to_string().starts_with("there is no image for arm64 in `"), "{error}");
    let choices = Choices { incomplete: true, ..Choices::default() };
    let plan = Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, choices).unwrap();
    assert!(plan.releases.iter().all(|release| release.assets.len() == 1));
}

#[test]
fn images_of_another_stack_have_names_and_tags_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Names::of("shop");
    let images = Arch::ALL.map(|arch| {
        let mut image = image(dir.path(), arch, NEW);
        image.manifest.stack.name = "shop".to_owned();
        image
    });
    let plan = Plan::images(&repo(), &shop, "main", dir.path(), &images, Choices::default()).unwrap();
    let tags: Vec<_> = plan.releases.iter().map(|release| release.tag.as_str()).collect();
    assert_eq!(tags, ["shop-emulator-main-20260309-bbbbbbbb", "shop-emulator-main-latest"]);
    for release in &plan.releases {
        let files: Vec<_> = release.assets.iter().map(|asset| asset.name.as_str()).collect();
        assert_eq!(files, ["shop-amd64.qcow2", "shop-arm64.qcow2"]);
        let pull = format!("emulator pull --stack shop --repo stack/emulator --tag {}\n", release.tag);
        assert!(release.notes.contains(&pull), "{}", release.notes);
    }
    let error = Plan::images(&repo(), &names(), "main", dir.path(), &images, Choices::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("is an image of the stack `shop`, not of `stack-emulator`"),
        "{error}"
    );
}
