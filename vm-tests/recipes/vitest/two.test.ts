import { expect, test } from "vitest";

import { signUp } from "./backend";

test("the address is new to this backend", async () => {
  expect((await signUp("same@example.com")).status).toBeLessThan(300);
});
