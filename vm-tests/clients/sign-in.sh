#!/bin/sh
# Signs a user up and in and shows who it is, with curl and nothing but exported variables. Its argument is the address of the user.
set -eu

ask() {
    curl --silent --show-error --fail-with-body \
        --header "x-stack-project-id: $STACK_PROJECT_ID" \
        --header "x-stack-access-type: client" \
        --header "x-stack-publishable-client-key: $STACK_PUBLISHABLE_CLIENT_KEY" \
        --header "content-type: application/json" \
        "$@"
}

user="{\"email\":\"$1\",\"password\":\"correct horse battery\"}"
ask --data "$user" "$STACK_API_URL/api/v1/auth/password/sign-up" >/dev/null
token=$(ask --data "$user" "$STACK_API_URL/api/v1/auth/password/sign-in" |
    sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/')
ask --header "x-stack-access-token: $token" "$STACK_API_URL/api/v1/users/me"
