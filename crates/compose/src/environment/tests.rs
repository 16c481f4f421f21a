use proptest::prelude::*;
use tempfile::TempDir;

use super::dotenv::Variables;
use super::template::{Expander, Problem};
use super::*;

/// Variables of a process: `SET`, `EMPTY`, and some that name others.
fn process(name: &str) -> Option<String> {
    match name {
        "SET" => Some("value".to_owned()),
        "EMPTY" => Some(String::new()),
        "DOLLAR" => Some("$SET".to_owned()),
        _ => None,
    }
}

fn expanded(text: &str) -> std::result::Result<String, Problem> {
    Expander::new(&process, 1 << 10).expand(text)
}

#[test]
fn every_form_of_a_variable_is_expanded() {
    for (text, value) in [
        ("$SET-${SET}", "value-value"),
        ("$$SET $${SET} $$$SET", "$SET ${SET} $value"),
        ("[$UNSET][${EMPTY}]", "[][]"),
        ("${UNSET-d} ${EMPTY-d} ${SET-d}", "d  value"),
        ("${UNSET:-d} ${EMPTY:-d} ${SET:-d}", "d d value"),
        ("[${UNSET+a}] [${EMPTY+a}] [${SET+a}]", "[] [a] [a]"),
        ("[${UNSET:+a}] [${EMPTY:+a}] [${SET:+a}]", "[] [] [a]"),
        ("${SET?no} ${SET:?no} [${EMPTY?no}]", "value value []"),
        ("${UNSET:-${EMPTY:-${SET}}}", "value"),
        ("${UNSET:-a{b}}", "a{b}"),
        ("${UNSET:-} ${UNSET:-:-?}", " :-?"),
        ("${SET:-${UNSET:?only if needed}}", "value"),
        ("$DOLLAR ${UNSET:-$DOLLAR}", "$SET $SET"),
        ("no variable, 5 €", "no variable, 5 €"),
    ] {
        assert_eq!(expanded(text), Ok(value.to_owned()), "{text}");
    }
}

#[test]
fn texts_that_name_no_variable_are_refused() {
    for text in
        ["$", "$ ", "$1", "${", "${}", "${1}", "${SET", "${SET!}", "${SET:}", "${SET:=a}", "a$-b", "${ä}"]
    {
        assert!(matches!(expanded(text), Err(Problem::Invalid(_))), "{text}: {:?}", expanded(text));
    }
    let missing = |words: &str| Err(Problem::Missing { name: "UNSET".to_owned(), words: words.to_owned() });
    assert_eq!(expanded("${UNSET?}"), missing(""));
    assert_eq!(expanded("${UNSET:?set it to $SET}"), missing("set it to value"));
    assert_eq!(expanded(&"$SET".repeat(1000)), Err(Problem::TooLong));
    assert!(matches!(expanded(&"${UNSET:-".repeat(10_000)), Err(Problem::Invalid(_))));
    let deep = "${UNSET:-".repeat(40) + &"}".repeat(40);
    assert!(matches!(expanded(&deep), Err(Problem::Invalid(_))));
}

fn read(text: &str) -> Result<Variables> {
    dotenv::parse(Path::new("web.env"), "", text.as_bytes(), &process)
}

