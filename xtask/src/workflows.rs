//! The workflows agree with the programs that they call, and with what `emulator pull` and `install.sh` look for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base::process::Cmd;
use clap::Parser as _;
use image::arch::Arch;
use image::stack::DEFAULT_STACK;
use release::names::{IMAGE_WORKFLOW, Names};
use release::program;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Cli;

const IMAGE: &str = "image.yml";
const PROGRAM: &str = "cli.yml";
const STACK: &str = "stack.yml";

/// The one call of a task whose output a later step needs.
const KEY: &str = "echo \"key=$(cargo xtask build-qemu --print-cache-key)\" >> \"$GITHUB_OUTPUT\"";

/// The names of this repository's images.
fn names() -> Names {
    Names::of(DEFAULT_STACK)
}

/// What a workflow that is called runs for its caller.
const PREPARE: &str = "bash -euo pipefail -c \"$PREPARE\"";

#[derive(Debug, Deserialize)]
struct Workflow {
    on: Value,
    permissions: Value,
    concurrency: Value,
    jobs: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Job {
    permissions: serde_json::Map<String, Value>,
    timeout_minutes: Value,
    #[serde(default)]
    strategy: Value,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    run: Option<String>,
    uses: Option<String>,
    #[serde(default)]
    with: Value,
    #[serde(default)]
    env: Value,
}

fn github() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github")
}

