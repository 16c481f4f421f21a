//! Bad input of every kind, each with the line, the key, the reason, and what to write instead.

use super::*;

#[test]
fn what_is_not_supported_names_key_line_and_a_way_out() {
    for (lines, error) in [
        (
            "foo: 1",
            "compose.yaml:4:5: `services.web.foo`: unknown key; remove it, or begin its name with `x-`",
        ),
        ("comand: a", "compose.yaml:4:5: `services.web.comand`: unknown key; did you mean `command`?"),
        (
            "volumes: [./src:/src]",
            "compose.yaml:4:15: `services.web.volumes[0]`: the path \"./src\" of the host is not in the machine; use a named \
             volume for data, `configs` for single files, or copy the files into the image",
        ),
        (
            "privileged: true",
            "compose.yaml:4:5: `services.web.privileged`: is not supported: containers do not get all rights; name what is \
             needed under `cap_add`",
        ),
        (
            "tty: true",
            "compose.yaml:4:10: `services.web.tty`: output goes to the journal of the machine, not through a terminal; remove \
             the key",
        ),
        (
            "develop: {watch: []}",
            "compose.yaml:4:5: `services.web.develop`: is not supported: images do not follow source files; remove the key",
        ),
        (
            "network_mode: host",
            "compose.yaml:4:5: `services.web.network_mode`: is not supported: all containers are in one network; use the names \
             of services",
        ),
        (
            "ports: [8080:80/udp]",
            "compose.yaml:4:13: `services.web.ports[0]`: the protocol `udp` is not forwarded to a machine; publish TCP ports \
             only; services reach each other by any protocol",
        ),
        (
            "ports: ['0.0.0.0:80:80']",
            "compose.yaml:4:13: `services.web.ports[0]`: ports of a machine are bound to 127.0.0.1 only, not to 0.0.0.0; leave \
             out the address",
        ),
        (
            "networks: {default: {ipv4_address: 10.0.0.1}}",
            "compose.yaml:4:26: `services.web.networks.default.ipv4_address`: is not supported: addresses in the machine are \
             not chosen; use the names of services",
        ),
        (
            "sysctls: {kernel.shmmax: 1}",
            "compose.yaml:4:30: `services.web.sysctls.kernel.shmmax`: the parameter \"kernel.shmmax\" is not one of a \
             container's network; keep parameters whose names begin with `net.`",
        ),
        (
            "deploy: {replicas: 2}",
            "compose.yaml:4:24: `services.web.deploy.replicas`: 2 containers are not supported: each service is one; remove \
             the key, or write a service for each",
        ),
        (
            "mem_limit: 1g\ndeploy: {resources: {limits: {memory: 2g}}}",
            "compose.yaml:4:16: `services.web.mem_limit`: differs from `deploy.resources.limits.memory`; remove one of the two",
        ),
        (
            "tmpfs: [/x, /y, /x]",
            "compose.yaml:4:12: `services.web.tmpfs`: two mounts or files have the target `/x`; choose another target for one \
             of them",
        ),
    ] {
        assert_eq!(refused(lines), error, "{lines}");
    }
}

