#!/usr/bin/env bash
# Gives the steps that follow the addresses of the services, as EMULATOR_<SERVICE>_URL, and the session's keys, each by its own
# name. The keys are masked in the log before anything else happens to them.
set -euo pipefail

# It exits with another status than 0 where a service does not answer, and says nothing but what it prints.
status=$(emulator status --show-secrets -o json) || true
jq -r '.secrets[].value | "::add-mask::\(.)"' <<< "$status"
# `emulator start` has verified every service: one that is slow now must not fail the job, and one that is broken is reported.
# Escaped as the runner reads it, so that a reason of several lines is not another command.
jq -r '.reasons[] | gsub("%"; "%25") | gsub("\r"; "%0D") | gsub("\n"; "%0A") | "::warning::\(.)"' <<< "$status"
if [ "$(jq -r .state <<< "$status")" != running ]; then
    echo "::error::the emulator does not run any more: see \`emulator status\` and \`emulator logs\`"
    exit 1
fi
jq -r '(.ports[] | "EMULATOR_\(.name | ascii_upcase | gsub("[^A-Z0-9]"; "_"))_URL=\(.url)"), (.secrets[] | "\(.env)=\(.value)")' \
    <<< "$status" >> "$GITHUB_ENV"
