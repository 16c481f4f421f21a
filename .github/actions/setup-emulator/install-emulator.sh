#!/usr/bin/env bash
# Installs the program and a QEMU that is new enough, and says where the emulator's files are.
set -euo pipefail

case "$RUNNER_ARCH" in
X64) machine=x86_64 system=qemu-system-x86 ;;
ARM64) machine=aarch64 system=qemu-system-arm ;;
*) echo "::error::there is no image for $RUNNER_ARCH" && exit 1 ;;
esac
case "$RUNNER_OS" in
Linux) platform=$machine-unknown-linux-musl ;;
macOS) platform=$machine-apple-darwin ;;
*) echo "::error::the emulator runs on Linux and macOS" && exit 1 ;;
esac

prefix="$RUNNER_TEMP/emulator"
install=(sh "$GITHUB_ACTION_PATH/../../../install.sh" --prefix "$prefix")
if [ -n "$TOKEN" ] && command -v gh > /dev/null; then
    # The releases of a private repository need a token.
    files="$RUNNER_TEMP/emulator-release"
    # One variable is for github.com, the other one for a GitHub Enterprise server.
    GH_TOKEN="$TOKEN" GH_ENTERPRISE_TOKEN="$TOKEN" GH_HOST="${GITHUB_SERVER_URL#*://}" gh release download \
        ${EMULATOR_VERSION:+"$EMULATOR_VERSION"} --repo "$EMULATOR_REPO" --dir "$files" --clobber \
        --pattern SHA256SUMS --pattern "emulator-$platform.tar.gz"
    "${install[@]}" --from "$files"
else
    "${install[@]}"
fi
echo "$prefix/bin" >> "$GITHUB_PATH"

if [ "$RUNNER_OS" = Linux ]; then
    sudo apt-get update -q
    sudo apt-get install -q -y --no-install-recommends "$system" qemu-utils
else
    brew install --quiet qemu
fi

{
    echo "home=${STACK_EMULATOR_HOME:-$HOME/.stack/emulator}"
    echo "day=$(date -u +%Y%m%d)"
} >> "$GITHUB_OUTPUT"
