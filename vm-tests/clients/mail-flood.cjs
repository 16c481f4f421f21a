// Sends numbered messages with npm's `nodemailer` until one is not acknowledged, with nothing but exported variables. It prints the
// number of each that was. Its arguments are the number of mailboxes that it sends to, and of lines in a message.
const { createTransport } = require("nodemailer");

const { SMTP_HOST, SMTP_PORT } = process.env;
const [mailboxes, lines] = process.argv.slice(2).map(Number);
const WRITERS = 4;

const pool = createTransport({
  host: SMTP_HOST,
  port: Number(SMTP_PORT),
  pool: true,
  maxConnections: WRITERS,
  maxMessages: Infinity,
});
let next = 0;

async function write() {
  for (;;) {
    const number = next++;
    await pool.sendMail({
      from: "a@x.test",
      to: `flood-${number % mailboxes}@x.test`,
      subject: `${number}`,
      text: `${number}\n`.repeat(lines),
    });
    console.log(number);
  }
}

Promise.all(Array.from({ length: WRITERS }, write)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
