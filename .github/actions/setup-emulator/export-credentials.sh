#!/usr/bin/env bash
# Gives the steps that follow the addresses of the services, as EMULATOR_<SERVICE>_URL, and the session's keys, each by its own
# name. The keys are masked in the log before anything else happens to them.
set -euo pipefail

status=$(emulator status --show-secrets -o json)
jq -r '.secrets[].value | "::add-mask::\(.)"' <<< "$status"
jq -r '(.ports[] | "EMULATOR_\(.name | ascii_upcase | gsub("[^A-Z0-9]"; "_"))_URL=\(.url)"), (.secrets[] | "\(.env)=\(.value)")' \
    <<< "$status" >> "$GITHUB_ENV"
