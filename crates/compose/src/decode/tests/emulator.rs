//! The shapes of `x-emulator`.

use super::*;
use crate::error::Place;
use crate::model::Spanned;
use crate::model::emulator::{Database, Delivery, Network, PortReference};

const WHOLE: &str = "
services:
  web:
    image: a
    x-emulator:
      health: /healthz
      ports: {8080: {name: main, health: /ready, env: EMULATOR_MAIN_PORT}}
      warmUp: [/, /login]
  db:
    x-emulator: {native: postgres}
x-emulator:
  name: shop
  backend: web:8080
  machine: {memoryMib: 1024, cpus: 2, diskGib: 8}
  network: closed
  services: [redis]
  secrets:
    - name: admin_password
      env: ADMIN_PASSWORD
      format: hex64
      placeholder: '0000'
      publishable: true
      into:
        - web
        - {service: web, env: OTHER}
        - {service: web, file: /run/admin}
  exports:
    - {name: SHOP_URL, value: '{url:backend}', public: [VITE_]}
  hooks:
    restart: [web]
    replace: [{service: web, file: /etc/web.conf, secret: admin_password}]
    sql:
      - {url: 'postgres://a:{secret:admin_password}@db/a', setup: SELECT 1, statement: SELECT $$1, secrets: [admin_password]}
      - {service: db, statement: SELECT 2}
  warmUp:
    - /
    - {port: web, path: /login?a=b}
";

fn values(texts: &[Spanned<String>]) -> Vec<&str> {
    texts.iter().map(|text| text.value.as_str()).collect()
}

#[test]
fn everything_that_compose_has_no_word_for_is_read() {
    let project = Shop::new(WHOLE).read();
    let stack = &project.emulator;
    assert_eq!(stack.name.as_ref().unwrap().value, "shop");
    let backend = stack.backend.as_ref().unwrap();
    assert_eq!(backend.value, PortReference { service: "web".to_owned(), port: Some(8080) });
    assert_eq!((backend.place, backend.key.as_str()), (Place { line: 13, column: 12 }, "x-emulator.backend"));
    let machine = &stack.machine;
    assert_eq!(machine.memory_mib.as_ref().unwrap().value, 1024);
    assert_eq!((machine.cpus.as_ref().unwrap().value, machine.disk_gib.as_ref().unwrap().value), (2, 8));
    assert_eq!(stack.network.as_ref().unwrap().value, Network::Closed);
    assert_eq!(values(&stack.services), ["redis"]);
    let secret = &stack.secrets[0];
    assert_eq!((secret.name.value.as_str(), secret.env.value.as_str()), ("admin_password", "ADMIN_PASSWORD"));
    assert_eq!(secret.placeholder.as_ref().unwrap().value, "0000");
    assert!(secret.publishable && secret.format.is_some());
    let deliveries: Vec<_> = secret
        .into
        .iter()
        .map(|recipient| match &recipient.delivery {
            Delivery::Env(name) => format!("env {:?}", name.as_ref().map(|name| name.value.as_str())),
            Delivery::File(path) => format!("file {}", path.value),
        })
        .collect();
    assert_eq!(deliveries, ["env None", "env Some(\"OTHER\")", "file /run/admin"]);
    assert_eq!(stack.exports[0].value.value, "{url:backend}");
    assert_eq!(values(&stack.exports[0].public), ["VITE_"]);
    assert_eq!(values(&stack.hooks.restart), ["web"]);
    assert_eq!(stack.hooks.replace[0].file.value, "/etc/web.conf");
    let [first, second] = stack.hooks.sql.as_slice() else { panic!("there are two statements") };
    assert!(matches!(&first.database, Database::Url(url) if url.value.ends_with("@db/a")));
    assert_eq!(
        (first.setup.as_slice(), first.statement.value.as_str()),
        (["SELECT 1".to_owned()].as_slice(), "SELECT $1")
    );
    assert_eq!(values(&first.secrets), ["admin_password"]);
    assert!(matches!(&second.database, Database::Service(name) if name.value == "db"));
    assert_eq!(stack.warm_up[0].port, None);
    assert_eq!(stack.warm_up[1].path.value, "/login?a=b");
    let web = &project.services[0].emulator;
    assert_eq!(web.health.as_ref().unwrap().value, "/healthz");
    assert_eq!(
        (web.ports[0].port.value, web.ports[0].env.as_ref().unwrap().value.as_str()),
        (8080, "EMULATOR_MAIN_PORT")
    );
    assert_eq!(values(&web.warm_up), ["/", "/login"]);
    assert_eq!(project.services[1].emulator.native.as_ref().unwrap().value, "postgres");
    assert_eq!(project.services[1].image, None);
}

#[test]
fn exports_may_be_a_map_of_names_and_values() {
    let text = "services: {web: {image: a}}\nx-emulator: {exports: {URL: '{url:web}', NUMBER: 7}}\n";
    let exports = Shop::new(text).read().emulator.exports;
    let shown: Vec<_> =
        exports.iter().map(|export| (export.name.value.as_str(), export.value.value.as_str())).collect();
    assert_eq!(shown, [("URL", "{url:web}"), ("NUMBER", "7")]);
}

#[test]
fn shapes_that_are_wrong_are_refused() {
    for (lines, error) in [
        ("backends: web", "compose.yaml:3:3: `x-emulator.backends`: unknown key; did you mean `backend`?"),
        ("zzz: 1", "`x-emulator.zzz`: unknown key; the keys are `name`, `backend`"),
        ("x-more: 1", "`x-emulator.x-more`: unknown key"),
        ("backend: web:x", "\"web:x\" is not a service with its port; write `SERVICE` or `SERVICE:PORT`"),
        ("machine: {cpus: -1}", "the number -1 is out of range"),
        ("machine: {cpus: 1.5}", "must be a whole number, and is a number"),
        ("network: ajar", "\"ajar\" is not a network; write `open` or `closed`"),
        ("secrets: [{name: a}]", "`x-emulator.secrets[0]`: has no `env`; add the key `env`"),
        ("secrets: [{name: a, env: A, into: [{service: w, env: B, file: /x}]}]", "is there beside `env`"),
        ("secrets: [{name: a, env: A, into: [{service: w, file: x}]}]", "\"x\" is not an absolute path"),
        ("warmUp: [login]", "\"login\" is not a path of a URL; write a path from `/` on: `/healthz`"),
        ("hooks: {replace: [{file: /x}]}", "has no `service`"),
        ("hooks: {sql: [{statement: x}]}", "`x-emulator.hooks.sql[0]`: names no database"),
        ("hooks: {sql: [{url: x, service: db, statement: x}]}", "is there beside `url`"),
        ("hooks: {sql: [{url: x}]}", "has no `statement`"),
    ] {
        let text = format!("services: {{web: {{image: a}}}}\nx-emulator:\n  {lines}\n");
        let found = Shop::new(&text).refused();
        assert!(found.contains(error), "{lines}: {found}");
    }
    let found = refused("x-emulator: {ports: {http: {}}}");
    assert!(found.contains("\"http\" is not a port from 1 to 65535"), "{found}");
    let found = refused("healthcheck: {x-emulator: 1}");
    assert!(found.contains("`services.web.healthcheck.x-emulator`: unknown key"), "{found}");
}
