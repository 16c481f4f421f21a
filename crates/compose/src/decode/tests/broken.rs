//! No file breaks the reader, however it is damaged.

use proptest::prelude::*;

use super::*;

/// A file with most keys.
const FILE: &str = "
name: shop
x-base: &base {image: a, restart: always, environment: {A: 1, B: '${SET:-x}'}}
services:
  web:
    <<: *base
    command: run --all 'a b'
    ports: ['8080:80', {target: 81, published: '8081'}]
    volumes: ['data:/data:ro', {type: tmpfs, target: /run, tmpfs: {size: 64m}}]
    healthcheck: {test: [CMD, a], interval: 1m30s, retries: 3}
    depends_on: {db: {condition: service_healthy}}
    deploy: {resources: {limits: {memory: 1g, cpus: '0.5'}}}
    ulimits: {nofile: {soft: 1, hard: 2}}
    networks: {back: {aliases: [www]}}
    secrets: [{source: key, mode: 0400}]
    x-emulator: {health: /, ports: {80: {name: web}}}
  db: {image: b, networks: [back], extra_hosts: ['a=10.0.0.1'], tmpfs: '/x:mode=1777'}
volumes: {data: }
networks: {back: {driver: bridge}}
secrets: {key: {environment: SET}}
x-emulator: {backend: web, secrets: [{name: a, env: A, into: [web]}], exports: {U: '{url:web}'}}
";

proptest! {
    #[test]
    fn no_damage_to_a_file_breaks_the_reader(
        at in 0..FILE.len(),
        removed in 0..40_usize,
        added in "([a-z0-9]|[ \n:,\\[\\]{}'\"&*$<!|>-]|<<: \\*base|\\$\\{A:-|null|-1|99999999999){0,6}",
    ) {
        let end = (at + removed).min(FILE.len());
        let text = format!("{}{added}{}", &FILE[..at], &FILE[end..]);
        let _ = Shop::new(&text).read_for(&["*"]);
    }
}

#[test]
fn the_file_is_good_before_it_is_damaged() {
    assert_eq!(Shop::new(FILE).read().services.len(), 2);
}
