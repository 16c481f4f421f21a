#!/usr/bin/env bash
# Reading a hole of a file on tmpfs through a mapping takes room on that tmpfs, also through a private one.
#
# Expected: a hole reads as zeroes and costs nothing, however it is read; only a write takes room.
# Seen: read(2), as `numpy.fromfile` does, costs nothing. With `numpy.memmap` each page that is read is allocated in the
# file: 64 MiB are read, and the file has 64 MiB more, though the mapping is read-only or copy-on-write. On other file
# systems no block is taken by either. So a snapshot of a machine's memory whose pages of zeroes are holes grows to its
# full length when a machine runs on it from a tmpfs, and where the tmpfs is full, a mere read ends the reader (SIGBUS).
#
# Version: numpy 2.2.6, Linux 6.18.
# Seen output:
#   tmpfs: fromfile 0 MiB, memmap r 64 MiB, memmap c 64 MiB
#   disk: fromfile 0 MiB, memmap r 0 MiB, memmap c 0 MiB
set -euo pipefail
dir=$(mktemp -d)
shm=$(mktemp -d /dev/shm/finding.XXXXXX)
trap 'rm -rf "$dir" "$shm"' EXIT
[ "$(stat -f -c %T "$shm")" = tmpfs ] || { echo "/dev/shm is not a tmpfs"; exit 1; }
[ "$(stat -f -c %T "$dir")" != tmpfs ] || { echo "TMPDIR must be on a disk"; exit 1; }
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.2.6
"$dir/venv/bin/python" - "$shm" "$dir" <<'PY'
import os, sys
import numpy

SIZE = 64 << 20

def grown(place, read):
    """How many MiB more a file with one large hole has after `read`."""
    path = os.path.join(place, "sparse")
    with open(path, "wb") as file:
        file.truncate(SIZE)
    before = os.stat(path).st_blocks
    assert not read(path).any()
    after = os.stat(path).st_blocks
    os.unlink(path)
    return (after - before) * 512 >> 20

reads = {
    "fromfile": lambda path: numpy.fromfile(path, dtype=numpy.uint8),
    "memmap r": lambda path: numpy.memmap(path, dtype=numpy.uint8, mode="r"),
    "memmap c": lambda path: numpy.memmap(path, dtype=numpy.uint8, mode="c"),
}
seen = {name: [grown(place, read) for read in reads.values()] for name, place in zip(("tmpfs", "disk"), sys.argv[1:])}
for name, sizes in seen.items():
    print(f"{name}: " + ", ".join(f"{read} {size} MiB" for read, size in zip(reads, sizes)))
sys.exit(seen != {"tmpfs": [0, 64, 64], "disk": [0, 0, 0]})
PY
