#!/usr/bin/env bash
# Installs the program and a QEMU that is new enough, and says where the emulator's files are.
set -euo pipefail

prefix="$RUNNER_TEMP/emulator"
sh "$GITHUB_ACTION_PATH/../../../install.sh" --prefix "$prefix"
echo "$prefix/bin" >> "$GITHUB_PATH"

case "$RUNNER_OS" in
Linux)
    case "$RUNNER_ARCH" in
    X64) system=qemu-system-x86 ;;
    ARM64) system=qemu-system-arm ;;
    *) echo "::error::there is no image for $RUNNER_ARCH" && exit 1 ;;
    esac
    sudo apt-get update -q
    sudo apt-get install -q -y --no-install-recommends "$system" qemu-utils
    ;;
macOS) brew install --quiet qemu ;;
*) echo "::error::the emulator runs on Linux and macOS" && exit 1 ;;
esac

{
    echo "home=${STACK_EMULATOR_HOME:-$HOME/.stack/emulator}"
    echo "day=$(date -u +%Y%m%d)"
} >> "$GITHUB_OUTPUT"
