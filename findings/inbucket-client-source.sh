#!/usr/bin/env bash
# npm's client of Inbucket cannot read the source of a message, and leaves the path of its base address out.
#
# Expected: `messageSource` gives the text of the message, as its types and its documentation say. A client of
# `http://host/mail/` asks below `/mail/`, where a proxy serves it.
# Seen: every answer is read as JSON, also the source, which the interface answers as `text/plain`. So the call always fails,
# unless the source of the message happens to be JSON; then an object is returned where a string is promised. Requests go to
# the root of the host, whatever the path of the base address is.
#
# Version: inbucket-js-client 2.0.0, with Node.js 20.20.2.
# Seen output:
#   messageSource: SyntaxError
#   asked for: /api/v1/mailbox/letters/1/source
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts inbucket-js-client@2.0.0
cat > client.mjs <<'JS'
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { InbucketAPIClient } from "inbucket-js-client";

const SOURCE = "From: a@example.com\r\nTo: letters@example.com\r\nSubject: Hello\r\n\r\nHello.\r\n";
let asked;
const server = createServer((request, response) => {
  asked = request.url;
  response.setHeader("content-type", "text/plain").end(SOURCE);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${server.address().port}/mail/`;

assert.equal(await (await fetch(address)).text(), SOURCE, "the server answers as it should");
const error = await new InbucketAPIClient(address).messageSource("letters", "1").catch((error) => error);
server.close();
console.log(`messageSource: ${error.name}`);
console.log(`asked for: ${asked}`);
assert.equal(error.name, "SyntaxError");
assert.equal(asked, "/api/v1/mailbox/letters/1/source");
JS
node client.mjs
