import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
import { COPIES } from '../../../scripts/chart.ts';

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

/** SHA-256 over what a rendering depends on: the values and the files of the chart that are not copies of others. */
function inputsHash(name: string): string {
  const hash = createHash('sha256');
  const files = globSync('**/*', { cwd: CHART, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => `${entry.parentPath}/${entry.name}`.slice(CHART.length + 1))
    .filter(path => !path.endsWith('.md') && !Object.hasOwn(COPIES, path));
  for (const path of files.sort())
    hash
      .update(`${path}\0`)
      .update(readFileSync(`${CHART}/${path}`))
      .update('\0');
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

export const documents = (yaml: string): Manifest[] =>
  parseAllDocuments(yaml).flatMap(document => (document.contents ? [document.toJS() as Manifest] : []));

/** What the copied file `path` of the chart says of the object, apart from its metadata, in the namespace of a release. */
function copied(path: string, { kind, metadata }: Manifest, namespace: string): Record<string, unknown> | undefined {
  const text = readFileSync(`${CHART}/${path}`, 'utf8');
  if (path.endsWith('.json')) {
    const isIt = kind === 'ConfigMap' && metadata.name === 'aitenant-dashboard';
    return isIt ? { apiVersion: 'v1', kind, metadata: undefined, data: { 'dashboard.json': text } } : undefined;
  }
  const objects = documents(text.replaceAll('namespace: aitenant-system', `namespace: ${namespace}`));
  const found = objects.find(object => object.kind === kind && object.metadata.name === metadata.name);
  return found && { ...found, metadata: undefined };
}

/** The object with `sameAs: FILE` in place of all but its metadata, if that is what the file says. */
function shortened(object: Manifest, namespace: string): object {
  const rest = { ...object, metadata: undefined };
  const path = Object.keys(COPIES).find(copy => isDeepStrictEqual(copied(copy, object, namespace), rest));
  return path ? { kind: object.kind, metadata: object.metadata, sameAs: path } : object;
}

/**
 * A rendering as text, independent of the order of the objects and of their fields. An object that is a copy refers to its file, so that a
 * change of that file needs no new recording.
 */
export function recording(name: string, objects: Manifest[]): string {
  const namespace = CASES[name]?.namespace ?? 'aitenant-system';
  const sorted = objects.toSorted((a, b) => idOf(a).localeCompare(idOf(b)));
  const texts = sorted.map(object => `---\n${stringify(shortened(object, namespace), { sortMapEntries: true })}`);
  return recordingHead(name) + texts.join('');
}

/** The objects of a recording, with what it refers to. */
export function recorded(name: string): Manifest[] {
  const namespace = CASES[name]?.namespace ?? 'aitenant-system';
  return documents(readFileSync(recordingPath(name), 'utf8')).map(({ sameAs, ...object }) =>
    sameAs
      ? ({ ...copied(sameAs, object as Manifest, namespace), metadata: object.metadata } as Manifest)
      : (object as Manifest),
  );
}
