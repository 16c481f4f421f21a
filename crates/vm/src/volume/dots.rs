//! Puts right the first entries of directories that crate `fatfs` has made.
//!
//! A directory must begin with the entries `.` and `..` (Microsoft's FAT specification, 6.5). The crate (0.3.6) writes a
//! long-name entry before each, so that they come second and fourth, and lets the `..` of a directory below the root name
//! the root's cluster on FAT32, where 0 belongs. Systems read past both; `fsck.fat` does not.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{FileSystem, FsOptions};

use super::Window;

/// Bytes of a directory entry.
const ENTRY: usize = 32;

/// First byte of an entry that is not used.
const UNUSED: u8 = 0xe5;

const DOT: [u8; 11] = *b".          ";
const DOTDOT: [u8; 11] = *b"..         ";

/// Repairs the directories `dirs` of the volume in `window`.
pub(super) fn repair<'a>(window: &mut Window, dirs: impl Iterator<Item = &'a str>) -> io::Result<()> {
    let mut places = Vec::new();
    {
        window.rewind()?;
        let first = Cell::new(None);
        let volume = FileSystem::new(Recorder { window, first: &first }, FsOptions::new())?;
        for dir in dirs {
            let mut entries = volume.root_dir().open_dir(dir)?.iter();
            // The first read for the first entry is at the directory's beginning.
            first.set(None);
            entries.next().transpose()?;
            places.push((first.get().ok_or(io::ErrorKind::InvalidData)?, !dir.contains('/')));
        }
    }
    places.into_iter().try_for_each(|(place, in_root)| repair_at(window, place, in_root))
}

fn repair_at(window: &mut Window, place: u64, in_root: bool) -> io::Result<()> {
    let mut entries = [0; 4 * ENTRY];
    window.seek(SeekFrom::Start(place))?;
    window.read_exact(&mut entries)?;
    let (dot, dotdot) = (ENTRY, 3 * ENTRY);
    if entries[dot..dot + 11] != DOT || entries[dotdot..dotdot + 11] != DOTDOT {
        return Err(io::Error::other("a new directory does not begin as expected"));
    }
    entries.copy_within(dot..dot + ENTRY, 0);
    entries.copy_within(dotdot..dotdot + ENTRY, ENTRY);
    if in_root {
        // Number of the first cluster: its high half at 20, its low half at 26.
        for half in [20, 26] {
            entries[ENTRY + half..ENTRY + half + 2].fill(0);
        }
    }
    for unused in [2 * ENTRY, 3 * ENTRY] {
        entries[unused..unused + ENTRY].fill(0);
        entries[unused] = UNUSED;
    }
    window.seek(SeekFrom::Start(place))?;
    window.write_all(&entries)
}

/// A window that keeps where the first read was.
struct Recorder<'a> {
    window: &'a mut Window,
    first: &'a Cell<Option<u64>>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.first.get().is_none() {
            self.first.set(Some(self.window.stream_position()?));
        }
        self.window.read(buffer)
    }
}

impl Write for Recorder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.window.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.window.flush()
    }
}

impl Seek for Recorder<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.window.seek(to)
    }
}
