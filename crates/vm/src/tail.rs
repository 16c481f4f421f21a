//! Reading a log that another process is writing.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anstream::adapter::strip_str;

/// Longest line that is kept together; a longer one comes in parts. A guest gone wild must not fill the host's memory.
const LONGEST_LINE: usize = 64 << 10;

/// A reader that returns each line of a growing file once.
///
/// The guest's console is made for a terminal: [`Tail::lines`] takes colours and cursor movements out, so that what is shown of it
/// cannot move the cursor of the terminal that shows it.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Makes a reader from the beginning of the file at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, partial: Vec::new() }
    }

    /// Makes a reader of what is written to the file at `path` from now on.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn from_now_on(path: &Path) -> io::Result<Self> {
        let mut tail = Self::new(path);
        tail.poll(|_| ())?;
        Ok(tail)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands what was appended since the last call to `on_line`, in lines without their ends. Returns whether anything was
    /// appended at all, even if it was not a complete line.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn poll(&mut self, mut on_line: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut file = match base::files::open_file(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        // A log that had become too long was truncated: it is read from its beginning.
        if len < self.offset {
            self.offset = 0;
        }
        if len == self.offset {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut appended = file.take(len - self.offset);
        let mut block = vec![0; LONGEST_LINE];
        loop {
            let read = appended.read(&mut block)?;
            if read == 0 {
                return Ok(true);
            }
            self.offset += read as u64;
            self.split(&block[..read], &mut on_line);
        }
    }

    fn split(&mut self, block: &[u8], on_line: &mut impl FnMut(&[u8])) {
        let mut pieces = block.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.partial.extend_from_slice(piece);
            on_line(self.partial.trim_ascii_end());
            self.partial.clear();
        }
        self.partial.extend_from_slice(last);
        if self.partial.len() > LONGEST_LINE {
            on_line(&self.partial);
            self.partial.clear();
        }
    }

    /// Returns the complete lines since the last call.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.poll(|line| lines.push(shown(line)))?;
        Ok(lines)
    }

    /// Returns what has been written of an incomplete line, when it will not be completed any more.
    pub fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| shown(&rest))
    }
}

/// Returns the last `count` lines of the file at `path`; none when it does not exist.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut tail = Tail::new(path);
    let mut last = VecDeque::new();
    let mut keep = |line| {
        last.push_back(line);
        if last.len() > count {
            last.pop_front();
        }
    };
    tail.poll(|line| keep(shown(line)))?;
    tail.rest().into_iter().for_each(keep);
    Ok(last.into())
}

fn shown(line: &[u8]) -> String {
    plain(&String::from_utf8_lossy(line))
}

/// Returns the line without escape sequences and other control characters.
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

    fn polled(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        tail.poll(|line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        lines
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        assert!(!tail.poll(|_| ()).unwrap(), "a file that does not exist yet has nothing new");

        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(polled(&mut tail), ["one"]);
        file.write_all(b"o\n\nthree\n").unwrap();
        assert_eq!(polled(&mut tail), ["two", "", "three"]);
        assert_eq!(polled(&mut tail), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_end_is_a_sign_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "booting").unwrap();
        assert!(Tail::new(&path).poll(|_| ()).unwrap());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let length = 4 * LONGEST_LINE + 1;
        std::fs::write(&path, vec![b'x'; length]).unwrap();
        let mut tail = Tail::new(&path);
        let mut parts = tail.lines().unwrap();
        assert!(!parts.is_empty());
        assert!(tail.partial.len() <= LONGEST_LINE);
        parts.extend(tail.rest());
        assert!(parts.iter().all(|part| part.len() <= 2 * LONGEST_LINE));
        assert_eq!(parts.concat().len(), length);
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
