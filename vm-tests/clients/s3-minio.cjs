// Uses S3 with npm's `minio` and nothing but exported variables. Its argument is the name of a bucket, which is gone afterwards.
const assert = require("node:assert");
const { Client } = require("minio");

const bucket = process.argv[2];
const { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey, AWS_REGION: region } = process.env;
const { hostname: endPoint, port } = new URL(process.env.S3_ENDPOINT);
const client = new Client({ endPoint, port: Number(port), useSSL: false, accessKey, secretKey, region });

const all = async (stream) => Buffer.concat(await stream.toArray());

async function run() {
  await client.makeBucket(bucket);
  assert.ok(await client.bucketExists(bucket));
  const large = Buffer.alloc(11 << 20, "large");
  client.partSize = 5 << 20;
  await client.putObject(bucket, "dir/key", "content", { "x-amz-meta-a": "b" });
  await client.putObject(bucket, "large", large);
  assert.strictEqual(String(await all(await client.getObject(bucket, "dir/key"))), "content");
  assert.ok((await all(await client.getObject(bucket, "large"))).equals(large));
  assert.strictEqual((await client.statObject(bucket, "dir/key")).metaData.a, "b");
  const part = await client.getPartialObject(bucket, "large", 5, 5);
  assert.strictEqual(String(await all(part)), "large");

  await client.setObjectTagging(bucket, "dir/key", { a: "b" });
  assert.deepStrictEqual(await client.getObjectTagging(bucket, "dir/key"), [{ Key: "a", Value: "b" }]);
  await client.copyObject(bucket, "copy", `/${bucket}/dir/key`);
  const got = await fetch(await client.presignedGetObject(bucket, "copy", 60));
  assert.strictEqual(await got.text(), "content");

  const names = (await client.listObjectsV2(bucket, "", true).toArray()).map((it) => it.name);
  assert.deepStrictEqual(names, ["copy", "dir/key", "large"]);
  await client.removeObjects(bucket, names);
  await client.removeBucket(bucket);
}

run().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
