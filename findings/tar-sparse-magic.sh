#!/usr/bin/env bash
# GNU tar unpacks a PAX 1.0 sparse file as its map and packed data, if the file's own header has GNU's magic.
#
# Expected: the records of the extended header (`GNU.sparse.major=1` and so on) make a file sparse, as they also give its
# name and its size, whichever of the two magics follows in the header of the file.
# Seen: with the magic of POSIX the file has its hole. With that of GNU (`ustar` and two blanks) name and size are taken
# from the records, so the listing is the same, but the map at the start of the data is unpacked as content. tar ends with
# success. Python's tarfile reads the same content from both archives.
#
# Version: tar 1.34+dfsg-1.2+deb12u1 (Debian 12), Python 3.11.7.
# Seen output:
#   POSIX magic: listed with 1024 bytes; tar: 512 zeroes, then data; tarfile: 512 zeroes, then data
#   GNU magic: listed with 1024 bytes; tar: the map, then data; tarfile: 512 zeroes, then data
set -euo pipefail
version=1.34+dfsg-1.2+deb12u1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get -o APT::Sandbox::User=root download "tar=$version" >/dev/null && dpkg -x tar_*.deb root)
python3 - "$(find "$dir/root" -path '*bin/tar' | head -1)" "$dir" <<'PY'
import os, subprocess, sys, tarfile

program, place = sys.argv[1:]
DATA = b"d" * 512
MAP = b"1\n512\n512\n".ljust(512, b"\0")  # one piece of data: at 512, of 512 bytes
KINDS = {bytes(512) + DATA: "512 zeroes, then data", MAP + DATA: "the map, then data"}

def record(key, value):
    rest = f" {key}={value}\n"
    length = len(rest)
    while len(f"{length}{rest}") != length:
        length = len(f"{length}{rest}")
    return f"{length}{rest}".encode()

def header(name, kind, size, form):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(form)

def archive(form):
    fields = {"major": 1, "minor": 0, "name": "x", "realsize": 1024}
    records = b"".join(record("GNU.sparse." + key, value) for key, value in fields.items())
    parts = [header("records", tarfile.XHDTYPE, len(records), tarfile.USTAR_FORMAT), records.ljust(512, b"\0"),
             header("stored", tarfile.REGTYPE, 1024, form), MAP, DATA]
    return b"".join(parts).ljust(10240, b"\0")

seen = []
for magic, form in (("POSIX", tarfile.USTAR_FORMAT), ("GNU", tarfile.GNU_FORMAT)):
    path, out = os.path.join(place, magic + ".tar"), os.path.join(place, magic)
    os.mkdir(out)
    with open(path, "wb") as file:
        file.write(archive(form))
    run = lambda *words: subprocess.run([program, *words], env={"LC_ALL": "C"}, check=True, capture_output=True, text=True)
    listed = run("-tvf", path).stdout.split()[2]
    run("-xf", path, "-C", out)
    with open(os.path.join(out, "x"), "rb") as file:
        unpacked = KINDS.get(file.read(), "something else")
    with tarfile.open(path) as reader:
        compared = KINDS.get(reader.extractfile("x").read(), "something else")
    print(f"{magic} magic: listed with {listed} bytes; tar: {unpacked}; tarfile: {compared}")
    seen.append((listed, unpacked, compared))
hole, shown = KINDS.values()
sys.exit(0 if seen == [("1024", hole, hole), ("1024", shown, hole)] else "this has changed")
PY
