//! The session file: the variables that override the services' own environment for as long as the machine runs.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::Path};

use anyhow::{Context as _, bail};
use host::files::{PRIVATE_FILE, write_atomic_for};
use protocol::Secret;

use super::accounts;

/// The services' user: the only one that reads it.
const READER: &str = "stack";

/// The text of a session file.
pub(super) struct SessionEnv(Secret);

impl SessionEnv {
    /// One line a variable, in double quotes and with those escapes that dotenvy and systemd's `EnvironmentFile=` read alike.
    pub(super) fn of(env: &BTreeMap<String, Secret>) -> anyhow::Result<Self> {
        let mut text = String::new();
        for (name, value) in env {
            if !is_name(name) {
                bail!("`{}` is no name of a variable", name.escape_debug());
            }
            if value.reveal().contains(char::is_control) {
                bail!("the value of `{name}` has a control character in it");
            }
            text.push_str(name);
            text.push_str("=\"");
            for character in value.reveal().chars() {
                if matches!(character, '"' | '\\' | '$') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.write_str("\"\n").context("cannot put the session file together")?;
        }
        Ok(Self(Secret::new(text)))
    }

    /// Writes it, and answers whether that has changed anything.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<bool> {
        if self.is_in(path)? {
            return Ok(false);
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        }
        write_atomic_for(accounts::owner(READER)?, path, self.0.reveal().as_bytes(), PRIVATE_FILE)?;
        Ok(true)
    }

    /// Whether the file has this very content. None is as good as an empty one.
    fn is_in(&self, path: &Path) -> anyhow::Result<bool> {
        match fs::read(path) {
            Ok(bytes) => Ok(bytes == self.0.reveal().as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.0.reveal().is_empty()),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }
}

/// What POSIX calls a name, and so what every reader of such a file takes.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
    }

    #[test]
    fn values_are_quoted() {
        let env = env(&[("CRON_SECRET", "00ff"), ("STACK_INSTANCE", r#"a "b" $c \d 'e' `f` #g"#)]);
        insta::assert_snapshot!(SessionEnv::of(&env).unwrap().0.reveal(), @r##"
        CRON_SECRET="00ff"
        STACK_INSTANCE="a \"b\" \$c \\d 'e' `f` #g"
        "##);
    }

    #[test]
    fn what_no_line_can_hold_is_refused_without_showing_the_value() {
        for name in ["", "1A", "A B", "A=B", "A\nB", "é"] {
            assert!(SessionEnv::of(&env(&[(name, "x")])).is_err(), "`{name}`");
        }
        for value in ["open\nsesame", "open\0sesame", "open\u{7f}sesame"] {
            let error = SessionEnv::of(&env(&[("A", value)])).err().unwrap().to_string();
            assert_eq!(error, "the value of `A` has a control character in it");
        }
    }

    #[test]
    fn the_same_content_is_noticed_and_an_absent_file_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.env");
        let (none, some) = (SessionEnv::of(&env(&[])).unwrap(), SessionEnv::of(&env(&[("A", "1")])).unwrap());
        assert!(none.is_in(&path).unwrap() && !some.is_in(&path).unwrap());
        fs::write(&path, "A=\"1\"\n").unwrap();
        assert!(!none.is_in(&path).unwrap() && some.is_in(&path).unwrap());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_it_was(
            pairs in prop::collection::btree_map("[A-Z_][A-Z0-9_]{0,8}", "[^\\p{Cc}]{0,24}", 0..4)
        ) {
            let env: BTreeMap<_, _> =
                pairs.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
            let text = SessionEnv::of(&env).unwrap().0;
            let read: BTreeMap<_, _> =
                dotenvy::from_read_iter(text.reveal().as_bytes()).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read, pairs);
        }
    }
}
