//! Unpacks the blob of a layer and verifies its digests.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use base::digest::{Hasher, Sha256};

use crate::blob::Blob;
use crate::compression::Compression;
use crate::error::Fault;
use crate::image::Layer;

/// Most bytes of an unpacked layer; a small archive may hold a lot of zeroes.
const LIMIT: u64 = 64 << 30;

/// Reads through, and hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(&into[..read]);
        Ok(read)
    }
}

/// Returns the archive of `layer`, all of whose digests are right: the blob itself, or a file without a name in `scratch`.
pub(super) fn verified(layer: &Layer, scratch: &Path) -> Result<Blob, Fault> {
    let compression = Compression::of(&layer.blob).map_err(Fault::Read)?;
    let mut packed = Hashing { inner: layer.blob.reader(), hasher: Hasher::default() };
    if compression == Compression::None {
        io::copy(&mut packed, &mut io::sink()).map_err(Fault::Read)?;
        let found = packed.hasher.finish();
        check_blob(layer, found)?;
        check(layer.diff_id, found)?;
        return Ok(layer.blob.clone());
    }
    let unpacked = unpack(compression, &mut packed, scratch);
    // What follows the compressed data belongs to the blob, too.
    io::copy(&mut packed, &mut io::sink()).map_err(Fault::Read)?;
    check_blob(layer, packed.hasher.finish())?;
    let (file, found) = unpacked?;
    check(layer.diff_id, found)?;
    Blob::of_file(file).map_err(Fault::Scratch)
}

fn unpack(compression: Compression, packed: impl Read, scratch: &Path) -> Result<(File, Sha256), Fault> {
    let mut decoder = compression.decoder(packed).map_err(Fault::Packed)?;
    let mut file = tempfile::tempfile_in(scratch).map_err(Fault::Scratch)?;
    let mut hasher = Hasher::default();
    let mut block = vec![0; 1 << 18];
    let mut written = 0;
    loop {
        let read = decoder.read(&mut block).map_err(Fault::Packed)?;
        if read == 0 {
            return Ok((file, hasher.finish()));
        }
        written += read as u64;
        if written > LIMIT {
            return Err(Fault::Length { limit: LIMIT });
        }
        hasher.update(&block[..read]);
        file.write_all(&block[..read]).map_err(Fault::Scratch)?;
    }
}

fn check_blob(layer: &Layer, found: Sha256) -> Result<(), Fault> {
    layer.blob_digest.map_or(Ok(()), |expected| check(expected, found))
}

fn check(expected: Sha256, found: Sha256) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Digest { expected, found }) }
}
