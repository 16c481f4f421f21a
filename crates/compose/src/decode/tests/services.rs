//! What each key of a service becomes.

use std::time::Duration;

use super::*;
use crate::decode::units::{duration, size};
use crate::decode::words::{Unsplit, split};
use crate::model::{
    Condition, Dependency, ExtraHost, HealthCheck, HealthTest, HostAddress, Limits, Membership, Mount,
    Restart, Tmpfs, Ulimit, VolumeSource,
};

fn ports(lines: &str) -> Vec<(u16, Option<u16>)> {
    let number = |port: &crate::model::Port| port.published.as_ref().map(|published| published.value);
    web(lines).ports.iter().map(|port| (port.target, number(port))).collect()
}

#[test]
fn ports_are_read_in_every_form() {
    for (port, expected) in [
        ("80", vec![(80, None)]),
        ("'80'", vec![(80, None)]),
        ("8080:80", vec![(80, Some(8080))]),
        ("22:22", vec![(22, Some(22))]),
        ("8080:80/tcp", vec![(80, Some(8080))]),
        ("127.0.0.1:8080:80", vec![(80, Some(8080))]),
        ("127.0.0.1::80", vec![(80, None)]),
        ("'[::1]:8080:80'", vec![(80, Some(8080))]),
        ("::1:8080:80", vec![(80, Some(8080))]),
        ("3000-3001", vec![(3000, None), (3001, None)]),
        ("8000-8001:9000-9001", vec![(9000, Some(8000)), (9001, Some(8001))]),
        ("'${PORT:-80}:80'", vec![(80, Some(8080))]),
        ("{target: 80}", vec![(80, None)]),
        ("{target: '80', published: 8080, protocol: tcp, mode: host}", vec![(80, Some(8080))]),
        ("{target: 80, published: '${PORT}', host_ip: 127.0.0.1}", vec![(80, Some(8080))]),
    ] {
        assert_eq!(ports(&format!("ports:\n  - {port}")), expected, "{port}");
    }
    assert_eq!(ports("ports: ['80:80', '80:80/tcp', 81]"), [(80, Some(80)), (81, None)]);
    let named = &web("ports: [{target: 80, name: main, app_protocol: http}]").ports[0];
    assert_eq!((named.name.as_deref(), named.app_protocol.as_deref()), (Some("main"), Some("http")));
    assert_eq!(web("expose: [80, '81', 90-91, 92/tcp]").expose, [80, 81, 90, 91, 92]);
}

#[test]
fn variables_come_from_the_file_and_from_the_process() {
    let map = "environment: {TEXT: a b, NUMBER: 1.1, LONG: '1.10', YES: yes, FLAG: true, SET: , GONE: , VAR: '$SET', EMPTY: ''}";
    let list =
        "environment: [TEXT=a b, NUMBER=1.1, LONG=1.10, YES=yes, FLAG=true, SET, GONE, 'VAR=$SET', EMPTY=]";
    let shown = |lines: &str| {
        let all = web(lines).environment.into_iter();
        all.map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("(removed)")))
            .collect::<Vec<_>>()
    };
    let expected = [
        "EMPTY=",
        "FLAG=true",
        "GONE=(removed)",
        "LONG=1.10",
        "NUMBER=1.1",
        "SET=value",
        "TEXT=a b",
        "VAR=value",
        "YES=yes",
    ];
    assert_eq!(shown(map), expected);
    assert_eq!(shown(list), expected);
}

