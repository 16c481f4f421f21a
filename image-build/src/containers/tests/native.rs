//! Services that native ones replace.

use super::*;

/// A shop with a native database, whose service has these lines.
fn with(db: &str) -> Shop {
    let text = format!(
        "services:\n  web:\n    image: web\n    ports: [80]\n    depends_on: [db]\n    x-emulator: {{health: /}}\n  db:\n    {}\n{}",
        db.replace('\n', "\n    "),
        "x-emulator:\n  secrets: [{name: password, env: PASSWORD}]\n"
    );
    Shop::new(&text).image(None, &made("web:latest"))
}

const POSTGRES: &str = "x-emulator: {native: postgres}
environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: fixed, POSTGRES_DB: goods}
networks: {default: {aliases: [database]}}
command: [postgres, -c, max_connections=200, \"--log_line_prefix=it's\"]";

#[tokio::test]
async fn a_native_database_has_role_network_and_settings_of_the_service() {
    let composed = with(POSTGRES).composed().await.unwrap();
    let names: Vec<_> = composed.services.iter().map(Part::name).collect();
    assert_eq!(names, ["postgres", "web"]);
    let file = |(path, text): (&String, &String)| format!("=== {path}\n{}", text.trim_end());
    let files: Vec<_> = composed.files.iter().map(file).collect();
    insta::assert_snapshot!("postgres", files.join("\n"));
    let hosts = &composed.containers[0].extra_hosts;
    assert_eq!(hosts.keys().map(String::as_str).collect::<Vec<_>>(), ["database", "db"]);
    assert!(hosts.values().all(|address| *address == protocol::containers::GATEWAY));
    let Part::Container { unit, .. } = &composed.services[1] else { panic!("a container") };
    assert!(unit.contains("Wants=stack-postgres.service\n"), "{unit}");
}

#[tokio::test]
async fn a_published_native_database_listens_for_the_host_too() {
    let composed = with(&format!("{POSTGRES}\nports: [5432:5432]")).composed().await.unwrap();
    assert!(
        composed.files["etc/stack/postgresql.containers.conf"].starts_with("listen_addresses = '0.0.0.0'\n")
    );
    let Part::Native { ports, .. } = &composed.services[0] else { panic!("a native service") };
    assert_eq!((ports[0].name.as_str(), ports[0].guest, ports[0].host), ("postgres", 5432, 5432));
}

#[tokio::test]
async fn options_of_redis_become_settings() {
    let redis = "x-emulator: {native: redis}\ncommand: redis-server --requirepass fixed --save 60 1";
    let composed = with(redis).composed().await.unwrap();
    insta::assert_snapshot!("redis", composed.files["etc/stack/redis.d/containers.conf"]);
}

#[tokio::test]
async fn a_statement_finds_the_native_database_by_its_service() {
    let text = "x-emulator:\n  hooks: {sql: [{service: db, statement: SELECT $$1, secrets: [password]}]}\n  secrets:";
    let shop = with(POSTGRES);
    let path = shop.path("shop/compose.yaml");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("x-emulator:\n  secrets:", text)).unwrap();
    let sql = shop.composed().await.unwrap().sql.unwrap();
    assert_eq!(sql.databases[0].url, "host=172.30.0.1 user='shop' password='fixed' dbname='goods'");
}

#[tokio::test]
async fn what_a_native_service_cannot_do_is_refused() {
    for (more, error) in [
        (
            "environment: {POSTGRES_USER: a}",
            "`services.db.environment`: has no password; add `POSTGRES_PASSWORD`",
        ),
        ("environment: {POSTGRES_PASSWORD: '{secret:password}'}", "does not take secrets of a session"),
        ("environment: {POSTGRES_PASSWORD: 'a`b'}", "is empty, or has a control character"),
        (
            "environment: {POSTGRES_PASSWORD: a, POSTGRES_INITDB_ARGS: b}",
            "does not know this variable; remove it",
        ),
        (
            "environment: {POSTGRES_PASSWORD: a}\ncommand: sh -x",
            "does not take `sh`; write `postgres -c NAME=VALUE`",
        ),
        (
            "environment: {POSTGRES_PASSWORD: a}\ncommand: '-c a={secret:password}'",
            "the native `postgres` does not take `a={secret:password}`",
        ),
        ("environment: {POSTGRES_PASSWORD: a}\nports: [80]", "publish the service's own port only"),
        ("entrypoint: sh", "`services.db.entrypoint`: the native `postgres` cannot do this"),
    ] {
        let found = with(&format!("x-emulator: {{native: postgres}}\n{more}")).refused().await;
        assert!(found.contains(error), "{more}: {found}");
    }
    for (native, option) in [
        ("redis", "--port"),
        ("redis", "--PORT"),
        ("postgres", "port=5433"),
        ("postgres", "Port=5433"),
        ("postgres", "listen_addresses=*"),
    ] {
        let command = match native {
            "redis" => format!("command: redis-server {option} 1"),
            _ => format!("environment: {{POSTGRES_PASSWORD: a}}\ncommand: [postgres, -c, '{option}']"),
        };
        let found = with(&format!("x-emulator: {{native: {native}}}\n{command}")).refused().await;
        assert!(found.contains(&format!("the native `{native}` does not take `{option}`")), "{found}");
    }
}

#[tokio::test]
async fn only_a_service_that_says_how_replaces_one() {
    for name in ["backend", "none"] {
        let found = with(&format!("x-emulator: {{native: {name}}}")).refused().await;
        let error = format!(
            "`services.db.x-emulator.native`: no service `{name}` can replace one of a compose file; name one that can: `postgres`, `redis`"
        );
        assert!(found.contains(&error), "{found}");
    }
}

#[tokio::test]
async fn a_service_beside_the_compose_file_replaces_one_too() {
    let shop = with("x-emulator: {native: cache}\ncommand: cached --size 5\nports: [1234]");
    let dir = shop.path("shop/services/cache");
    fs::create_dir_all(&dir).unwrap();
    let text = r#"
        unit = "stack-cache.service"
        native = { title = "Cache", image = "cache:1", port = 1234, command = { program = "cached", option = "--NAME VALUE" }, settings = { file = "/etc/cache.conf", lines = ["listen {address}"] } }
    "#;
    fs::write(dir.join("service.toml"), text).unwrap();
    let composed = shop.composed().await.unwrap();
    assert_eq!(composed.files["etc/cache.conf"], "listen 0.0.0.0\nsize \"5\"\n");
}
