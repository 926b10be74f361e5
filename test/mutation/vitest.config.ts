import { defineConfig } from 'vitest/config';
import { PARTS } from './parts.ts';

/** The unit tests of one part, see parts.ts. */
const tests = PARTS[process.env.MUTATION_PART ?? '']?.tests ?? [];

export default defineConfig({
  test: {
    include: tests.filter(pattern => !pattern.startsWith('!')),
    exclude: tests.filter(pattern => pattern.startsWith('!')).map(pattern => pattern.slice(1)),
  },
});