#[test]
fn command_lines_are_split_as_a_shell_splits_them() {
    let command = |lines: &str| web(lines).command;
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(command("user: a"), None);
    assert_eq!(command("command:"), None);
    assert_eq!(command("command: []"), words(&[]));
    assert_eq!(command("command: ''"), words(&[]));
    assert_eq!(command("command: [a, 'b c', '$$x']"), words(&["a", "b c", "$x"]));
    assert_eq!(
        command("command: run --name 'a b' \"c d\" e\\ f"),
        words(&["run", "--name", "a b", "c d", "e f"])
    );
    assert_eq!(web("entrypoint: sh -c 'echo $$HOME'").entrypoint, words(&["sh", "-c", "echo $HOME"]));
    let split = |text: &str| split(text);
    assert_eq!(
        split("a #b '' \"\\\"\\n\" '\\'"),
        Ok(vec!["a", "#b", "", "\"\n", "\\"].into_iter().map(str::to_owned).collect())
    );
    assert_eq!(split("a && b"), Err(Unsplit::Operator('&')));
    assert_eq!(split("echo $(date)"), Err(Unsplit::Operator('(')));
    assert_eq!(split("a 'b"), Err(Unsplit::Quote));
    assert_eq!(split("a \"b\\"), Err(Unsplit::Quote));
    assert_eq!(split("a \\"), Err(Unsplit::Quote));
    assert_eq!(split("'a;b|c' \"<>\" \\&"), Ok(vec!["a;b|c".to_owned(), "<>".to_owned(), "&".to_owned()]));
}

#[test]
fn durations_and_sizes_have_the_units_of_docker() {
    for (text, millis) in [
        ("1m30s", Some(90_000)),
        ("1.5s", Some(1500)),
        ("500ms", Some(500)),
        ("2h", Some(7_200_000)),
        ("1d", Some(86_400_000)),
        ("0", Some(0)),
        ("1000us", Some(1)),
        ("30", None),
        ("", None),
        ("s", None),
        ("-1s", None),
        ("1 m", None),
        ("1.1.1s", None),
        ("99999999999999w", None),
    ] {
        assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
    }
    for (text, bytes) in [
        ("1g", Some(1 << 30)),
        ("64m", Some(64 << 20)),
        ("64MB", Some(64 << 20)),
        ("64 MiB", Some(64 << 20)),
        ("1.5k", Some(1536)),
        ("10", Some(10)),
        ("10b", Some(10)),
        ("1t", Some(1 << 40)),
        ("", None),
        ("g", None),
        ("1x", None),
        ("-1", None),
        ("1gg", None),
        ("1i", None),
        ("99999999999p", None),
    ] {
        assert_eq!(size(text), bytes, "{text}");
    }
}

#[test]
fn health_checks_are_read_in_every_form() {
    let check = |test| HealthCheck::Check {
        test,
        interval: None,
        timeout: None,
        retries: None,
        start_period: None,
        start_interval: None,
    };
    let shell = |line: &str| Some(HealthTest::Shell(line.to_owned()));
    for (text, expected) in [
        ("{test: curl x}", check(shell("curl x"))),
        ("{test: [CMD-SHELL, curl x || exit 1]}", check(shell("curl x || exit 1"))),
        ("{test: [CMD, curl, x]}", check(Some(HealthTest::Exec(vec!["curl".into(), "x".into()])))),
        ("{test: [NONE]}", HealthCheck::Disabled),
        ("{disable: true}", HealthCheck::Disabled),
        ("{disable: false}", check(None)),
    ] {
        assert_eq!(web(&format!("healthcheck: {text}")).health, Some(expected), "{text}");
    }
    let times = "healthcheck: {test: a, interval: 1m30s, timeout: 5s, retries: 3, start_period: 0s, start_interval: 100ms}";
    let expected = HealthCheck::Check {
        test: shell("a"),
        interval: Some(Duration::from_secs(90)),
        timeout: Some(Duration::from_secs(5)),
        retries: Some(3),
        start_period: Some(Duration::ZERO),
        start_interval: Some(Duration::from_millis(100)),
    };
    assert_eq!(web(times).health, Some(expected));
}

