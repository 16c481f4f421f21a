#!/bin/sh
# Sends mail with swaks in several ways, with nothing but exported variables. Its argument is an address.
set -eu
address=$1
send() {
    swaks --server "$SMTP_HOST:$SMTP_PORT" --from sender@x.test --hide-all --suppress-data "$@"
}
send --to "$address" --h-Subject plain
send --to "$address" --h-Subject plain-auth --auth PLAIN --auth-user user --auth-password password
send --to "$address" --h-Subject login-auth --auth LOGIN --auth-user user --auth-password password
send --to "$address" --h-Subject pipeline --pipeline
send --to "$address" --h-Subject helo --protocol SMTP
send --to "$address" --h-Subject attachment --attach-type text/x-shell --attach "@$0"
send --to "$address,other-$address" --h-Subject two
# A line that is a dot, and one that begins with it.
send --to "$address" --h-Subject dots --body "$(printf 'a\n.\n..b\n')"
echo done
