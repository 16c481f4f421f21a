//! Following a file that another process appends to, line by line.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest line that is kept together; a guest gone wild must not fill the host's memory.
const LONGEST_LINE: usize = 64 << 10;

/// A growing file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
    block: Vec<u8>,
}

impl Tail {
    /// Follows the file at `path` from its start; it need not exist yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, rest: Vec::new(), block: vec![0; LONGEST_LINE] }
    }

    /// Hands what was appended since the last call to `on_line`, in lines without their ends. Gives whether anything was
    /// appended at all, even if it was no whole line.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(super) fn poll(&mut self, mut on_line: impl FnMut(&[u8])) -> io::Result<bool> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(false) };
        let mut grown = false;
        loop {
            let read = file.read(&mut self.block)?;
            if read == 0 {
                return Ok(grown);
            }
            grown = true;
            self.rest.extend_from_slice(&self.block[..read]);
            let mut start = 0;
            while let Some(end) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
                on_line(self.rest[start..start + end].trim_ascii_end());
                start += end + 1;
            }
            self.rest.drain(..start);
            if self.rest.len() > LONGEST_LINE {
                on_line(&self.rest);
                self.rest.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        tail.poll(|line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        lines
    }

    #[test]
    fn lines_come_whole_however_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        assert!(!tail.poll(|_| ()).unwrap(), "a file that is not there yet has nothing new");

        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines(&mut tail), ["one"]);
        file.write_all(b"o\n\nthree\n").unwrap();
        assert_eq!(lines(&mut tail), ["two", "", "three"]);
        assert_eq!(lines(&mut tail), Vec::<String>::new());
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
        std::fs::write(&path, vec![b'x'; 4 * LONGEST_LINE]).unwrap();
        let mut tail = Tail::new(&path);
        assert!(!lines(&mut tail).is_empty());
        assert!(tail.rest.len() <= LONGEST_LINE);
    }
}
