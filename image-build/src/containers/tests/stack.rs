//! What becomes of a compose file, as a whole.

use std::fmt::Write as _;

use super::*;
use crate::source::Source;
use crate::source::tests::directories;

#[tokio::test]
async fn a_compose_file_becomes_units_and_containers() {
    let composed = shop().composed().await.unwrap();
    let mut text = String::new();
    for part in &composed.services {
        if let Part::Container { name, file, unit } = part {
            let _ = write!(text, "=== {name}: {} {:?}\n{unit}", file.unit, file.orders);
        }
    }
    insta::assert_snapshot!("units", text);
    for container in &mut composed.containers.clone() {
        container.layers.push("layer".to_owned());
        insta::assert_snapshot!(format!("container-{}", container.name), container.to_json().unwrap());
    }
    insta::assert_snapshot!("sql", composed.sql.unwrap().to_json().unwrap());
}

#[tokio::test]
async fn what_the_host_sees_follows_from_ports_secrets_and_exports() {
    let dir = directories();
    fs::create_dir_all(dir.path().join("services/sql")).unwrap();
    fs::write(dir.path().join("services/sql/service.toml"), "unit = \"stack-sql.service\"\n").unwrap();
    fs::write(dir.path().join("services/sql/stack-sql.service"), "").unwrap();
    let composed = shop().composed().await.unwrap();
    let source = Source::of_compose(dir.path(), composed, Arch::Amd64).unwrap();
    insta::assert_snapshot!("stack", serde_json::to_string_pretty(&source.described.stack).unwrap());
    insta::assert_snapshot!("services", source.described.guest.to_json().unwrap());
    assert_eq!(source.packages, ["linux-image-cloud-amd64", "crun", "nftables"]);
}

#[tokio::test]
async fn limits_of_memory_are_not_switched_off_where_a_container_has_one() {
    let dir = directories();
    fs::write(dir.path().join("cmdline"), "quiet cgroup_disable=memory ro").unwrap();
    let text = |limit: &str| {
        format!("services: {{web: {{image: web, ports: [80], x-emulator: {{health: /}}{limit}}}}}\n")
    };
    for (limit, expected) in [(", mem_limit: 1g", "quiet ro"), ("", "quiet cgroup_disable=memory ro")] {
        let shop = Shop::new(&text(limit)).image(None, &made("web:latest"));
        let composed = shop.composed().await.unwrap();
        assert_eq!(Source::of_compose(dir.path(), composed, Arch::Amd64).unwrap().cmdline, expected);
    }
}

#[tokio::test]
async fn the_key_follows_the_file_and_the_images() {
    let text = "services: {web: {image: web, ports: [80], x-emulator: {health: /}}}\n";
    let key = async |text: &str, image: &Made| {
        Shop::new(text).image(None, image).composed().await.unwrap().key_text()
    };
    let image = made("web:latest");
    let first = key(text, &image).await;
    assert_eq!(key(text, &image).await, first);
    assert_ne!(key(&text.replace("[80]", "[81]"), &image).await, first);
    let other = image.layer(&Layer::new().file("more", b"more"));
    assert_ne!(key(text, &other).await, first);
}

#[test]
fn a_starting_point_is_a_valid_addition() {
    let text = "services:\n  web:\n    image: web\n    ports: [8080:80]\n    x-emulator: {health: /}\n  db: {image: 'postgres:17'}\n";
    let shop = Shop::new(text);
    let project = shop.file().read(|_| None).unwrap();
    let natives = natives(&shop.file(), &project);
    let addition = starting_point(&project, &natives);
    insta::assert_snapshot!("starting-point", addition);
    let shop = Shop::new(&format!("{text}{addition}"));
    let whole = shop.file();
    let project = whole.read(|_| None).unwrap();
    whole.compose(&project, &natives, &Found::default()).unwrap();
}
