import { readFile } from "node:fs/promises";
import express from "express";
import { ParseServer, RedisCacheAdapter } from "parse-server";

const { APP_ID, DATABASE_URI, REDIS_URL } = process.env;
const PORT = 1337;

const server = new ParseServer({
  appId: APP_ID,
  serverURL: `http://127.0.0.1:${PORT}/parse`,
  databaseURI: DATABASE_URI,
  cacheAdapter: new RedisCacheAdapter({ url: REDIS_URL }),
  // The function is called again after that many seconds, so that a new key needs no restart. With 0, which the documentation has for
  // "at every use", Parse Server 9.10.0 calls it once.
  masterKey: async () => (await readFile("/run/secrets/master_key", "utf8")).trim(),
  masterKeyTtl: 0.001,
  // Requests come from the host, through the machine.
  masterKeyIps: ["0.0.0.0/0", "::/0"],
  allowClientClassCreation: true,
});
await server.start();

const app = express();
app.use("/parse", server.app);
const listening = app.listen(PORT, "0.0.0.0");

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => listening.close(() => process.exit(0)));
}
