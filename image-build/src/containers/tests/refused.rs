//! What a machine cannot run, each with the line, the key, the reason, and what to write instead.

use super::*;

/// Why a file with this service `web` and this stack is refused.
async fn refused(web: &str, stack: &str) -> String {
    let text = format!("services:\n  web: {{image: web, {web}}}\nx-emulator: {{{stack}}}\n");
    Shop::new(&text).image(None, &made("web:latest")).refused().await
}

const WEB: &str = "ports: [80], x-emulator: {health: /}";

#[tokio::test]
async fn what_is_wrong_names_line_and_key() {
    for (web, stack, error) in [
        ("", "", "shop/compose.yaml: `services`: no service publishes a port"),
        ("ports: [80]", "", "shop/compose.yaml:2:3: `services.web`: no port has a health path"),
        (
            "x-emulator: {health: /}",
            "",
            "`services.web.x-emulator.health`: the service publishes no port to ask",
        ),
        (
            "ports: [80], x-emulator: {health: /, ports: {81: {name: a}}}",
            "",
            "`services.web.x-emulator.ports.81`: the service does not publish its port 81",
        ),
        (WEB, "backend: wob", "shop/compose.yaml:3:23: `x-emulator.backend`: there is no service `wob`"),
        (WEB, "backend: 'web:81'", "the service `web` does not publish its port 81"),
        (WEB, "warmUp: [{port: wob, path: /}]", "there is no service `wob`"),
        (WEB, "secrets: [{name: a, env: A, format: uuid}]", "there is no format `uuid`"),
        (WEB, "secrets: [{name: a, env: A, placeholder: x}]", "a placeholder has the format of its secret"),
        (
            WEB,
            "secrets: [{name: a, env: A, into: [wob]}]",
            "`x-emulator.secrets[0].into[0]`: there is no service `wob`",
        ),
        (WEB, "hooks: {restart: [wob]}", "`x-emulator.hooks.restart[0]`: there is no service `wob`"),
        (WEB, "hooks: {replace: [{service: web, file: /x, secret: a}]}", "there is no secret `a`"),
        (WEB, "hooks: {sql: [{url: '{secret:a}', statement: x}]}", "there is no secret `a`"),
        (WEB, "hooks: {sql: [{url: 'host=db', statement: x}]}", "no statement of this database has a secret"),
        (WEB, "hooks: {sql: [{service: web, statement: x}]}", "`web` is not the native PostgreSQL"),
        (WEB, "exports: {A: '{what:wob}'}", "`{what:wob}` is not a valid placeholder"),
        (WEB, "services: [postgres]", "it has no role and no database that containers could use"),
        (WEB, "machine: {memoryMib: 1}", "`machine`: the machine needs at least 256 MiB"),
        (
            "ports: [80], x-emulator: {health: /}, environment: {A: '{secret:a}'}",
            "",
            "`services.web.environment.A`: there is no secret `a`",
        ),
        (
            "ports: [80], x-emulator: {health: /}, entrypoint: []",
            "",
            "names a program; add the key `command`",
        ),
    ] {
        let found = refused(web, stack).await;
        assert!(found.contains(error), "{web} {stack}: {found}");
    }
}

#[tokio::test]
async fn the_errors_of_the_file_itself_come_first() {
    for (web, error) in [
        (
            "ports: [80], volumes: ['./src:/src']",
            "shop/compose.yaml:2:44: `services.web.volumes[0]`: the path \"./src\" of the host",
        ),
        ("porst: [80]", "`services.web.porst`: unknown key; did you mean `ports`?"),
        ("build: .", "no service publishes a port"),
    ] {
        let found = refused(web, "").await;
        assert!(found.contains(error), "{web}: {found}");
    }
    let two = "services:\n  web: {image: a, ports: ['80:80']}\n  more: {image: a, ports: ['80:81']}\n";
    let found = Shop::new(two).refused().await;
    assert!(found.contains("port 80 of the host is published by `web` already, in line 2"), "{found}");
}

#[tokio::test]
async fn names_that_a_machine_cannot_have_are_changed_or_refused() {
    let text = "services:\n  web_app: {image: web, ports: [80], x-emulator: {health: /}}\n";
    let composed = Shop::new(text).image(None, &made("web:latest")).composed().await.unwrap();
    let container = &composed.containers[0];
    assert_eq!((container.name.as_str(), container.hostname.as_str()), ("web-app", "web_app"));
    assert_eq!(container.aliases, ["web_app"]);
    for (name, error) in [
        ("agent", "`agent` is the name of a service of every machine"),
        ("_", "a machine has no such name for a service"),
        ("web-app: {image: a}\n  web_app", "is called `web-app` in the machine already"),
    ] {
        let found =
            Shop::new(&text.replace("web_app", name)).image(None, &made("web:latest")).refused().await;
        assert!(found.contains(error), "{name}: {found}");
    }
}
