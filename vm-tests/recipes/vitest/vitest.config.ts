import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { setupFiles: ["emulator.ts"], maxWorkers: 2, testTimeout: 60_000 },
});
