//! `cargo xtask` builds one package and the tests are built from all, with the same crates.

use std::collections::{BTreeMap, BTreeSet};

use base::process::Cmd;

/// Sets of features by crate and version.
type Features = BTreeMap<String, BTreeSet<String>>;

/// Reads them for what one selection of packages is built from.
async fn features(selection: &[&str]) -> Features {
    let tree =
        Cmd::new("cargo").args(["tree", "--locked", "--prefix=none", "--no-dedupe", "--format={p}|{f}"]);
    let listed = tree.args(selection).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).text().await;
    let mut all = Features::new();
    for line in listed.unwrap().lines() {
        // An empty line is between two packages that were asked for.
        let Some((package, features)) = line.split_once('|') else { continue };
        let name = package.split(" (").next().unwrap();
        all.entry(name.to_owned()).or_default().insert(features.trim_end_matches(" (*)").to_owned());
    }
    all
}

#[tokio::test]
async fn xtask_is_built_with_the_features_that_the_tests_are_built_with() {
    // Programs of the build have features of their own.
    let edges = [("normal,no-proc-macro", "normal,dev,no-proc-macro"), ("normal,build", "normal,dev,build")];
    for (alone, together) in edges {
        let alone = features(&["--package=xtask", "--edges", alone]).await;
        let together = features(&["--workspace", "--edges", together]).await;
        let missing: Vec<_> = alone
            .iter()
            .filter(|(name, features)| !features.is_subset(&together[*name]))
            .map(|(name, features)| format!("`{name}` with {features:?} instead of {:?}", together[name]))
            .collect();
        let missing = missing.join("\n");
        assert!(
            missing.is_empty(),
            "add to `xtask/features/Cargo.toml` what leads to these features:\n{missing}"
        );
    }
}
