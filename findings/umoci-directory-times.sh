#!/usr/bin/env bash
# umoci does not keep the time of a directory, if a directory below it is in the layer only as part of a path.
#
# Expected: `a` has an entry with a time in the layer, so it has that time when the layer is unpacked, as with Python's
# tarfile and GNU tar, which set the times of directories after all that is in them.
# Seen: the layer has `a` and `a/b/c`, and no entry for `a/b`. umoci makes `a/b` on the way to `c`, which changes `a`, and
# sets back the time of `a/b` alone: `a` has the time of unpacking, so that two copies of one image differ. With an entry
# for `a/b` it is right.
#
# Version: umoci 0.4.7+ds-3+b7 (Debian 12), Python 3.11.7.
# Seen output (the times of `a`, in the layer 1000):
#   without an entry for a/b: umoci the time of unpacking, tarfile 1000
#   with an entry for a/b: umoci 1000, tarfile 1000
set -euo pipefail
version=0.4.7+ds-3+b7
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get -o APT::Sandbox::User=root download "umoci=$version" >/dev/null && dpkg -x umoci_*.deb unpacked)
python3 - "$(find "$dir/unpacked" -name umoci -type f -perm -u+x)" "$dir" <<'PY'
import hashlib, io, json, os, subprocess, sys, tarfile, time

program, place = sys.argv[1:]
KIND = "application/vnd.oci.image."

def layer(names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = 1000, 0o755
            info.type = tarfile.REGTYPE if name == "a/b/c" else tarfile.DIRTYPE
            archive.addfile(info)
    return buffer.getvalue()

def image(path, data):
    """An OCI layout of one layer, named `it`."""
    blobs = os.path.join(path, "blobs", "sha256")
    os.makedirs(blobs)

    def put(kind, content):
        name = hashlib.sha256(content).hexdigest()
        with open(os.path.join(blobs, name), "wb") as file:
            file.write(content)
        return {"mediaType": KIND + kind, "digest": "sha256:" + name, "size": len(content)}

    packed = put("layer.v1.tar", data)
    config = put("config.v1+json", json.dumps({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [packed["digest"]]},
    }).encode())
    manifest = put("manifest.v1+json", json.dumps({"schemaVersion": 2, "config": config, "layers": [packed]}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    for name, content in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
                          ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(path, name), "w") as file:
            json.dump(content, file)

def shown(path, begun):
    at = int(os.stat(os.path.join(path, "a")).st_mtime)
    return "the time of unpacking" if at >= begun else str(at)

seen = []
for case, names in (("without", ["a", "a/b/c"]), ("with", ["a", "a/b", "a/b/c"])):
    layout, out, compared = (os.path.join(place, f"{case}-{part}") for part in ("layout", "umoci", "tarfile"))
    data, begun = layer(names), int(time.time()) - 1
    image(layout, data)
    subprocess.run([program, "raw", "unpack", "--rootless", "--image", layout + ":it", out], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(compared)
    seen.append((shown(out, begun), shown(compared, begun)))
    print(f"{case} an entry for a/b: umoci {seen[-1][0]}, tarfile {seen[-1][1]}")
sys.exit(0 if seen == [("the time of unpacking", "1000"), ("1000", "1000")] else "this has changed")
PY
