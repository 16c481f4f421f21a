use std::fs;
use std::path::Path;

use protocol::services::Order;

use super::*;

mod exports;

/// The description of this repository's own stack.
pub(crate) fn built_in() -> Description {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cloud-init");
    let file = StackFile::parse(&fs::read_to_string(dir.join("stacks/stack-emulator/stack.toml")).unwrap());
    let file = file.unwrap();
    let read = |name: &String| {
        let text = fs::read_to_string(dir.join("services").join(name).join("service.toml")).unwrap();
        (name.clone(), ServiceFile::parse(&text).unwrap())
    };
    let services: Vec<_> = file.services.iter().map(read).collect();
    Description::merge(file, &services).unwrap()
}

const STACK: &str = r#"
    format = 2
    name = "shop"
    network = "open"
    services = ["web", "mailer"]
    machine = { memoryMib = 512, cpus = 1, diskGib = 2 }
"#;

const WEB: &str = r#"
    unit = "web.service"
    packages = ["nginx-{arch}"]
    orders = ["reload", "warm-up"]

    [[ports]]
    name = "web"
    guest = 80
    host = 26801
    env = "EMULATOR_WEB_PORT"
    health = "/"

    [env]
    WEB_ROOT = "/srv/web"
"#;

const MAILER: &str = r#"
    unit = "mailer.service"
    late = true

    [[ports]]
    name = "smtp"
    guest = 25
    host = 26800
    env = "EMULATOR_SMTP_PORT"

    [[secrets]]
    name = "mailer_password"
    env = "MAILER_PASSWORD"
    placeholder = "00000000000000000000000000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    format = "hex64"
"#;

fn merged(stack: &str, services: &[(&str, &str)]) -> Result<Description, Mismatch> {
    let parsed = |(name, text): &(&str, &str)| ((*name).to_owned(), ServiceFile::parse(text).unwrap());
    let services: Vec<_> = services.iter().map(parsed).collect();
    Description::merge(StackFile::parse(stack).unwrap(), &services)
}

fn shop(mailer: &str) -> Result<Description, Mismatch> {
    merged(STACK, &[("web", WEB), ("mailer", mailer)])
}

/// Why a stack with this service beside `web` is refused, with the service and the key that are to blame.
fn refused(mailer: &str) -> String {
    let Mismatch { service, problem } = shop(mailer).unwrap_err();
    format!("{}: {problem}", service.unwrap_or_default())
}

#[test]
fn the_stack_of_this_repository_is_valid() {
    let Description { stack, guest, product, .. } = built_in();
    let ports: Vec<_> = stack.ports.iter().map(|port| (port.name.as_str(), port.guest, port.host)).collect();
    assert_eq!(ports, [("dashboard", 8101, 26700), ("backend", 8102, 26701)]);
    assert_eq!(stack.secrets.len(), 4);
    let (mut published, mut opened): (Vec<_>, Vec<_>) = (
        stack.ports.iter().map(|port| (port.guest, &port.health)).collect(),
        guest.ports().map(|port| (port.guest, &port.health)).collect(),
    );
    published.sort();
    opened.sort();
    assert_eq!(published, opened);
    assert!(product);
    let (shown, driven): (Vec<_>, Vec<_>) = (
        stack.services.iter().map(|service| &service.unit).collect(),
        guest.services.iter().map(|service| &service.unit).collect(),
    );
    assert_eq!(shown, driven);
    guest.to_json().unwrap();
}

#[test]
fn services_are_merged_in_the_order_of_the_stack() {
    let Description { stack, guest, packages, env, late, product, parts } = shop(MAILER).unwrap();
    assert_eq!(parts, [""; 0]);
    let names: Vec<_> = stack.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["web", "mailer"]);
    let ports: Vec<_> = stack.ports.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(ports, ["smtp", "web"]);
    assert_eq!(stack.secrets[0].name, "mailer_password");
    assert_eq!((guest.name.as_str(), guest.services.len()), ("shop", 2));
    assert_eq!(guest.services[0].orders, [Order::Reload, Order::WarmUp]);
    assert_eq!(guest.services[0].ports, [guest::Port { guest: 80, health: Some("/".into()) }]);
    assert_eq!(packages, ["nginx-{arch}"]);
    assert_eq!(env, [("WEB_ROOT".to_owned(), "/srv/web".to_owned())]);
    assert_eq!(late, ["mailer.service"]);
    assert!(!product);
}