#[test]
fn files_of_variables_are_read_as_compose_reads_them() {
    let text = r#"
# a comment
PLAIN=one two  # a comment
HASH=one#two	# three
export EXPORTED = spaces around
YAML: like this
EMPTY_ONE=
COMMENT=# nothing
SINGLE='$SET # "as it is"\n' # a comment
ESCAPED='it\'s'
DOUBLE="tab\there \"quoted\" $SET \$SET \d \\n\f"
LINES="one
two"
REFERS=${PLAIN}/${SET:-x}/${UNKNOWN:-default}
SET
UNKNOWN
my.name-1=dots
"#;
    let expected = [
        ("COMMENT", "# nothing"),
        ("DOUBLE", "tab\there \"quoted\" value $SET \\d \\n\u{c}"),
        ("EMPTY_ONE", ""),
        ("ESCAPED", "it's"),
        ("EXPORTED", "spaces around"),
        ("HASH", "one#two\t# three"),
        ("LINES", "one\ntwo"),
        ("PLAIN", "one two"),
        ("REFERS", "one two/value/default"),
        ("SET", "value"),
        ("SINGLE", r#"$SET # "as it is"\n"#),
        ("YAML", "like this"),
        ("my.name-1", "dots"),
    ];
    let found = read(text).unwrap();
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(read("A=1\r\nB='2'\r\n").unwrap().into_values().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(read("\u{feff}A=1").unwrap()["A"], "1");
}

#[test]
fn a_raw_file_is_taken_as_it_is() {
    let text = b"# comment\n\nA='x' # y\nB=$SET\n  C=1=2\nSET\nUNKNOWN\nD=\n";
    let found = dotenv::parse_raw(Path::new("web.env"), "", text, &process).unwrap();
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, [("A", "'x' # y"), ("B", "$SET"), ("C", "1=2"), ("D", ""), ("SET", "value")]);
}

#[test]
fn mistakes_in_files_of_variables_have_their_line() {
    for (text, error) in [
        ("A=1\nB C=2\n", "web.env:2:1: \"B C\" is not a valid name of a variable; write `NAME=value`"),
        ("A=1\n\n=2\n", "web.env:3:1: \"\" is not a valid name of a variable; write `NAME=value`"),
        ("A=\"x\n\n", "web.env:1:1: the quote \" is not closed; close it"),
        ("A='x\ny' z\n", "web.env:2:1: \"z\" follows a quoted value; put all of the value into the quotes"),
        ("A=$\n", "web.env:1:1: \"$\" does not name a variable; write `$$` for a dollar sign"),
        ("A=${B:?why}", "web.env:1:1: the variable `B` is required and has no value: why; set `B`"),
        ("A=\0", "web.env: it has a NUL character; save it as UTF-8 text"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), error, "{text}");
    }
    let raw = dotenv::parse_raw(Path::new("web.env"), "", b"A=1\nB C=2\n", &process).unwrap_err();
    assert!(raw.to_string().starts_with("web.env:2:1: \"B C\" is not"), "{raw}");
    assert!(
        dotenv::parse(Path::new("web.env"), "", b"A=\xff", &process)
            .unwrap_err()
            .to_string()
            .contains("UTF-8")
    );
    let growing: String = (1..40)
        .fold("A0=xxxxxxxx\n".to_owned(), |text, level| text + &format!("A{level}=$A{0}$A{0}\n", level - 1));
    assert!(read(&growing).unwrap_err().to_string().contains("the values of variables are too long"));
}

#[test]
fn the_process_comes_before_the_file_beside_the_compose_file() {
    let dir = TempDir::new().unwrap();
    let none = Environment::read(dir.path(), &process).unwrap();
    assert_eq!((none.get("SET"), none.get("OTHER")), (process("SET"), None));
    std::fs::write(dir.path().join(".env"), "SET=other\nOTHER=from $SET\n").unwrap();
    let both = Environment::read(dir.path(), &process).unwrap().of_project("shop");
    assert_eq!(both.get("SET").as_deref(), Some("value"));
    assert_eq!(both.get("OTHER").as_deref(), Some("from value"));
    assert_eq!(both.get(PROJECT_NAME).as_deref(), Some("shop"));
    std::fs::remove_file(dir.path().join(".env")).unwrap();
    std::fs::create_dir(dir.path().join(".env")).unwrap();
    let error = Environment::read(dir.path(), &process).err().unwrap();
    assert!(error.to_string().ends_with(".env: cannot read it"), "{error}");
}

proptest! {
    #[test]
    fn no_text_breaks_the_expander(text in "([ -~ä]|[${}:?+-]){0,60}") {
        let _ = expanded(&text);
    }

    #[test]
    fn no_bytes_break_the_reader_of_variables(text in "([ -~\nä]|[$='\"\\\\#]){0,80}") {
        let _ = read(&text);
        let _ = dotenv::parse_raw(Path::new("web.env"), "", text.as_bytes(), &process);
    }

    #[test]
    fn text_without_a_dollar_sign_stays_as_it_is(text in "[^$]{0,60}") {
        prop_assert_eq!(expanded(&text), Ok(text.clone()));
    }
}