#[test]
fn values_of_the_wrong_type_or_range_are_refused() {
    for (lines, error) in [
        ("ports: 80", "compose.yaml:4:12: `services.web.ports`: must be a list, and is a number"),
        ("ports:", "`services.web.ports`: must be a list, and is nothing; remove the key, or write a value"),
        (
            "ports: [70000]",
            "`services.web.ports[0]`: \"70000\" is not a port from 1 to 65535; write `HOST:CONTAINER`",
        ),
        ("ports: ['0:80']", "`services.web.ports[0]`: \"0\" is not a port"),
        (
            "ports: ['8000-8002:80']",
            "3 ports of the host are for 1 of the container; write ranges of the same length",
        ),
        ("ports: ['x:80:80']", "\"x\" is not an address"),
        ("ports: [{published: 80}]", "`services.web.ports[0]`: has no `target`; add the key `target`"),
        ("user: 1000", "`services.web.user`: must be text, and is a number; write it in quotes: `\"1000\"`"),
        ("user: a:b:c", "\"a:b:c\" is not a user"),
        (
            "command: [sleep, 10]",
            "`services.web.command[1]`: must be text, and is a number; write it in quotes: `\"10\"`",
        ),
        ("command: a && b", "`services.web.command`: `&` has a meaning for a shell only"),
        ("command: \"a 'b\"", "`services.web.command`: a quote is not closed"),
        ("environment: {A: [1]}", "`services.web.environment.A`: must be text, and is a list"),
        (
            "environment: {A: 1.10}",
            "`1.10` becomes `1.1` in some versions of compose; write it in quotes: `\"1.10\"`",
        ),
        ("environment: {A: 0440}", "`0440` becomes `288` in some versions of compose"),
        (
            "environment: {A: 2026-01-02}",
            "`2026-01-02` becomes `a date with a time and a zone` in some versions",
        ),
        ("environment: {A: 2026-1-2 10:00:00}", "`2026-1-2 10:00:00` becomes"),
        ("user: 2026-01-02", "must be text, and is a date; write it in quotes: `\"2026-01-02\"`"),
        ("ports: [1-300]", "`services.web.ports`: has more than 256 ports; publish fewer"),
        ("expose: [1-300]", "`services.web.expose`: has more than 256 ports; publish fewer"),
        ("environment: {A: True}", "`True` becomes `true` in some versions of compose"),
        ("environment: ['A B=1']", "`services.web.environment[0]`: \"A B\" is not a name of a variable"),
        ("environment: [\"A=\\0\"]", "has a NUL character"),
        ("environment: ['A=$']", "`services.web.environment[0]`: \"$\" does not name a variable; write `$$`"),
        ("working_dir: app", "\"app\" is not an absolute path in the container"),
        ("working_dir: /a/../b", "\"/a/../b\" is not an absolute path"),
        ("volumes: ['data:x']", "\"x\" is not an absolute path below `/` in the container"),
        ("volumes: ['data:/']", "\"/\" is not an absolute path below `/`"),
        ("volumes: ['data:/x:rw,foo']", "\"foo\" is not an option of a volume"),
        ("volumes: ['C:\\data:/x']", "the path \"C:\\\\data:/x\" of the host is not in the machine"),
        ("volumes: ['/x:ro']", "the path \"/x\" of the host is not in the machine"),
        ("volumes: [./x]", "the path \"./x\" of the host is not in the machine"),
        ("volumes: [data]", "\"data\" is not a volume; write `NAME:/path`"),
        ("volumes: ['~/x:/x']", "the path \"~/x\" of the host"),
        ("volumes: [{type: bind, source: /x, target: /y}]", "the path \"/x\" of the host"),
        ("volumes: [{type: npipe, target: /y}]", "the type `npipe` is not supported"),
        ("volumes: [{target: /y}]", "has no `type`"),
        ("tmpfs: ['/x:size=50%']", "\"size=50%\" is not an option of a file system in memory"),
        ("healthcheck: {test: [curl, x]}", "is not the test of a health check"),
        ("healthcheck: {interval: 30}", "must be text, and is a number; write a number with a unit: `30s`"),
        ("healthcheck: {interval: 30x}", "\"30x\" is not a duration"),
        ("healthcheck: {retries: -1}", "the number -1 is out of range"),
        ("restart: false", "`services.web.restart`: must be text, and is true or false; write `\"no\"`"),
        ("restart: on-failure:x", "is not a restart policy"),
        ("stop_signal: SIGFOO", "\"SIGFOO\" is not a signal"),
        ("init: maybe", "\"maybe\" is not true or false"),
        ("init: 3", "must be true or false, and is a number"),
        ("mem_limit: 1x", "\"1x\" is not a size"),
        ("cpus: -1", "\"-1\" is not a number from 0 on"),
        ("ulimits: {files: 1}", "\"files\" is not a limit; use one of core"),
        ("ulimits: {nofile: {soft: 2, hard: 1}}", "`soft` is more than `hard`"),
        ("cap_add: [ROOT]", "\"ROOT\" is not a capability of Linux"),
        ("hostname: a_b!", "\"a_b!\" is not a name in a network"),
        ("extra_hosts: [a]", "\"a\" is not a host with its address"),
        ("extra_hosts: [a=b]", "\"b\" is not an address"),
        (
            "volumes: [{type: tmpfs, target: /x, tmpfs: {mode: '9'}}]",
            "must be permissions; write an octal number: `0440`",
        ),
        ("depends_on: {db: {}}", "has no `condition`"),
        ("depends_on: {db: {condition: ready}}", "\"ready\" is not a condition"),
        ("env_file: [{path: a, format: yaml}]", "\"yaml\" is not a format"),
        ("image: a b", "the key \"image\" is there twice in this map"),
    ] {
        let found = refused(lines);
        assert!(found.contains(error), "{lines}: {found}");
        assert!(found.starts_with("compose.yaml:4:"), "{found}");
    }
}

