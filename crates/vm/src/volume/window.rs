//! A part of a file that reads, writes and seeks like a file of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// `length` bytes from `offset` of a file.
#[derive(Debug)]
pub struct Window {
    file: File,
    offset: u64,
    length: u64,
    position: u64,
}

impl Window {
    /// The window of `length` bytes from `offset` of `file`, whose own position it does not use.
    pub fn new(file: File, offset: u64, length: u64) -> Self {
        Self { file, offset, length, position: 0 }
    }

    /// How much of a buffer of `wanted` bytes fits between the position and the end.
    fn room(&self, wanted: usize) -> usize {
        let left = self.length.saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let read = self.file.read_at(&mut buffer[..room], self.offset + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room(bytes.len());
        let written = self.file.write_at(&bytes[..room], self.offset + self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_never_touches_what_is_around_it(
            writes in prop::collection::vec((0_u64..40, prop::collection::vec(1_u8.., 0..20)), 0..8),
        ) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[0; 64]).unwrap();
            let mut window = Window::new(file.try_clone().unwrap(), 16, 32);
            for (at, bytes) in writes {
                window.seek(SeekFrom::Start(at)).unwrap();
                let written = window.write(&bytes).unwrap();
                prop_assert_eq!(written as u64, (bytes.len() as u64).min(32_u64.saturating_sub(at)));
            }
            let mut all = Vec::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut all).unwrap();
            prop_assert_eq!(&all[..16], &[0; 16]);
            prop_assert_eq!(&all[48..], &[0; 16]);
        }
    }

    #[test]
    fn a_position_before_the_window_is_refused() {
        let mut window = Window::new(tempfile::tempfile().unwrap(), 16, 32);
        assert_eq!(window.seek(SeekFrom::End(-33)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(window.seek(SeekFrom::End(-2)).unwrap(), 30);
    }
}