fn workflow(file: &str) -> Workflow {
    let text = fs::read_to_string(github().join("workflows").join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn files() -> Vec<String> {
    let entries = fs::read_dir(github().join("workflows")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

impl Workflow {
    fn job(&self, name: &str) -> Job {
        serde_json::from_value(self.jobs[name].clone()).unwrap()
    }

    fn all_jobs(&self) -> impl Iterator<Item = (&String, Job)> {
        self.jobs.iter().map(|(name, job)| (name, serde_json::from_value(job.clone()).unwrap()))
    }
}

impl Job {
    /// The values of a key of the matrix.
    fn matrix(&self, key: &str) -> Vec<String> {
        let include = self.strategy["matrix"]["include"].as_array().unwrap();
        include.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    }

    fn using(&self, action: &str) -> Vec<&Value> {
        let is_it = |step: &&Step| step.uses.as_deref().is_some_and(|uses| uses.starts_with(action));
        self.steps.iter().filter(is_it).map(|step| &step.with).collect()
    }
}

fn filled(text: &Value, key: &str, value: &str) -> String {
    filled_with(text, &format!("matrix.{key}"), value)
}

fn filled_with(text: &Value, expression: &str, value: &str) -> String {
    text.as_str().unwrap().replace(&format!("${{{{ {expression} }}}}"), value)
}

#[test]
fn the_image_workflow_leaves_what_pull_looks_for() {
    assert_eq!(IMAGE_WORKFLOW, format!(".github/workflows/{IMAGE}"));
    let workflow = workflow(IMAGE);
    let build = workflow.job("build");
    let [upload] = build.using("actions/upload-artifact@")[..] else { panic!("one artifact is uploaded") };
    assert_eq!(build.matrix("arch"), ["amd64", "arm64"]);
    for arch in Arch::ALL {
        assert_eq!(filled(&upload["name"], "arch", arch.as_str()), names().artifact(arch));
        let path = PathBuf::from(filled(&upload["path"], "arch", arch.as_str()));
        assert_eq!(path.file_name().unwrap().to_str(), Some(arch.image_file().as_str()));
    }
}

#[test]
fn what_was_uploaded_is_what_is_proved_and_published() {
    let workflow = workflow(IMAGE);
    let smoke = workflow.job("smoke");
    assert_eq!(smoke.matrix("arch"), ["amd64", "arm64"]);
    let [download] = smoke.using("actions/download-artifact@")[..] else {
        panic!("one artifact is verified")
    };
    let publish = workflow.job("publish");
    let patterns = publish.using("actions/download-artifact@");
    for arch in Arch::ALL {
        assert_eq!(filled(&download["name"], "arch", arch.as_str()), names().artifact(arch));
        let prefix = patterns[0]["pattern"].as_str().unwrap().strip_suffix('*').unwrap();
        assert!(names().artifact(arch).starts_with(prefix));
    }
    assert_eq!(patterns[0]["path"], "target/dist");
    assert_eq!(patterns[0]["merge-multiple"], true);
}

#[test]
fn the_workflow_for_other_stacks_leaves_what_pull_looks_for() {
    let workflow = workflow(STACK);
    let inputs = &workflow.on["workflow_call"]["inputs"];
    let architectures: Vec<Arch> =
        serde_json::from_str(inputs["architectures"]["default"].as_str().unwrap()).unwrap();
    assert_eq!(architectures, Arch::ALL);
    let build = workflow.job("build");
    let [upload] = build.using("actions/upload-artifact@")[..] else { panic!("one artifact is uploaded") };
    let publish = workflow.job("publish");
    let [download] = publish.using("actions/download-artifact@")[..] else { panic!("all are downloaded") };
    let (shop, named) = (Names::of("shop"), |text: &Value| filled_with(text, "inputs.name", "shop"));
    for arch in Arch::ALL {
        let of_arch = |text: &Value| filled(&named(text).into(), "arch", arch.as_str());
        assert_eq!(of_arch(&upload["name"]), shop.artifact(arch));
        assert_eq!(of_arch(&upload["path"]), format!("dist/{}", shop.file(arch)));
        assert!(shop.artifact(arch).starts_with(named(&download["pattern"]).strip_suffix('*').unwrap()));
    }
}

#[test]
fn a_repository_with_immutable_releases_can_publish_images() {
    for file in [IMAGE, STACK] {
        let publish = workflow(file).job("publish");
        let step = publish.steps.last().unwrap();
        assert!(step.run.as_deref().unwrap().starts_with("cargo xtask release publish "));
        // The same name in the program, of which an integration test knows what it does.
        assert_eq!(step.env["EMULATOR_NO_ROLLING"], "${{ vars.EMULATOR_NO_ROLLING }}");
    }
}

#[test]
fn the_program_is_built_for_every_platform_that_it_is_installed_on() {
    let build = workflow(PROGRAM).job("build");
    let mut targets = build.matrix("target");
    targets.sort();
    let mut known = program::TARGETS;
    known.sort_unstable();
    assert_eq!(targets, known);
    let [upload] = build.using("actions/upload-artifact@")[..] else { panic!("one artifact is uploaded") };
    for target in program::TARGETS {
        let path = PathBuf::from(filled(&upload["path"], "target", target));
        assert_eq!(path.file_name().unwrap().to_str(), Some(program::archive_file(target).as_str()));
    }
}

/// The rooms that these packages are built from, as directories of the checkout.
async fn rooms(packages: &[&str]) -> BTreeSet<String> {
    let metadata = Cmd::new("cargo").args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata.text().await.unwrap()).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap();
    let mut names: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
    let mut rooms = BTreeSet::new();
    while let Some(name) = names.pop() {
        let all = metadata["packages"].as_array().unwrap();
        let package = all.iter().find(|package| package["name"] == name.as_str()).unwrap();
        let manifest = package["manifest_path"].as_str().unwrap().strip_prefix(root).unwrap();
        if !rooms.insert(manifest.trim_start_matches('/').split('/').next().unwrap().to_owned()) {
            continue;
        }
        let used = package["dependencies"].as_array().unwrap();
        let used = used.iter().filter(|used| used["path"].is_string() && used["kind"] != "dev");
        names.extend(used.map(|used| used["name"].as_str().unwrap().to_owned()));
    }
    rooms
}

#[tokio::test]
async fn what_a_workflow_builds_from_starts_it() {
    let cases = [(PROGRAM, &["emulator"][..]), (IMAGE, &["emulator", "guest", "xtask"][..])];
    for (file, packages) in cases {
        let rooms = rooms(packages).await;
        let on = workflow(file).on;
        for paths in
            ["push", "pull_request"].map(|event| &on[event]["paths"]).into_iter().filter_map(Value::as_array)
        {
            for room in &rooms {
                assert!(paths.contains(&format!("{room}/**").into()), "{file}: `{room}`");
            }
        }
    }
}

#[test]
fn every_step_is_one_task_that_exists() {
    for file in files() {
        for (name, job) in workflow(&file).all_jobs() {
            let lines = job.steps.iter().filter_map(|step| step.run.as_deref());
            for line in lines.filter(|line| ![KEY, PREPARE].contains(line)) {
                let filled = line.replace("${{ matrix.arch }}", "amd64").replace("${{ matrix.target }}", "t");
                let filled = filled.replace("\"$ARCH\"", "amd64");
                let words =
                    filled.strip_prefix("cargo ").unwrap_or_else(|| panic!("{file}, {name}: `{line}`"));
                // GitHub sets the variable.
                let repo = words.contains("release").then_some(["--repo", "o/r"]).into_iter().flatten();
                let parsed = Cli::try_parse_from(words.split_whitespace().chain(repo));
                assert!(parsed.is_ok(), "{file}, {name}: `{line}`: {}", parsed.unwrap_err());
            }
        }
    }
}

#[test]
fn no_job_may_do_more_than_it_has_to() {
    for file in files() {
        let workflow = workflow(&file);
        assert_eq!(workflow.permissions, serde_json::json!({}), "{file}");
        assert!(workflow.concurrency["group"].as_str().unwrap().contains("github.ref"), "{file}");
        for (name, job) in workflow.all_jobs() {
            assert!(!job.timeout_minutes.is_null(), "{file}, {name} has no limit");
            let writes = job.permissions.values().any(|permission| permission == "write");
            assert_eq!(writes, name == "publish", "{file}, {name}");
            for checkout in job.using("actions/checkout@") {
                assert_eq!(checkout["persist-credentials"], false, "{file}, {name}");
            }
        }
    }
}

#[test]
fn every_action_is_pinned_to_a_commit_with_its_version_beside() {
    let mut paths: Vec<PathBuf> = files().iter().map(|file| github().join("workflows").join(file)).collect();
    paths.push(github().join("actions/setup-emulator/action.yml"));
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for line in
            text.lines().filter(|line| line.trim_start().trim_start_matches("- ").starts_with("uses:"))
        {
            let (action, version) =
                line.split_once(" # v").unwrap_or_else(|| panic!("{}: {line}", path.display()));
            let (_, commit) = action.split_once('@').unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
            assert_eq!(version.split('.').count(), 3, "{line}");
        }
    }
}