#[test]
fn mounts_are_read_in_every_form() {
    let volume = |source: Option<&str>, target: &str, read_only, copy| Mount::Volume {
        source: source.map_or(VolumeSource::Anonymous, |name| VolumeSource::Named(name.to_owned())),
        target: target.to_owned(),
        read_only,
        copy,
    };
    let tmpfs = |target: &str, size, mode, options: &[&str]| {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Mount::Tmpfs(Tmpfs { target: target.to_owned(), size, mode, options })
    };
    for (text, expected) in [
        ("data:/var/lib/x", volume(Some("data"), "/var/lib/x", false, true)),
        ("data:/x:ro", volume(Some("data"), "/x", true, true)),
        ("data:/x/:rw,nocopy,Z", volume(Some("data"), "/x", false, false)),
        ("/x", volume(None, "/x", false, true)),
        ("{type: volume, source: data, target: /x}", volume(Some("data"), "/x", false, true)),
        (
            "{type: volume, target: /x, read_only: true, volume: {nocopy: true}}",
            volume(None, "/x", true, false),
        ),
        ("{type: tmpfs, target: /x}", tmpfs("/x", None, None, &[])),
        (
            "{type: tmpfs, target: /x, read_only: true, tmpfs: {size: 64m, mode: 0700}}",
            tmpfs("/x", Some(64 << 20), Some(0o700), &["ro"]),
        ),
    ] {
        assert_eq!(web(&format!("volumes:\n  - {text}")).mounts, [expected], "{text}");
    }
    let mounts = web("tmpfs: ['/run:size=64k,mode=1777,noexec,uid=5', /tmp]").mounts;
    let run = tmpfs("/run", Some(64 << 10), Some(0o1777), &["noexec", "uid=5"]);
    assert_eq!(mounts, [run, tmpfs("/tmp", None, None, &[])]);
    assert_eq!(web("tmpfs: /run").mounts, [tmpfs("/run", None, None, &[])]);
}

