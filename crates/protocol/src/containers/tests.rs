use super::*;

fn container() -> Container {
    let text = r#"{
        "name": "web", "hostname": "web", "address": "172.30.0.2", "layers": ["aa", "bb"],
        "args": ["/bin/httpd", "-f"], "stop_seconds": 10,
        "secrets": {"TOKEN": "{secret:WEB_TOKEN}"},
        "volumes": [{"name": "data", "target": "/data"}],
        "files": [{"target": "/run/secrets/token", "source": {"secret": "WEB_TOKEN"}, "uid": 0, "gid": 0, "mode": 292}]
    }"#;
    Container::parse(text).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let text = container().to_json().unwrap();
    assert_eq!(Container::parse(&text).unwrap(), container());
}

#[test]
fn what_is_not_said_has_a_default() {
    let container = container();
    assert_eq!(container.ready, Ready::Started);
    assert!(container.volumes[0].copy && !container.volumes[0].read_only);
    assert_eq!((container.user, container.health, container.init), (None, None, false));
}

#[test]
fn addresses_begin_behind_the_gateway_and_end_before_the_broadcast() {
    assert_eq!(address(0), Some(Ipv4Addr::new(172, 30, 0, 2)));
    assert_eq!(address(252), Some(Ipv4Addr::new(172, 30, 0, 254)));
    assert_eq!(address(253), None);
    assert_eq!(address(1000), None);
}

#[test]
fn what_is_not_a_container_is_refused() {
    let change = |change: fn(&mut Container)| {
        let mut container = container();
        change(&mut container);
        container.to_json().unwrap_err().to_string()
    };
    let cases = [
        change(|it| it.name = "../web".into()),
        change(|it| it.layers[1] = "a/b".into()),
        change(|it| it.volumes[0].name = String::new()),
        change(|it| it.args.clear()),
        change(|it| it.layers.clear()),
        change(|it| it.volumes[0].target = "data".into()),
        change(|it| it.files[0].target = "/run/../etc/passwd".into()),
        change(|it| drop(it.secrets.insert("TOKEN".into(), "{token}".into()))),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r"
    invalid name `../web`: expected letters, digits, `.`, `_` and `-`
    invalid layer `a/b`: expected letters, digits, `.`, `_` and `-`
    invalid volume ``: expected letters, digits, `.`, `_` and `-`
    the container `web` has no program to run
    the container `web` has no layers
    invalid path `data` in a container: expected an absolute one without `..`
    invalid path `/run/../etc/passwd` in a container: expected an absolute one without `..`
    invalid value of the variable `TOKEN`
    ");
    let unknown = Container::parse(r#"{"name": "web", "colour": "red"}"#).unwrap_err().to_string();
    assert!(unknown.starts_with("invalid description of a container: unknown field `colour`"), "{unknown}");
}
