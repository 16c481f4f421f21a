// Puts objects, or verifies that they are there, with nothing but the variables of the emulator.
const assert = require("node:assert");
const sdk = require("@aws-sdk/client-s3");

const Bucket = "kept";
// Small content is in the database, large content in a file.
const contents = { small: "content", "../large": "content".repeat(100_000) };
const client = new sdk.S3Client({ maxAttempts: 1 });

const send = (name, input = {}) => client.send(new sdk[`${name}Command`]({ Bucket, ...input }));
const read = async (Key) => (await send("GetObject", { Key })).Body.transformToString();
const keys = async (Prefix) => {
  const found = [];
  for await (const page of sdk.paginateListObjectsV2({ client }, { Bucket, Prefix })) {
    found.push(...(page.Contents ?? []).map((object) => object.Key));
  }
  return found;
};

// Every fifth one is in a file.
const content = (number) => `${number},`.repeat(number % 5 ? 100 : 40_000);

const actions = {
  async put() {
    await send("CreateBucket");
    for (const [Key, Body] of Object.entries(contents)) {
      await send("PutObject", { Key, Body });
    }
  },
  async get() {
    for (const [Key, expected] of Object.entries(contents)) {
      assert.ok((await read(Key)) === expected, Key);
    }
    assert.deepStrictEqual(await keys("../"), ["../large"]);
  },
  // Puts objects until the machine is gone, and prints how many puts were answered.
  async fill() {
    for (let number = 0; ; number += 1) {
      try {
        await send("PutObject", { Key: `many/${number}`, Body: content(number) });
      } catch {
        console.log(number);
        return;
      }
    }
  },
  // Verifies what `fill` has put, and prints how many objects there are.
  async filled() {
    const found = await keys("many/");
    for (const key of found) {
      assert.ok((await read(key)) === content(Number(key.slice("many/".length))), key);
    }
    assert.ok(found.every((_, number) => found.includes(`many/${number}`)), "one between the others is missing");
    console.log(found.length);
  },
};

actions[process.argv[2]]().catch((error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
});
