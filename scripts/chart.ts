import { readFileSync, writeFileSync } from 'node:fs';

/**
 * `node scripts/chart.ts`: copies what the Helm chart has in common with the manifests into the chart, which can contain no files from
 * outside its folder. A test keeps the copies equal to their sources.
 */

const ROOT = new URL('../', import.meta.url);

/** The files of the chart that are copies, by their path from its folder, with their sources. */
export const COPIES: Record<string, string> = {
  'crds/aitenants.yaml': 'crds/aitenants.yaml',
  'files/serviceaccount.yaml': 'manifests/base/serviceaccount.yaml',
  'files/rbac.yaml': 'manifests/base/rbac.yaml',
  'files/service.yaml': 'manifests/base/service.yaml',
  'files/pdb.yaml': 'manifests/base/pdb.yaml',
  'files/aggregated-roles.yaml': 'manifests/components/tenant-roles/aggregated-roles.yaml',
  'files/servicemonitor.yaml': 'manifests/components/servicemonitor/servicemonitor.yaml',
  'files/podmonitoring.yaml': 'manifests/components/podmonitoring/podmonitoring.yaml',
  'files/rules.yaml': 'manifests/monitoring/rules.yaml',
  'files/dashboard.json': 'manifests/monitoring/dashboard.json',
  'files/policy.yaml': 'manifests/policies/policy.yaml',
  'files/binding.yaml': 'manifests/policies/binding.yaml',
};

if (import.meta.main) {
  for (const [copy, source] of Object.entries(COPIES)) {
    writeFileSync(new URL(`charts/aitenant-operator/${copy}`, ROOT), readFileSync(new URL(source, ROOT)));
  }
}
