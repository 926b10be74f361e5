import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { stringify } from 'yaml';

/** What the tests of the Helm chart with and without Helm have in common. */

const ROOT = new URL('../../../', import.meta.url).pathname;

/** The folder of the chart. */
export const CHART = `${ROOT}charts/aitenant-operator`;

/** The values with which the chart is rendered, and the kustomization that must give the same objects. */
export const CASES: Record<string, { manifests?: Manifests; namespace?: string; helmFlags?: string[] }> = {
  default: { manifests: { resources: ['base'], components: [] } },
  gke: { manifests: { resources: ['overlays/gke'], components: [] } },
  kind: { manifests: { resources: ['overlays/kind'], components: [] } },
  components: {
    manifests: {
      resources: ['base', 'monitoring', 'policies'],
      components: ['components/tenant-roles', 'components/servicemonitor', 'components/podmonitoring'],
    },
  },
  options: { namespace: 'other', helmFlags: ['--is-upgrade'] },
};

/** Folders of manifests/ that one kustomization is made of. */
export interface Manifests {
  resources: string[];
  components: string[];
}

export const valuesPath = (name: string): string => `${ROOT}test/unit/chart/${name}.values.yaml`;
/** The file in which test/e2e/helm.test.ts records what Helm renders. */
export const recordingPath = (name: string): string => `${ROOT}test/unit/chart/${name}.recorded.yaml`;

/** SHA-256 over everything that a rendering depends on: the files of the chart and the values. */
function inputsHash(name: string): string {
  const hash = createHash('sha256');
  for (const file of globSync('**/*', { cwd: CHART, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => `${entry.parentPath}/${entry.name}`)
    .sort()) {
    hash.update(file.slice(CHART.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.update(readFileSync(valuesPath(name))).digest('hex');
}

/** The first lines of a recording, which name its inputs. */
export const recordingHead = (name: string): string =>
  `# Helm renders these objects from test/unit/chart/${name}.values.yaml. test/e2e/helm.test.ts records them: run it with -u.\n# Inputs: sha256:${inputsHash(name)}\n`;

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: a test checks what it uses
  [field: string]: any;
}

/** Identifies an object of a rendering. */
export const idOf = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`;

/** A rendering as text, independent of the order of the objects and of their fields. */
export function recording(name: string, objects: Manifest[]): string {
  const sorted = objects.toSorted((a, b) => idOf(a).localeCompare(idOf(b)));
  return recordingHead(name) + sorted.map(object => `---\n${stringify(object, { sortMapEntries: true })}`).join('');
}
