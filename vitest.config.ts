import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** The slowest files: `npm run test:long`. `npm test` must take less than three minutes on two quiet cores. */
const LONG = [
  'test/unit/{acceptance-broken-endpoint,acceptance-expensive,acceptance-lies,acceptance-missing-methods,acceptance-recordings,closing-paths,fuzz,outage-hours}.test.ts',
  'test/unit/{tenant-fields,tenant-fields-removed}.test.ts',
  'test/unit/{cli-import,cli-manifests,plan-truth,scripts-options,sim,tenant-inventory-bound}.test.ts',
  'test/unit/acceptance-life.test.ts',
  'test/unit/manifests-monitoring.test.ts',
  'test/e2e/{acceptance,cli,guardrail,upgrade-0.1}.test.ts',
  'test/e2e/{backend,backend-hostile,bad-input,deletion,docs-commands,examples,gcloud*,images,leader,life-projects,manual}.test.ts',
  'test/e2e/{confused-deputy,import,kubeconfig,kubectl,kubectl-tenant,operator-ports,random-specs,sandbox}.test.ts',
  'test/e2e/{plan,rebuilt,release,run-instances,scale,live-shapes,spec-leaves,watch-torture}.test.ts',
];
/** They need a real kube-apiserver, or programs that are built with Go: `npm run test:envtest`. */
const ELSEWHERE = 'test/e2e/{api-versions,conformance,crd-limits,envtest,go-tools,helm,install,policies}.test.ts';
const ALL = ['test/unit/**/*.test.ts', 'test/e2e/**/*.test.ts'];

/** All tests that need nothing but Node.js; in the mode `short` those that are not long, in the mode `long` the others. */
export const settings = (mode: string): NonNullable<ViteUserConfig['test']> => ({
  include: mode === 'long' ? LONG : ALL,
  exclude: mode === 'short' ? [ELSEWHERE, ...LONG] : [ELSEWHERE],
  reporters: ['default', './scripts/closing-line.ts'],
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // More than the two cores that are promised: many tests wait more than they work.
  maxWorkers: 3,
});

/** A file that is named on the command line is run in every mode. */
const isNamed = process.argv.some(argument => /^(\.\/)?test\/(unit|e2e)\//.test(argument));

export default defineConfig(({ mode }) => ({ test: settings(isNamed ? 'all' : mode) }));
