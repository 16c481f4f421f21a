#!/usr/bin/env bash
# Fetches the image, unless the newest is there already.
set -euo pipefail

arguments=(--repo "$EMULATOR_REPO" --skip-snapshot)
if [ -n "$TAG" ]; then
    arguments+=(--tag "$TAG")
elif [ -n "$BRANCH" ]; then
    arguments+=(--branch "$BRANCH")
fi
emulator pull "${arguments[@]}"
