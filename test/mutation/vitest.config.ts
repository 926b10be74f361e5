import { defineConfig } from 'vitest/config';
import { PARTS } from './parts.ts';

/** The unit tests of one part, see parts.ts. */
const tests = PARTS[process.env.MUTATION_PART ?? '']?.tests ?? [];

export default defineConfig({
  test: {
    include: tests.filter(pattern => !pattern.startsWith('!')),
    // As in vitest.config.ts: a busy machine takes its time over the longest properties.
    testTimeout: 60_000,
    exclude: tests.filter(pattern => pattern.startsWith('!')).map(pattern => pattern.slice(1)),
  },
});
