#!/bin/sh
# Installs `emulator` from a release, after its checksum is verified.
#
#   curl -fsSL https://github.com/OWNER/NAME/releases/latest/download/install.sh | sh
#   sh install.sh --prefix /usr/local --version v0.1.0
#
# EMULATOR_REPO names another repository, EMULATOR_VERSION another version, GITHUB_SERVER_URL a GitHub Enterprise server.
set -eu

# The repository that the release with this script is in; filled in when it is made.
RELEASED_FROM=""

usage() {
    cat <<'END'
Usage: install.sh [--prefix DIR] [--version VERSION] [--repo OWNER/NAME]
       install.sh [--prefix DIR] --from DIR

  --prefix DIR         directory whose bin/ gets the program, and share/ its manual [default: ~/.local]
  --version VERSION    release to install, "v0.1.0" [default: the newest]
  --repo OWNER/NAME    repository to install from
  --from DIR           directory with the archive and SHA256SUMS, instead of a release
END
}

fail() {
    echo "error: $1" >&2
    exit 1
}

# The name that releases have for this machine.
target() {
    system=$(uname -s)
    machine=$(uname -m)
    # A shell that Rosetta translates says x86_64 on a machine that is not.
    if [ "$system" = Darwin ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null || echo 0)" = 1 ]; then
        machine=arm64
    fi
    case "$machine" in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "there is no build for \`$machine\`: it is for x86_64 and aarch64" ;;
    esac
    case "$system" in
    Linux) echo "$machine-unknown-linux-musl" ;;
    Darwin) echo "$machine-apple-darwin" ;;
    *) fail "there is no build for \`$system\`: it is for Linux and macOS" ;;
    esac
}

# address REPOSITORY VERSION: where the files of a release are, of the newest one when no version is given.
address() {
    releases="${GITHUB_SERVER_URL:-https://github.com}/$1/releases"
    if [ -n "$2" ]; then
        echo "$releases/download/$2"
    else
        echo "$releases/latest/download"
    fi
}

# fetch URL FILE
fetch() {
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --retry 3 --output "$2" "$1" || fail "cannot fetch \`$1\`"
    elif command -v wget >/dev/null; then
        wget --quiet --tries=3 --output-document="$2" "$1" || fail "cannot fetch \`$1\`"
    else
        fail "neither \`curl\` nor \`wget\` is installed"
    fi
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        fail "neither \`sha256sum\` nor \`shasum\` is installed"
    fi
}

# verify DIR ARCHIVE: the archive against the release's list of checksums.
verify() {
    expected=$(awk -v name="$2" '$2 == name || $2 == "*" name { print $1 }' "$1/SHA256SUMS")
    [ -n "$expected" ] || fail "\`SHA256SUMS\` does not list \`$2\`"
    found=$(sha256 "$1/$2")
    [ "$found" = "$expected" ] || fail "\`$2\` has the wrong checksum: expected $expected, found $found"
}

# The whole work is in functions, so that a script of which only the beginning arrived does nothing.
main() {
    prefix=""
    version="${EMULATOR_VERSION:-}"
    repository="${EMULATOR_REPO:-$RELEASED_FROM}"
    from=""
    while [ $# -gt 0 ]; do
        case "$1" in
        -h | --help) usage && exit 0 ;;
        --prefix | --version | --repo | --from) [ $# -ge 2 ] || fail "\`$1\` needs a value" ;;
        *) usage >&2 && fail "unknown argument \`$1\`" ;;
        esac
        case "$1" in
        --prefix) prefix="$2" ;;
        --version) version="$2" ;;
        --repo) repository="$2" ;;
        --from) from="$2" ;;
        esac
        shift 2
    done
    prefix="${prefix:-$HOME/.local}"
    [ -n "$from$repository" ] || fail "no repository is named: give \`--repo OWNER/NAME\`"
    archive="emulator-$(target).tar.gz"

    scratch=$(mktemp -d)
    unfinished="$prefix/bin/.emulator.$$"
    trap 'rm -rf "$scratch" "$unfinished"' EXIT
    # Not every shell runs the former when a signal ends it.
    trap 'exit 1' HUP INT TERM
    for file in SHA256SUMS "$archive"; do
        if [ -n "$from" ]; then
            cp "$from/$file" "$scratch/$file" || fail "cannot read \`$from/$file\`"
        else
            fetch "$(address "$repository" "$version")/$file" "$scratch/$file"
        fi
    done
    verify "$scratch" "$archive"
    tar -xzf "$scratch/$archive" -C "$scratch"

    # Written beside its place and renamed: a running program continues, and an incomplete one is never run.
    mkdir -p "$prefix/bin"
    cp "$scratch/emulator" "$unfinished"
    chmod 755 "$unfinished"
    mv -f "$unfinished" "$prefix/bin/emulator"
    # Pages of the manual, and completion scripts; releases before these had none.
    if [ -d "$scratch/share" ]; then
        cp -R "$scratch/share" "$prefix/" || echo "warning: cannot write to \`$prefix/share\`: no manual, no completions" >&2
    fi
    # By which `emulator uninstall` knows that it may remove this program.
    receipt="$prefix/share/stack-emulator/installed-by-install.sh"
    { mkdir -p "$prefix/share/stack-emulator" && echo "$prefix/bin/emulator" >"$receipt"; } ||
        echo "warning: cannot write \`$receipt\`: \`emulator uninstall\` will leave the program" >&2
    echo "installed \`$prefix/bin/emulator\`: $("$prefix/bin/emulator" --version)" >&2
    case ":$PATH:" in
    *":$prefix/bin:"*) ;;
    *) echo "add \`$prefix/bin\` to \`PATH\`" >&2 ;;
    esac
}

main "$@"
