/** What only carries a request to Google and its answer back: its tests need real HTTP. */
const WIRE = ['client', 'endpoints', 'methods', 'transport', 'credentials', 'rest'].map(
  file => `operator/gcp/${file}.ts`,
);

/** Fills an inventory to its bound for ten seconds, which no mutant is worth. */
const SLOW = '!test/unit/tenant-inventory-bound.test.ts';

/**
 * The parts of the operator that are mutated, each with the unit tests that are run for every mutant of it. A mutant of
 * what is read as a module is loaded is run against all of its part's tests: hence the parts.
 */
export const PARTS: Record<string, { room: string; mutate: string[]; tests: string[] }> = {
  tenant: {
    room: 'operator/tenant',
    mutate: ['operator/tenant/**/*.ts', '!operator/tenant/fields/**/*.ts'],
    tests: ['test/unit/tenant-*.test.ts', '!test/unit/tenant-fields*.test.ts', SLOW],
  },
  fields: {
    room: 'operator/tenant',
    mutate: ['operator/tenant/fields/**/*.ts'],
    tests: ['test/unit/tenant-*.test.ts', SLOW],
  },
  gcp: {
    room: 'operator/gcp',
    mutate: ['operator/gcp/**/*.ts', ...WIRE.map(file => `!${file}`)],
    tests: ['test/unit/gcp-*.test.ts', '!test/unit/gcp-client.test.ts'],
  },
  wire: {
    room: 'operator/gcp',
    mutate: WIRE,
    tests: ['test/unit/gcp-client.test.ts'],
  },
};
