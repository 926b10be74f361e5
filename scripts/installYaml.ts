import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseAllDocuments, stringify } from 'yaml';
import { commandLine } from './commandLine.ts';

const HELP = `node scripts/installYaml.ts [--image=IMAGE] > install.yaml

Prints manifests/overlays/install as one file for \`kubectl apply -f\`, with a label that names the version on every object.
  --image=IMAGE   the operator's image, with a tag or a digest (aitenant-operator:VERSION)
kubectl must be installed, because it builds the overlay.`;

const ROOT = new URL('../', import.meta.url).pathname;

interface Manifest {
  kind: string;
  metadata: { labels?: Record<string, string> };
  spec: { template: { spec: { containers: { image: string }[] } } };
}

/** The file's text. `image`: the operator's image with a tag or a digest. Throws if kubectl is missing or fails. */
export function installYaml(version: string, image = `aitenant-operator:${version}`): string {
  const overlay = `${ROOT}manifests/overlays/install`;
  const text = execFileSync('kubectl', ['kustomize', overlay], { encoding: 'utf8', maxBuffer: 1 << 24 });
  const objects = parseAllDocuments(text).map(document => document.toJS() as Manifest);
  for (const { kind, metadata, spec } of objects) {
    metadata.labels = { ...metadata.labels, 'app.kubernetes.io/version': version };
    if (kind === 'Deployment') for (const container of spec.template.spec.containers) container.image = image;
  }
  const head = [
    `# aitenant-operator ${version} for GKE with Workload Identity. scripts/installYaml.ts generates this file from manifests/.`,
    '#   kubectl apply -f install.yaml',
    '# Then name the Google service account that the operator acts as, and the project of each namespace with tenants:',
    '#   kubectl annotate serviceaccount aitenant-operator -n aitenant-system iam.gke.io/gcp-service-account=ACCOUNT',
    '#   kubectl annotate namespace NAMESPACE ai-platform.dev/project-id=PROJECT',
  ];
  // kubectl reads YAML 1.1, in which `on` and `y` are booleans.
  const documents = objects.map(object => `---\n${stringify(object, { lineWidth: 0, version: '1.1' })}`);
  return `${head.join('\n')}\n${documents.join('')}`;
}

if (import.meta.main) {
  const { values } = commandLine(HELP, { options: { image: { type: 'string' } } });
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string };
  process.stdout.write(installYaml(version, values.image));
}
