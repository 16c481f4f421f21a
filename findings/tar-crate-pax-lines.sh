#!/usr/bin/env bash
# The crate `tar` loses the owner of an entry, without an error, if an attribute before it in the PAX header has a line feed.
#
# Expected: a PAX record begins with its length, so its value may hold any byte, and the next record is found by the length.
# Seen: the header is split at line feeds. After a value with a line feed the reading of the owner ends, and the error is
# dropped: the entry has uid 0 from the short field of the header instead of the 3000000 of the record. With a blank in place
# of the line feed it is right. Values of extended attributes are binary (file capabilities have the byte in real images), so
# this is met with images of containers. Python's tarfile gives 3000000 for both. The crate's issues 428 and 452 are about
# the error that a caller sees who asks for the records one by one.
#
# Version: crate tar 0.4.46, Python 3.11.7.
# Seen output:
#   line feed: crate uid 0, tarfile uid 3000000
#   blank: crate uid 3000000, tarfile uid 3000000
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
filetime = "=0.2.29"
libc = "=0.2.186"
tar = { version = "=0.4.46", default-features = false }

[workspace]
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::{env, error::Error, fs::File};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("the path of an archive is missing")?;
    for entry in tar::Archive::new(File::open(path)?).entries()? {
        println!("{}", entry?.header().uid()?);
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR="$dir/target" cargo build --quiet --manifest-path "$dir/Cargo.toml"
python3 - "$dir/target/debug/finding" "$dir" <<'PY'
import os, subprocess, sys, tarfile

program, place = sys.argv[1:]
seen = []
for name, value in (("line feed", "1\n2"), ("blank", "1 2")):
    path = os.path.join(place, name + ".tar")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"SCHILY.xattr.user.a": value, "uid": "3000000"}
        archive.addfile(info)
    crate = int(subprocess.run([program, path], check=True, capture_output=True, text=True).stdout)
    with tarfile.open(path) as archive:
        compared = archive.next().uid
    print(f"{name}: crate uid {crate}, tarfile uid {compared}")
    seen.append((crate, compared))
sys.exit(0 if seen == [(0, 3000000), (3000000, 3000000)] else "this has changed")
PY
