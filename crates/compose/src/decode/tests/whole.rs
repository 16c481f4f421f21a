//! The file as a whole: name, profiles, references, warnings.

use super::*;

#[test]
fn the_name_comes_from_the_file_or_from_the_directory() {
    assert_eq!(Shop::new("services: {web: {image: a}}").read().name, "shop_1x");
    let text = "name: ${NAME:-cart}\nservices: {web: {image: '${COMPOSE_PROJECT_NAME}/web'}}";
    let project = Shop::new(text).read();
    assert_eq!(
        (project.name.as_str(), project.services[0].image.as_ref().unwrap().value.as_str()),
        ("cart", "cart/web")
    );
    let renamed = Shop::new(text).with(".env", "COMPOSE_PROJECT_NAME=other").read();
    assert_eq!(renamed.name, "other");
    assert_eq!(
        Shop::new("name: Shop\nservices: {web: {image: a}}").refused(),
        "compose.yaml:1:7: `name`: \"Shop\" is not a name of a project; use lower-case letters, digits, `-` and `_`, and begin \
         with a letter or digit"
    );
}

#[test]
fn services_of_other_profiles_are_left_out_unchecked() {
    let text = "
services:
  web: {image: a}
  tool: {build: ., volumes: ['./x:/y'], profiles: [debug, tools]}
  other: {image: b, profiles: [other]}
";
    let shop = Shop::new(text);
    let names = |profiles: &[&str]| {
        let project = shop.read_for(profiles).unwrap();
        project.services.iter().map(|service| service.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["web"]);
    assert_eq!(names(&["other"]), ["web", "other"]);
    for profiles in [["tools"], ["*"]] {
        let error = shop.read_for(&profiles).unwrap_err();
        assert_eq!(error.key, "services.tool.build");
    }
    let none = Shop::new("services: {web: {image: a, profiles: [x]}}").refused();
    assert!(none.contains("has no service of an active profile"), "{none}");
}

#[test]
fn keys_without_effect_are_accepted_and_extensions_too() {
    let service = web("
labels: {a: b}
annotations: [a=b]
logging: {driver: syslog, options: {a: b}}
pull_policy: always
attach: false
x-foo: 1
x-bar: {anything: [1]}");
    assert_eq!(service, web("\n\n\n\n\n\n\n"));
    let text = "version: '3.9'\nx-top: &x {a: 1}\nservices: {web: {image: a}}\n";
    assert_eq!(Shop::new(text).read().services.len(), 1);
}

#[test]
fn unset_variables_are_reported_with_their_place() {
    let project = with("command: [run, $GONE, '${GONE:-x}', $SET]\nuser: ${EMPTY:-root}").read();
    let shown: Vec<_> = project
        .warnings
        .iter()
        .map(|warning| format!("{}: `{}`: {}", warning.place, warning.key, warning.variable))
        .collect();
    assert_eq!(shown, ["4:20: `services.web.command[1]`: GONE"]);
    assert_eq!(project.services[0].command.as_ref().unwrap()[1..3], ["", "x"]);
}

#[test]
fn anchors_and_merge_keys_work_across_services() {
    let text = "
x-base: &base
  image: a
  environment: &env {A: 1, B: 2}
  restart: always
services:
  web:
    <<: *base
    environment:
      <<: *env
      B: 3
  job:
    <<: *base
    restart: 'no'
";
    let project = Shop::new(text).read();
    let shown: Vec<_> = project
        .services
        .iter()
        .map(|service| format!("{} {:?} {:?}", service.name, service.restart, service.environment))
        .collect();
    assert_eq!(
        shown,
        [r#"web Always {"A": Some("1"), "B": Some("3")}"#, r#"job No {"A": Some("1"), "B": Some("2")}"#]
    );
}

#[test]
fn references_to_what_is_not_there_are_refused() {
    for (lines, error) in [
        (
            "volumes: ['other:/x']",
            "compose.yaml:4:15: `services.web.volumes[0]`: `other` is not defined; define `other` under `volumes` at the top",
        ),
        (
            "volumes: [{type: volume, source: other, target: /x}]",
            "compose.yaml:4:38: `services.web.volumes[0].source`: `other` is not defined; define `other` under `volumes` at the \
             top",
        ),
        (
            "networks: [default, back]",
            "compose.yaml:4:25: `services.web.networks[1]`: `back` is not defined; define `back` under `networks` at the top",
        ),
        (
            "configs: [c]",
            "compose.yaml:4:15: `services.web.configs[0]`: `c` is not defined; define `c` under `configs` at the top",
        ),
        (
            "secrets: [{source: c}]",
            "compose.yaml:4:24: `services.web.secrets[0].source`: `c` is not defined; define `c` under `secrets` at the top",
        ),
        (
            "depends_on: [db]",
            "compose.yaml:4:18: `services.web.depends_on[0]`: there is no service `db`; use the name of a service of this file",
        ),
        (
            "depends_on: {web: {condition: service_started}}",
            "compose.yaml:4:18: `services.web.depends_on.web`: services wait for each other: `web`, `web`; remove one of these \
             dependencies",
        ),
    ] {
        assert_eq!(refused(lines), error, "{lines}");
    }
}

#[test]
fn services_that_contradict_each_other_are_refused() {
    for (services, error) in [
        (
            "a: {image: a, depends_on: [b]}\n  b: {image: b, depends_on: [c]}\n  c: {image: c, depends_on: [b]}",
            "compose.yaml:3:30: `services.b.depends_on[0]`: services wait for each other: `b`, `c`, `b`; remove one of these \
             dependencies",
        ),
        (
            "a: {image: a, depends_on: [b]}\n  b: {image: b, profiles: [x]}",
            "compose.yaml:2:30: `services.a.depends_on[0]`: the service `b` belongs to profiles that are not active; activate \
             one of them, or write `required: false`",
        ),
        (
            "a: {image: a, ports: ['80:80']}\n  b: {image: b, ports: [81, '79-81:1-3']}",
            "compose.yaml:3:29: `services.b.ports[1]`: port 80 of the host is published by `a` already, in line 2; choose \
             another port in front of the colon",
        ),
        (
            "a: {image: a, ports: ['80:80', '80:81']}",
            "compose.yaml:2:34: `services.a.ports[1]`: port 80 of the host is published by `a` already, in line 2; choose \
             another port in front of the colon",
        ),
        (
            "a: {image: a}\n  b: {image: b, container_name: a}",
            "compose.yaml:3:33: `services.b.container_name`: `a` has the name `a` too; choose another name, or remove the key",
        ),
    ] {
        assert_eq!(Shop::new(&format!("services:\n  {services}\n")).refused(), error, "{services}");
    }
}
