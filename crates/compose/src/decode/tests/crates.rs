//! What two other readers of compose files refuse or get wrong is read here.

use super::*;
use crate::model::{Condition, HealthCheck};

#[test]
fn every_file_that_other_readers_refuse_is_read() {
    let text = "
version: '3.9'
x-base: &base {image: a, environment: &env {A: 1}}
services:
  web:
    <<: *base
    ports: ['8000-8001:9000-9001', '127.0.0.1::80', '${PORT_UNSET:-81}:81', 82]
    mem_limit: 1g
    environment: {<<: *env, B: 1}
    healthcheck: {test: curl x, interval: 1m30s}
    x-foo: 1
    depends_on: {db: {condition: service_healthy}}
    env_file: [{path: web.env, required: false}]
    configs: [c]
  db:
    image: '${REG:-docker.io}/a:${PORT:?x}'
    environment: [A, B=1]
configs: {c: {content: hi}}
";
    let project = Shop::new(text).read();
    let [web, db] = &project.services[..] else { panic!("two services") };
    assert_eq!(web.image.as_ref().unwrap().value, "a");
    let ports: Vec<_> = web.ports.iter().map(|port| port.target).collect();
    assert_eq!(ports, [9000, 9001, 80, 81, 82]);
    assert_eq!(web.limits.memory, Some(1 << 30));
    assert_eq!(web.environment.len(), 2);
    assert!(
        matches!(web.health, Some(HealthCheck::Check { interval: Some(interval), .. }) if interval.as_secs() == 90)
    );
    assert_eq!(web.depends_on[0].condition, Condition::Healthy);
    assert_eq!(db.image.as_ref().unwrap().value, "docker.io/a:8080");
    assert_eq!(db.environment["A"], None);
    assert_eq!(project.configs[0].content.reveal(), b"hi");
    assert_eq!(project.warnings, []);
}

#[test]
fn a_required_variable_without_value_is_refused() {
    let error = Shop::new("services:\n  web:\n    image: a:${TAG:?which one}\n").refused();
    assert_eq!(
        error,
        "compose.yaml:3:12: `services.web.image`: the variable `TAG` is required and has no value: which one; set `TAG`"
    );
    assert!(refused("foo: 1").contains("unknown key"));
    assert!(refused("develop: {watch: []}").contains("is not supported"));
    assert!(refused("gpus: all").contains("is not supported"));
}