#[test]
fn a_part_lends_what_it_has_to_its_process() {
    let part = MAILER.replace("unit = \"mailer.service\"\n    late = true", "partOf = \"web\"");
    let Description { stack, guest, parts, .. } = shop(&part).unwrap();
    assert_eq!(parts, ["mailer"]);
    assert_eq!(stack.services.len(), 1, "it has no journal of its own");
    let ports: Vec<_> = guest.services[0].ports.iter().map(|port| port.guest).collect();
    assert_eq!((guest.services.len(), ports), (1, vec![80, 25]));
    assert_eq!((stack.ports.len(), stack.secrets[0].name.as_str()), (2, "mailer_password"));
}

#[test]
fn a_part_without_its_process_or_with_a_unit_is_refused() {
    let alone = refused("partOf = \"other\"");
    assert_eq!(alone, "mailer: `partOf`: the stack lists no `other` before it");
    for text in ["", "unit = \"a.service\"\npartOf = \"web\"", "partOf = \"web\"\nlate = true"] {
        let error = ServiceFile::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("`partOf`: "), "{error}");
    }
}

#[test]
fn another_format_is_refused_by_number() {
    let error = StackFile::parse(&STACK.replace("format = 2", "format = 1")).unwrap_err().to_string();
    assert_eq!(error, "it has format 1, this program reads format 2");
}

#[test]
fn unknown_keys_and_clashing_ports_are_refused() {
    for (key, other) in [("guest", "gest"), ("unit", "unid"), ("late", "latte")] {
        let error = ServiceFile::parse(&MAILER.replace(key, other)).unwrap_err().to_string();
        assert!(error.contains(other), "{error}");
    }
    let error = StackFile::parse(&STACK.replace("machine", "maschine")).unwrap_err().to_string();
    assert!(error.contains("maschine"), "{error}");
    let error = refused(&MAILER.replace("host = 26800", "host = 26801"));
    assert_eq!(error, "mailer: `ports`: ports `web` and `smtp` share a name, number or variable");
}

#[test]
fn two_services_share_neither_unit_nor_secret_nor_variable() {
    let error = refused(&MAILER.replace("mailer.service", "web.service"));
    assert_eq!(error, "mailer: `unit`: services `web` and `mailer` share a name or unit");
    let error = refused(&format!("{MAILER}\n[env]\nWEB_ROOT = \"/\""));
    assert_eq!(error, "mailer: `env`: `WEB_ROOT` is a variable of another service or of a secret");
    let error = refused(&format!("{MAILER}\n[env]\nMAILER_PASSWORD = \"x\""));
    assert_eq!(error, "mailer: `env`: `MAILER_PASSWORD` is a variable of another service or of a secret");
    let secret = &MAILER[MAILER.find("[[secrets]]").unwrap()..];
    let web = format!("{}\n{secret}", WEB.replace("[env]\n    WEB_ROOT = \"/srv/web\"", ""));
    let error = merged(STACK, &[("web", &web), ("mailer", MAILER)]).unwrap_err();
    assert_eq!(error.service.as_deref(), Some("mailer"));
    assert!(error.to_string().starts_with("`secrets`: secrets `mailer_password` and"), "{error}");
}

