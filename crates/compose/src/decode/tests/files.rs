//! Files that a compose file names: variables, configs, secrets.

use super::*;
use crate::model::FileUse;

#[test]
fn files_of_variables_come_before_the_variables_of_the_service() {
    let text = "
services:
  web:
    image: a
    env_file:
      - one.env
      - path: two.env
        format: raw
      - {path: missing.env, required: false}
    environment: {OWN: here, A: own, GONE: }
";
    let shop = Shop::new(text)
        .with("one.env", "A=1\nB=${OWN}/${SET}\nC=$A\nGONE=file\n")
        .with("two.env", "C='$A'\nD=2\n");
    let environment = &shop.read().services[0].environment;
    let shown: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or("(removed)")))
        .collect();
    assert_eq!(
        shown,
        [
            ("A", "own"),
            ("B", "here/value"),
            ("C", "'$A'"),
            ("D", "2"),
            ("GONE", "(removed)"),
            ("OWN", "here")
        ]
    );
    let shop = with("env_file: one.env").with("one.env", "A=1\n");
    assert_eq!(shop.read().services[0].environment["A"].as_deref(), Some("1"));
}

#[test]
fn a_mistake_in_a_file_of_variables_names_both_files() {
    let shop = with("env_file: [one.env]").with("one.env", "A=1\nB C=1\n");
    assert_eq!(
        shop.refused(),
        "one.env:2:1: `services.web.env_file[0]`: \"B C\" is not a valid name of a variable; write `NAME=value`"
    );
    let missing = with("env_file: [missing.env]").refused();
    assert_eq!(missing, "compose.yaml:4:16: `services.web.env_file[0]`: cannot read `missing.env`");
}

#[test]
fn configs_and_secrets_have_content_and_targets() {
    let text = "
services:
  web:
    image: a
    configs:
      - inline
      - {source: file, target: /etc/web.conf, uid: '5', gid: 6, mode: 0440}
    secrets:
      - key
      - {source: key, target: other, mode: '0400'}
      - {source: key, target: /srv/key}
configs:
  inline: {content: \"port = ${PORT}\\n\"}
  file: {file: ./web.conf, name: x, labels: [a=b]}
  unused: {file: missing}
secrets:
  key: {environment: SET}
";
    let shop = Shop::new(text);
    write_beside(&shop, "web.conf", b"\xff\0");
    let project = shop.read();
    let content: Vec<_> =
        project.configs.iter().map(|config| (config.name.as_str(), config.content.reveal())).collect();
    assert_eq!(content, [("inline", &b"port = 8080\n"[..]), ("file", b"\xff\0")]);
    assert_eq!(project.secrets[0].content.reveal(), b"value");
    assert_eq!(format!("{:?}", project.secrets[0].content), "Content(5 bytes)");
    let file = |source: &str, target: &str, uid, gid, mode| FileUse {
        source: source.to_owned(),
        target: target.to_owned(),
        uid,
        gid,
        mode,
    };
    let web = &project.services[0];
    assert_eq!(
        web.configs,
        [file("inline", "/inline", 0, 0, 0o444), file("file", "/etc/web.conf", 5, 6, 0o440)]
    );
    assert_eq!(
        web.secrets,
        [
            file("key", "/run/secrets/key", 0, 0, 0o444),
            file("key", "/run/secrets/other", 0, 0, 0o400),
            file("key", "/srv/key", 0, 0, 0o444)
        ]
    );
}

#[test]
fn content_that_cannot_be_had_is_refused() {
    let file = |definition: &str| {
        let text =
            format!("services:\n  web:\n    image: a\n    configs: [c]\nconfigs:\n  c: {definition}\n");
        Shop::new(&text).refused()
    };
    for (definition, error) in [
        ("{file: missing}", "compose.yaml:6:13: `configs.c.file`: cannot read `missing`"),
        ("{file: .}", "compose.yaml:6:13: `configs.c.file`: cannot read `.`"),
        (
            "{environment: GONE}",
            "compose.yaml:6:20: `configs.c.environment`: the variable `GONE` has no value; set `GONE`",
        ),
        (
            "{content: a, environment: SET}",
            "compose.yaml:6:6: `configs.c`: has 2 sources of its content; write one of `file`, `environment` and `content`",
        ),
        (
            "{external: true}",
            "compose.yaml:6:7: `configs.c.external`: is not supported: there is nothing outside of the file in a machine; \
             write `file`, `environment` or `content`",
        ),
    ] {
        assert_eq!(file(definition), error, "{definition}");
    }
}
