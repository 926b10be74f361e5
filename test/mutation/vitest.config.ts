import { defineConfig } from 'vitest/config';

/**
 * The unit tests of the pure core and of the Google Cloud room: fast enough to run against every mutant. What goes over
 * real HTTP takes too long for that.
 */
export default defineConfig({
  test: {
    include: ['test/unit/tenant-*.test.ts', 'test/unit/gcp-*.test.ts'],
    exclude: ['test/unit/gcp-client.test.ts'],
  },
});