#[test]
fn a_service_is_listed_once_and_by_a_name_that_makes_a_path() {
    for (services, reason) in [
        (r#"["web", "web"]"#, "`services`: `web` is listed twice"),
        (
            r#"["Web"]"#,
            "`services`: \"Web\" is not a valid name of a service: lowercase letters, digits and `-`",
        ),
        (
            r#"["../web"]"#,
            "`services`: \"../web\" is not a valid name: use letters, digits, `-` and `_`, at most 64",
        ),
    ] {
        let text = STACK.replace(r#"["web", "mailer"]"#, services);
        assert_eq!(StackFile::parse(&text).unwrap_err().to_string(), reason);
    }
}

#[test]
fn a_stack_without_a_health_path_is_refused() {
    let web = WEB.replace("health = \"/\"", "");
    let error = merged(STACK, &[("web", &web), ("mailer", MAILER)]).unwrap_err();
    assert_eq!(error.service, None);
    assert_eq!(error.to_string(), "`services`: no port has a health path, so readiness cannot be checked");
}

#[test]
fn an_unknown_order_is_refused_with_those_there_are() {
    let error = ServiceFile::parse(&WEB.replace("warm-up", "dance")).unwrap_err().to_string();
    assert!(error.contains("unknown variant `dance`") && error.contains("`rehearse`"), "{error}");
}

#[test]
fn names_and_values_that_would_be_read_otherwise_are_refused() {
    let refused = |from: &str, to: &str| ServiceFile::parse(&WEB.replace(from, to)).unwrap_err().to_string();
    for package in ["", "two words", "a,b", "-x", "Nginx"] {
        let error = refused("nginx-{arch}", package);
        assert!(error.ends_with("is not a valid name of a package"), "{error}");
    }
    for value in ["$HOME", "a`b`", r"a\\b", r#"a\"b"#, r"a\nb"] {
        let error = refused("/srv/web", value);
        assert!(error.starts_with("`env`: the value of `WEB_ROOT` has a control character"), "{error}");
    }
    assert_eq!(refused("WEB_ROOT", "1A"), "`env`: \"1A\" is not a valid name of a variable");
}

#[test]
fn the_network_is_open_unless_the_stack_closes_it() {
    let with = |line: &str| StackFile::parse(&STACK.replace("network = \"open\"", line));
    let network = |line: &str| {
        let services = [("web".to_owned(), ServiceFile::parse(WEB).unwrap())];
        Description::merge(with(line).unwrap(), &services).unwrap().stack.network
    };
    assert_eq!(built_in().stack.network, Network::Open);
    assert_eq!(network(""), Network::Open);
    assert_eq!(network("network = \"closed\""), Network::Closed);
    assert!(matches!(with("network = \"ajar\""), Err(Problem::Parse(_))));
}

#[test]
fn hooks_are_optional_and_read() {
    assert_eq!(built_in().stack.hooks, Hooks::default());
    let hooks = r#"
        [hooks]
        restart = ["mailer.service"]

        [[hooks.replace]]
        file = "/etc/mailer.conf"
        secret = "mailer_password"
    "#;
    let stack = shop(&format!("{MAILER}{hooks}")).unwrap().stack;
    assert_eq!(stack.hooks.restart, ["mailer.service"]);
    assert_eq!(stack.hooks.replace[0].secret, "mailer_password");
    let json = serde_json::to_string(&stack).unwrap();
    assert_eq!(serde_json::from_str::<Stack>(&json).unwrap(), stack);
}

#[test]
fn a_hook_that_cannot_work_is_refused() {
    let refused = |hooks: &str| refused(&format!("{MAILER}\n[hooks]\n{hooks}"));
    for unit in ["mailer", "mailer service", ".service", "--now.service", "mailer.timer"] {
        let error = refused(&format!("restart = [\"{unit}\"]"));
        assert!(error.starts_with("mailer: `hooks`: "), "{error}");
        assert!(error.contains("is not a unit's full name"), "{error}");
    }
    let replace = |file: &str, secret: &str| {
        refused(&format!("replace = [{{ file = \"{file}\", secret = \"{secret}\" }}]"))
    };
    assert!(replace("etc/mailer.conf", "mailer_password").contains("is not an absolute path"));
    assert!(replace("/etc/mailer.conf", "unknown").contains("\"unknown\", which is not a secret"));
    let own = r#"replace = [{ file = "/f", secret = "mailer_password", placeholder = "x" }]"#;
    assert!(refused(own).contains("has a placeholder"));
}

#[test]
fn exports_of_the_stack_and_its_services_are_merged_and_checked() {
    let exported = r#"
        [[exports]]
        name = "SHOP_MAIL"
        value = "smtp://{host}:{port:smtp}"
    "#;
    let stack = format!("{STACK}\n{}", exported.replace("SHOP_MAIL", "SHOP_SMTP"));
    let mailer = format!("{MAILER}\n{exported}");
    let merged_stack = merged(&stack, &[("web", WEB), ("mailer", &mailer)]).unwrap().stack;
    let names: Vec<_> = merged_stack.exports.iter().map(|export| export.name.as_str()).collect();
    assert_eq!(names, ["SHOP_SMTP", "SHOP_MAIL"]);
    let twice = merged(&stack, &[("web", WEB), ("mailer", &mailer.replace("SHOP_MAIL", "SHOP_SMTP"))]);
    let error = twice.unwrap_err();
    assert_eq!(error.service.as_deref(), Some("mailer"));
    assert_eq!(error.to_string(), "`exports`: the variable `SHOP_SMTP` is exported twice");
    let error = ServiceFile::parse(&mailer.replace("{port:smtp}", "{env:HOME}")).unwrap_err().to_string();
    assert!(error.contains("`{env:HOME}` is not a valid placeholder"), "{error}");
    let secret = mailer.replace("smtp://", "{secret:mailer_password}@");
    let error = refused(&secret.replace("value =", "public = [\"VITE_\"]\nvalue ="));
    assert!(error.starts_with("mailer: `exports`: `SHOP_MAIL` has a secret in it"), "{error}");
}

#[test]
fn only_one_service_is_asked_for_projects() {
    let project = "\n[project]\nport = \"web\"\npath = \"/project\"\nfield = \"file\"\n";
    let export = "\n[[exports]]\nname = \"SHOP_ID\"\nvalue = \"none\"\nproject = \"id\"\n";
    let web = format!("{WEB}{export}{project}");
    let stack = merged(STACK, &[("web", &web), ("mailer", MAILER)]).unwrap().stack;
    assert_eq!(stack.project.unwrap().path, "/project");
    let error = merged(STACK, &[("web", &web), ("mailer", &format!("{MAILER}{project}"))]).unwrap_err();
    assert_eq!(error.service.as_deref(), Some("mailer"));
    assert_eq!(error.to_string(), "`project`: another service is asked for projects already");
}

#[test]
fn how_containers_use_a_service_is_read_and_checked() {
    let native = r#"
        [native]
        title = "Mailer"
        image = "registry.example/mailer:1"
        port = 25
        settings = { file = "/etc/mailer.conf", lines = ["listen {address}"] }
        command = { program = "mailer", option = "--NAME VALUE" }
    "#;
    let parse = |from: &str, to: &str| {
        ServiceFile::parse(&format!("{MAILER}{}", native.replace(from, to))).map(|file| file.native.unwrap())
    };
    let mailer = parse("", "").unwrap();
    assert_eq!(mailer.image_name(), "mailer");
    assert!(mailer.stands_for("mailer") && !mailer.stands_for("mailer-more:1"));
    assert_eq!(mailer.settings.text("10.0.0.1", &["more".to_owned()]), "listen 10.0.0.1\nmore\n");
    for (from, to, error) in [
        ("port = 25", "port = 0", "`native`: a service cannot listen on port 0"),
        ("/etc", "etc", "`native`: \"etc/mailer.conf\" is not an absolute path"),
        ("listen", "\\n", "`native`: the line \"\\n {address}\" has a control character"),
        ("\"Mailer\"", "\"\"", "`native`: \"\" is empty, or has a control character"),
        ("--NAME VALUE", "NAME", "unknown variant `NAME`, expected `-c NAME=VALUE` or `--NAME VALUE`"),
        ("title", "tilte", "unknown field `tilte`"),
    ] {
        let found = parse(from, to).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
    let found = refused(&format!("{MAILER}{native}"));
    let error = "containers wait for the unit `stack-mailer.service`, and this is `mailer.service`";
    assert_eq!(found, format!("mailer: `unit`: {error}"));
    shop(&format!("{MAILER}{native}").replace("mailer.service", "stack-mailer.service")).unwrap();
}
