//! Reading a log that somebody else is writing.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anstream::adapter::strip_str;

/// A reader that gives each line of a growing file once.
///
/// The guest's console is made for a terminal: colours and cursor movements are taken out, so that what is shown of it
/// cannot move the reader's cursor.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// A reader from the beginning of the file at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, partial: Vec::new() }
    }

    /// A reader of what is written to the file at `path` from now on.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn from_now_on(path: &Path) -> io::Result<Self> {
        let mut tail = Self::new(path);
        tail.lines()?;
        Ok(tail)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The complete lines since the last call.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match base::files::open_file(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        // One that had become too long starts again.
        if len < self.offset {
            self.offset = 0;
        }
        if len == self.offset {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.partial)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        let Some(end) = self.partial.iter().rposition(|&b| b == b'\n') else { return Ok(Vec::new()) };
        let rest = self.partial.split_off(end + 1);
        let complete = std::mem::replace(&mut self.partial, rest);
        Ok(String::from_utf8_lossy(&complete).lines().map(plain).collect())
    }

    /// Returns what has been written of an incomplete line, when no one will complete it any more.
    pub fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| plain(&String::from_utf8_lossy(&rest)))
    }
}

/// The last `count` lines of the file at `path`; none when it does not exist.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut tail = Tail::new(path);
    let mut lines = tail.lines()?;
    lines.extend(tail.rest());
    Ok(lines.split_off(lines.len().saturating_sub(count)))
}

/// The line without escape sequences and other control characters.
pub fn plain(line: &str) -> String {
    let visible = |c: &char| !c.is_control() || *c == '\t';
    strip_str(line).to_string().chars().filter(visible).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_line_is_given_once_and_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        assert!(tail.lines().unwrap().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.lines().unwrap(), ["one"]);
        file.write_all(b"o\nthree\nfo").unwrap();
        assert_eq!(tail.lines().unwrap(), ["two", "three"]);
        assert!(tail.lines().unwrap().is_empty());
        assert_eq!(tail.rest().unwrap(), "fo");
    }

    #[test]
    fn the_last_lines_include_an_unfinished_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "1\n2\n3").unwrap();
        assert_eq!(last_lines(&path, 2).unwrap(), ["2", "3"]);
        assert_eq!(last_lines(&path, 9).unwrap(), ["1", "2", "3"]);
        assert!(last_lines(&dir.path().join("none"), 2).unwrap().is_empty());
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("[\u{1b}[0;32m  OK  \u{1b}[0m] Started\u{1b}[K\r"), "[  OK  ] Started");
        assert_eq!(plain("\u{7}a\tb"), "a\tb");
        assert_eq!(plain("\u{1b}c\u{1b}[?7l\u{1b}[!p\u{1b}[2JBooting"), "Booting");
    }
}
