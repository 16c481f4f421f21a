// Sends mail with npm's `nodemailer` and reads it with `inbucket-js-client`, with nothing but exported variables. Its argument is an
// address.
const assert = require("node:assert/strict");
const { createTransport } = require("nodemailer");
const { InbucketAPIClient } = require("inbucket-js-client");

const { SMTP_HOST, SMTP_PORT, SMTP_URL, INBUCKET_URL } = process.env;

async function main(address) {
  const pool = createTransport({
    host: SMTP_HOST,
    port: Number(SMTP_PORT),
    auth: { user: "user", pass: "password" },
    pool: true,
    maxConnections: 3,
  });
  const inbox = new InbucketAPIClient(INBUCKET_URL);
  await pool.verify();
  await pool.sendMail({
    from: '"Jörg" <joerg@x.test>',
    to: address,
    bcc: `hidden-${address}`,
    subject: "Grüße €",
    text: ".dot\nText €",
    html: '<p>Text €<img src="cid:logo"></p>',
    attachments: [
      { filename: "größe.bin", content: Buffer.from([0, 1, 254, 255]) },
      { filename: "logo.png", content: Buffer.from("89504e47", "hex"), cid: "logo" },
    ],
    dsn: { id: "1", return: "headers", notify: ["success", "failure"] },
  });
  const [{ id, subject, from, to }, ...others] = await inbox.mailbox(address);
  assert.deepEqual([subject, from, to, others], ["Grüße €", "Jörg <joerg@x.test>", [`<${address}>`], []]);
  const message = await inbox.message(address, id);
  assert.equal(message.body.text.trimEnd(), ".dot\r\nText €");
  assert.match(message.body.html, /^<p>Text €<img/);
  const files = message.attachments.map((file) => file.filename).sort();
  assert.deepEqual(files, ["größe.bin", "logo.png"]);
  const file = message.attachments.find((file) => file.filename === "größe.bin");
  const content = await (await fetch(file["download-link"])).arrayBuffer();
  assert.deepEqual([...new Uint8Array(content)], [0, 1, 254, 255]);
  assert.equal((await inbox.mailbox(`hidden-${address}`)).length, 1);
  assert.equal(await inbox.deleteMessage(address, id), "OK");
  await assert.rejects(inbox.message(address, id), /request error: 404/);

  const many = Array.from({ length: 50 }, (_, number) => `${number}`);
  await Promise.all(many.map((text) => pool.sendMail({ from: "a@x.test", to: address, subject: text, text })));
  const subjects = (await inbox.mailbox(address)).map((message) => Number(message.subject));
  assert.deepEqual(subjects.sort((a, b) => a - b), many.map(Number));
  assert.equal(await inbox.purgeMailbox(address), "OK");
  assert.deepEqual(await inbox.mailbox(address), []);
  pool.close();

  const plain = createTransport(SMTP_URL);
  await assert.rejects(plain.sendMail({ from: "a@x.test", to: address, text: "x".repeat(11_000_000) }), { responseCode: 552 });
  plain.close();
  console.log("done");
}

main(process.argv[2]);