#[test]
fn files_that_describe_no_services_are_refused() {
    for (text, error) in [
        ("", "compose.yaml: it is empty; describe at least one service under `services`"),
        ("- a\n", "compose.yaml:1:1: must be a map, and is a list"),
        ("name: shop\n", "compose.yaml:1:1: has no `services`; add the key `services`"),
        (
            "services:\n",
            "compose.yaml:1:9: `services`: must be a map, and is nothing; remove the key, or write a value",
        ),
        (
            "services: {}\n",
            "compose.yaml:1:11: `services`: has no service of an active profile; activate a profile, or remove `profiles` from \
             a service",
        ),
        (
            "services: {web: {}}\n",
            "compose.yaml:1:17: `services.web`: has no `image`; name the image: `image: NAME:TAG`",
        ),
        (
            "services: {'a b': {image: a}}\n",
            "compose.yaml:1:19: `services.a b`: \"a b\" is not a name of a service; use letters, digits, `.`, `_` and `-`",
        ),
        (
            "include: [a.yaml]\nservices: {}\n",
            "compose.yaml:1:1: `include`: is not supported: only one file is read; write the services into this file: `docker \
             compose config` prints them",
        ),
        (
            "services: {web: {image: a}}\nvolumes: {x: {driver: nfs}}\n",
            "compose.yaml:2:23: `volumes.x.driver`: the driver `nfs` is not available in a machine; remove the key",
        ),
        (
            "services: {web: {image: a}}\nservice: {}\n",
            "compose.yaml:2:1: `service`: unknown key; did you mean `services`?",
        ),
    ] {
        assert_eq!(Shop::new(text).refused(), error, "{text}");
    }
}

#[test]
fn a_file_has_a_limited_number_of_services() {
    let services: Vec<_> = (0..300).map(|number| format!("  s{number}: {{image: a}}")).collect();
    let error = Shop::new(&format!("services:\n{}\n", services.join("\n"))).refused();
    assert_eq!(error, "compose.yaml:2:3: `services`: has more than 256 services; describe fewer");
}

#[test]
fn files_that_are_too_long_or_not_text_are_refused() {
    let long = Shop::new(&"#".repeat((1 << 20) + 1)).read_for(&[]).unwrap_err();
    let cause = std::error::Error::source(&long).unwrap().to_string();
    assert_eq!((long.reason.as_str(), cause.as_str()), ("cannot read it", "it has more than 1048576 bytes"));
    let shop = Shop::new("");
    write_beside(&shop, "compose.yaml", b"a: \xff");
    assert_eq!(shop.refused(), "compose.yaml: it is not UTF-8; save it as UTF-8 text");
    fs::remove_file(shop.dir.path().join("Shop_1.x/compose.yaml")).unwrap();
    assert_eq!(shop.refused(), "compose.yaml: cannot read it");
}

#[test]
fn a_service_that_is_only_built_names_the_commands_that_build_it() {
    assert_eq!(
        Shop::new("services:\n  web:\n    build: ./web\n").refused(),
        "compose.yaml:3:12: `services.web.build`: images are not built here; add `image: web`, run `docker build -t web ./web` \
         and `docker save -o web.tar web`, and name the archive with `--image web=web.tar`"
    );
    assert_eq!(web("build: {context: ./web}"), web("\n"));
}
