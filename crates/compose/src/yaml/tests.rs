use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Node {
    parse(Path::new("compose.yaml"), text).unwrap()
}

fn refused(text: &str) -> String {
    parse(Path::new("compose.yaml"), text).unwrap_err().to_string()
}

/// A tree in one line.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Scalar(Scalar::Text(text)) => format!("{text:?}"),
        Value::Scalar(Scalar::Null) => "null".to_owned(),
        Value::Scalar(Scalar::Typed(typed, _)) => typed.to_string(),
        Value::List(nodes) => format!("[{}]", nodes.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |entry: &Entry| format!("{}: {}", entry.key, shown(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn scalars_have_the_types_that_compose_gives_them() {
    for (text, tree) in [
        ("[~, null, Null, '', \"~\"]", r#"[null, null, null, "", "~"]"#),
        ("[true, TRUE, yes, on, off, 'true']", r#"[true, true, "yes", "on", "off", "true"]"#),
        ("[0440, 0o440, 0x1F, 0b11, 1_000, -7, +7]", "[288, 288, 31, 3, 1000, -7, 7]"),
        ("[1.10, 1e3, .5, 5., 1.0, 1e21, 0.00001]", "[1.1, 1000, 0.5, 5, 1, 1e+21, 1e-05]"),
        ("[.inf, -.inf, .nan]", "[+Inf, -Inf, NaN]"),
        (
            "[1.2.3, 08, 1m, 22:22, 2026-01, 0x, '12']",
            r#"["1.2.3", 8, "1m", "22:22", "2026-01", "0x", "12"]"#,
        ),
        ("[18446744073709551615, 18446744073709551616]", "[18446744073709551615, 18446744073709552000]"),
        ("[!!str 12, !!int '12', !!str true]", r#"["12", 12, "true"]"#),
        ("a: |\n  one\n  two\nb: >-\n  one\n  two\n", r#"{a: "one\ntwo\n", b: "one two"}"#),
    ] {
        assert_eq!(shown(&parsed(text)), tree, "{text}");
    }
}

#[test]
fn every_value_and_key_knows_its_line_and_column() {
    let tree = parsed("# first\nservices:\n  web:\n    image: a\n    ports: [80, 81]\n");
    let Value::Map(top) = &tree.value else { panic!("a map") };
    assert_eq!(top[0].place, Place { line: 2, column: 1 });
    let Value::Map(services) = &top[0].value.value else { panic!("a map") };
    assert_eq!(services[0].place, Place { line: 3, column: 3 });
    let Value::Map(web) = &services[0].value.value else { panic!("a map") };
    assert_eq!(web[0].value.place, Place { line: 4, column: 12 });
    let Value::List(ports) = &web[1].value.value else { panic!("a list") };
    assert_eq!(ports[1].place, Place { line: 5, column: 17 });
}

#[test]
fn merge_keys_add_what_a_map_does_not_have_itself() {
    for (text, tree) in [
        ("x: &x {a: 1, b: 2}\ny: {b: 3, <<: *x}", "{x: {a: 1, b: 2}, y: {b: 3, a: 1}}"),
        ("x: &x {a: 1}\ny: {<<: *x, a: 3}", "{x: {a: 1}, y: {a: 3}}"),
        (
            "x: &x {a: 1}\nz: &z {a: 2, b: 2}\ny: {<<: [*x, *z]}",
            "{x: {a: 1}, z: {a: 2, b: 2}, y: {a: 1, b: 2}}",
        ),
        ("x: &x {a: 1}\nz: &z {<<: *x, b: 2}\ny: {<<: *z}", "{x: {a: 1}, z: {b: 2, a: 1}, y: {b: 2, a: 1}}"),
        ("x: &x\ny: {<<: *x, a: 1}", "{x: null, y: {a: 1}}"),
        ("y: {<<: {a: 1}, '<': 2}", "{y: {<: 2, a: 1}}"),
        ("y: {'<<': 1}", "{y: {<<: 1}}"),
    ] {
        assert_eq!(shown(&parsed(text)), tree, "{text}");
    }
}

#[test]
fn documents_that_cannot_be_read_say_where() {
    for (text, error) in [
        ("", "compose.yaml: it is empty; describe at least one service under `services`"),
        (
            "a: 1\nb: 2\na: 3\n",
            "compose.yaml:3:1: the key \"a\" is there twice in this map; remove one of the two",
        ),
        ("a: 1\n---\nb: 2\n", "compose.yaml:2:1: a second document begins here; keep one document per file"),
        (
            "a: !reset null\n",
            "compose.yaml:1:11: the tag `!reset` is not supported; write the value without a tag",
        ),
        (
            "a: {<<: [1]}\n",
            "compose.yaml:1:10: `<<` merges a map or a list of maps, and this is a number; name the anchor of a map: \
             `<<: *name`",
        ),
        ("a: &a [*a]\n", "compose.yaml:1:8: this alias is inside of what it stands for"),
        ("[a]: 1\n", "compose.yaml:1:1: a list or a map cannot be a key; write text as the key"),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
    for text in ["a: *b", "a: [1", "a: \"x", "a: b: c", "{"] {
        assert!(refused(text).starts_with("compose.yaml:1:"), "{text}: {}", refused(text));
    }
}

#[test]
fn short_files_do_not_stand_for_long_ones() {
    let mut laughs = "a0: &a0 [lol]\n".to_owned();
    for level in 1..20 {
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    assert!(refused(&laughs).contains("anchors and aliases stand for more than 8 MiB here"));
    let mut chain = "a0: &a0 [1]\n".to_owned();
    for level in 1..70 {
        let _ = writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1);
    }
    assert!(refused(&chain).contains("more than 64 lists and maps are inside each other"));
    refused(&"[".repeat(100_000));
    refused(&"- ".repeat(100_000));
    refused(&"a: {".repeat(100_000));
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "([ -~\n]|[&*<:\\[\\]{},'\"!|>#-]){0,80}") {
        let _ = parse(Path::new("compose.yaml"), &text);
    }
}