#[test]
fn the_process_of_a_service_is_described() {
    let service = web("
user: '1000:node'
working_dir: /srv/./app/
init: true
read_only: 'yes'
tty: false
stdin_open: true
restart: on-failure:3
stop_signal: quit
stop_grace_period: 1m
container_name: shop_web
hostname: web.local
cap_add: [net_admin, CAP_SYS_TIME]
cap_drop: [ALL]
sysctls: {net.core.somaxconn: 1024}
platform: linux/amd64");
    assert_eq!(service.user.unwrap().value, "1000:node");
    assert_eq!(service.working_dir.as_deref(), Some("/srv/app"));
    assert!(service.init && service.read_only);
    assert_eq!(service.restart, Restart::OnFailure(Some(3)));
    assert_eq!(service.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(service.stop_grace_period, Some(Duration::from_mins(1)));
    assert_eq!(service.container_name.as_deref(), Some("shop_web"));
    assert_eq!(service.hostname.as_deref(), Some("web.local"));
    assert_eq!(service.cap_add, ["CAP_NET_ADMIN", "CAP_SYS_TIME"]);
    assert_eq!(service.cap_drop, ["ALL"]);
    assert_eq!(service.sysctls["net.core.somaxconn"], "1024");
    assert_eq!(service.platform.unwrap().value, "linux/amd64");
    assert_eq!(web("sysctls: [net.core.somaxconn=1]").sysctls["net.core.somaxconn"], "1");
    for (text, restart) in [
        ("'no'", Restart::No),
        ("no", Restart::No),
        ("always", Restart::Always),
        ("unless-stopped", Restart::UnlessStopped),
        ("on-failure", Restart::OnFailure(None)),
    ] {
        assert_eq!(web(&format!("restart: {text}")).restart, restart, "{text}");
    }
    for (text, signal) in [("SIGTERM", "SIGTERM"), ("9", "9"), ("rtmin+3", "SIGRTMIN+3")] {
        assert_eq!(web(&format!("stop_signal: {text}")).stop_signal.as_deref(), Some(signal), "{text}");
    }
}

#[test]
fn limits_come_from_the_service_and_from_deploy() {
    let own = "mem_limit: 1g\ncpus: 0.5\npids_limit: 100\nshm_size: 64m";
    let deployed =
        "deploy: {replicas: 1, resources: {limits: {memory: 1g, cpus: '0.5', pids: 100}}}\nshm_size: 64m";
    let expected = Limits {
        memory: Some(1 << 30),
        nano_cpus: Some(500_000_000),
        pids: Some(100),
        shm_size: Some(64 << 20),
        ulimits: Vec::new(),
    };
    assert_eq!(web(own).limits, expected);
    assert_eq!(web(deployed).limits, expected);
    assert_eq!(web(&format!("{own}\ndeploy: {{resources: {{limits: {{memory: 1024m}}}}}}")).limits, expected);
    assert_eq!(web("mem_limit: 0\npids_limit: -1\ncpus: 0\nscale: 1\ndeploy:").limits, Limits::default());
    let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
    assert_eq!(
        web("ulimits: {nofile: {soft: 1024, hard: 4096}, nproc: 50, memlock: -1}").limits.ulimits,
        [
            limit("nofile", Some(1024), Some(4096)),
            limit("nproc", Some(50), Some(50)),
            limit("memlock", None, None)
        ]
    );
}

#[test]
fn services_wait_for_others_in_three_ways() {
    let others = "  db: {image: b}\n  job: {image: c}\n  extra: {image: d, profiles: [debug]}\n";
    let file = |depends: &str| {
        Shop::new(&format!("services:\n  web:\n    image: a\n    depends_on: {depends}\n{others}"))
    };
    let dependency = |service: &str, condition| Dependency {
        service: service.to_owned(),
        condition,
        restart: false,
        required: true,
    };
    let found = |depends: &str| file(depends).read().services.remove(0).depends_on;
    let [db, job] = ["db", "job"].map(|name| dependency(name, Condition::Started));
    assert_eq!(found("[db, job]"), [db, job]);
    let text =
        "{db: {condition: service_healthy, restart: true}, job: {condition: service_completed_successfully}}";
    let healthy = Dependency { restart: true, ..dependency("db", Condition::Healthy) };
    assert_eq!(found(text), [healthy, dependency("job", Condition::Completed)]);
    assert_eq!(found("{extra: {condition: service_started, required: false}}"), []);
}

#[test]
fn names_and_networks_of_a_service_are_kept() {
    let text = "
services:
  web:
    image: a
    networks: {front: {aliases: [www, shop.local], priority: 1}, back: }
    extra_hosts: ['a.local=10.0.0.1', 'b.local:host-gateway', 'c.local:::1']
  db:
    image: b
    networks: [back, default]
    extra_hosts: {a.local: 10.0.0.1, b.local: ['10.0.0.2', '[::1]']}
networks:
  front: {driver: bridge, name: x, attachable: true, labels: {a: b}}
  back:
";
    let project = Shop::new(text).read();
    assert_eq!(project.networks, ["front", "back"]);
    let member = |network: &str, aliases: &[&str]| Membership {
        network: network.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    };
    let [web, db] = ["web", "db"].map(|name| project.service(name).unwrap().clone());
    assert_eq!(web.networks, [member("front", &["www", "shop.local"]), member("back", &[])]);
    assert_eq!(db.networks, [member("back", &[]), member("default", &[])]);
    let host = |name: &str, address: &str| {
        let ip = address.parse().map_or(HostAddress::Gateway, HostAddress::Ip);
        ExtraHost { name: name.to_owned(), address: ip }
    };
    assert_eq!(
        web.extra_hosts,
        [host("a.local", "10.0.0.1"), host("b.local", "host-gateway"), host("c.local", "::1")]
    );
    assert_eq!(
        db.extra_hosts,
        [host("a.local", "10.0.0.1"), host("b.local", "10.0.0.2"), host("b.local", "::1")]
    );
}
