import { execFileSync } from "node:child_process";

const shard = `shard-${process.env.VITEST_POOL_ID}`;
const answer = execFileSync("emulator", ["env", "-o", "json", "--instance", shard]);
Object.assign(process.env, JSON.parse(answer.toString()).variables);
