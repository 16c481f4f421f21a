// Uses S3 with npm's `@aws-sdk/client-s3` and nothing but exported variables. Its argument is the name of a bucket, which is gone
// afterwards.
const assert = require("node:assert");
const sdk = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const Bucket = process.argv[2];
const client = new sdk.S3Client({});

// Sends a command about the bucket: `send("PutObject", { Key, Body })`.
const send = (name, input = {}) => client.send(new sdk[`${name}Command`]({ Bucket, ...input }));
const signed = (name, input) => getSignedUrl(client, new sdk[`${name}Command`]({ Bucket, ...input }));
const read = async (Key) => {
  const object = await send("GetObject", { Key, ChecksumMode: "ENABLED" });
  return Buffer.from(await object.Body.transformToByteArray());
};

async function run() {
  await send("CreateBucket");
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    const Key = `sums/${ChecksumAlgorithm}`;
    await send("PutObject", { Key, Body: "content", ChecksumAlgorithm });
    assert.strictEqual(String(await read(Key)), "content", ChecksumAlgorithm);
  }
  const refused = await send("PutObject", { Key: "sums/SHA1", Body: "other", IfNoneMatch: "*" }).catch((e) => e);
  assert.strictEqual(refused.name, "PreconditionFailed");

  const large = Buffer.alloc(11 << 20, "large");
  await new Upload({ client, params: { Bucket, Key: "large", Body: large } }).done();
  assert.ok((await read("large")).equals(large));
  await send("CopyObject", { Key: "copy", CopySource: `${Bucket}/large` });
  assert.strictEqual((await send("HeadObject", { Key: "copy" })).ContentLength, large.length);

  const put = await fetch(await signed("PutObject", { Key: "signed \u{fc}" }), { method: "PUT", body: "signed" });
  assert.strictEqual(put.status, 200, await put.text());
  const got = await fetch(await signed("GetObject", { Key: "signed \u{fc}" }));
  assert.strictEqual(await got.text(), "signed");

  const listed = await send("ListObjectsV2", { Delimiter: "/" });
  assert.deepStrictEqual(listed.Contents.map((it) => it.Key), ["copy", "large", "signed \u{fc}"]);
  assert.deepStrictEqual(listed.CommonPrefixes.map((it) => it.Prefix), ["sums/"]);
  const Objects = (await send("ListObjectsV2")).Contents.map(({ Key }) => ({ Key }));
  assert.strictEqual((await send("DeleteObjects", { Delete: { Objects } })).Errors, undefined);
  await send("DeleteBucket");
}

run().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
