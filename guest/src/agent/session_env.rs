//! The session file: the variables that override the services' own environment for as long as the machine runs.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base::files::{Owner, PRIVATE_FILE};
use protocol::Secret;

use super::accounts;
use crate::environment::session_file;

/// The services' user: the only one that reads it.
const READER: &str = "stack";

/// The path and the owner of the file, found in advance: in a resumed machine every access to the disk is slow.
pub(super) struct Place {
    path: PathBuf,
    owner: Owner,
}

impl Place {
    pub(super) fn find() -> anyhow::Result<Self> {
        let path = session_file();
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        }
        Ok(Self { path, owner: accounts::owner(READER)? })
    }
}

/// The text of a session file.
pub(super) struct SessionEnv(Secret);

impl SessionEnv {
    /// Formats one line per variable, in double quotes and with those escapes that dotenvy and systemd's `EnvironmentFile=` read alike.
    pub(super) fn of(env: &BTreeMap<String, Secret>) -> anyhow::Result<Self> {
        let mut text = String::new();
        for (name, value) in env {
            if !is_name(name) {
                bail!("`{}` is not a valid name of a variable", name.escape_debug());
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

    /// Writes it, and returns whether that has changed anything.
    pub(super) fn write(&self, place: &Place) -> anyhow::Result<bool> {
        if self.is_in(&place.path)? {
            return Ok(false);
        }
        self.replace(place).with_context(|| format!("cannot write `{}`", place.path.display()))?;
        Ok(true)
    }

    /// Readers see the old content or the new. The file lives in memory only, so there is nothing to sync; and only this agent
    /// writes it, so the name beside it is its own.
    fn replace(&self, Place { path, owner }: &Place) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(&beside)?;
        file.write_all(self.0.reveal().as_bytes())?;
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
        fs::rename(&beside, path)
    }

    /// Whether the file has exactly this content. A missing file counts as an empty one.
    fn is_in(&self, path: &Path) -> anyhow::Result<bool> {
        match fs::read(path) {
            Ok(bytes) => Ok(bytes == self.0.reveal().as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.0.reveal().is_empty()),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        }
    }
}

/// Whether POSIX accepts the name, and so every reader of such a file.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

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
    fn a_file_is_replaced_as_a_whole_and_is_its_readers_alone() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = fs::metadata(dir.path()).unwrap();
        let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
        let place = Place { path: dir.path().join("session.env"), owner };
        for (value, changed) in [("1", true), ("1", false), ("2", true)] {
            assert_eq!(SessionEnv::of(&env(&[("A", value)])).unwrap().write(&place).unwrap(), changed);
        }
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "A=\"2\"\n");
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o777, PRIVATE_FILE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
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
