import { execFile, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { localCurl } from './support/localCurl.ts';
import { givenPorts, givenState, sandbox } from './support/sandboxProcess.ts';

/** The commands of every page that is no guide (those are in examples.test.ts), as a reader types them beside a sandbox. */

const ROOT = new URL('../../', import.meta.url).pathname;
const PATH = `${process.env.PATH}:/usr/lib/google-cloud-sdk/bin`;
const MISSING = ['kubectl', 'gcloud', 'curl', 'bash'].filter(
  tool => spawnSync('sh', ['-c', `command -v ${tool}`], { env: { PATH } }).status !== 0,
);
if (MISSING.length > 0) console.warn(`${MISSING.join(', ')}: not installed, so the pages' commands are not tested`);

/** What is not run here: the beginning of a block or of a line, and why. */
const ELSEWHERE: [begins: string, why: string][] = [
  ['npm run sandbox\n', 'sandbox.test.ts starts it'],
  ['npm run sandbox   #', 'sandbox.test.ts; npm test is what runs this'],
  ['npm run check', 'the checks of this repository themselves'],
  ['npm run bench', 'takes minutes and asserts nothing'],
  ['npm run acceptance', 'needs a project of Google Cloud; acceptance.test.ts runs it on a local one'],
  ['gcloud auth application-default login\nnpm run acceptance', 'the same'],
  ['. .sandbox/env\nnpm run acceptance', 'the same'],
  ['npm run sandbox -- --no-demo\n', 'sandbox.test.ts starts it'],
  ['PROJECT=my-project\nOPERATOR=', 'the same commands as manifests/gcp/setup.sh, which manifests-gcp.test.ts runs'],
  ['PROJECT=my-project\nmanifests/gcp/setup.sh', 'manifests-gcp.test.ts'],
  ['IMAGE=', 'needs a Docker engine and a registry; images.test.ts runs the stages of the Dockerfiles'],
  ['docker buildx', 'the same'],
  ['npm version --no-git-tag-version', 'publishes a release; release.test.ts runs scripts/release.ts'],
  [
    'helm upgrade --install',
    'needs a Deployment; helm.test.ts runs it with the chart of this clone on a real kube-apiserver',
  ],
  ['kubectl apply -f install.yaml', 'install.test.ts, on a real kube-apiserver'],
  ['kubectl delete namespace,clusterrole', 'the same'],
  ['kubectl get crd aitenants.ai-platform.dev -o', 'needs a CRD of two versions; api-versions.test.ts'],
  ['OWNER=my-organization', 'docs/verify.md needs a published release'],
  ['gh ', 'the same'],
  ['helm pull', 'the same'],
  ['gcloud builds submit', 'needs Cloud Build; docs.test.ts reads cloudbuild.yaml'],
  ['gcloud artifacts repositories', 'needs Artifact Registry'],
  ['gcloud container clusters', 'needs GKE'],
  ['kind create cluster', 'needs a Docker engine; envtest.test.ts has --kube=current'],
  ['minikube start', 'the same'],
  ['export KUBEBUILDER_ASSETS=', 'npm run test:envtest in .ci/run'],
  ['kubectl apply --server-side --field-manager=aitenant', 'needs Argo CD; argocd-apply.test.ts applies these files'],
  ['kubectl apply -k manifests/monitoring', 'argocd-apply.test.ts, on a real kube-apiserver'],
  ['kubectl apply -k manifests/policies', 'policies.test.ts applies these files to a real kube-apiserver'],
  ['kubectl delete -k manifests/overlays/gke', 'a Deployment, which the local API has not'],
  ['kubectl scale -n aitenant-system', 'the same'],
  [
    'kubectl delete aitenants --all --all-namespaces\nkubectl delete -k manifests/my-cluster',
    'docs/operations.md has the first, too',
  ],
  ['kubectl logs -n aitenant-system', 'the same'],
  ['kubectl rollout restart -n aitenant-system', 'the same'],
  ['kubectl exec -n aitenant-system', 'images.test.ts runs the command in the image'],
  ['npm run bundle -- --package', 'cli.test.ts installs the package elsewhere'],
  ['kubectl rollout undo -n aitenant-system', 'the same'],
  ['# incident: ', 'takes away what the other blocks need; life-rotation, suspend and ownership tests do the same'],
  ['kubectl get aitenants -A -o yaml', 'the restore needs the Deployment, which the local API has not'],
  ['--cluster-id=prod-tokyo', 'no command; docs.test.ts gives it to the operator'],
];

const elsewhere = (text: string) => ELSEWHERE.find(([begins]) => text.startsWith(begins));

/** A page's blocks of commands. */
function blocksOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, language = '']) => ['', 'sh'].includes(language))
    .map(([, , code = '']) => code);
}

/** Of what can be run here, the lines. */
const here = (block: string): string =>
  elsewhere(block)
    ? ''
    : block
        .split('\n')
        .filter(line => !elsewhere(line))
        .join('\n');

/** A page, what is done before its commands, what is written for its placeholders, and what must come of it. */
interface Read {
  page: string;
  /** Only these blocks, by how they begin. */
  blocks?: string[];
  before?: string;
  given?: Record<string, string>;
  after?: string;
  prints?: (string | RegExp)[];
}

const NEW_TENANT = `
kubectl delete aitenant tenant-a
gcloud secrets delete tenant-a-openai-key --quiet
PROJECT=demo-project
OPENAI_API_KEY=sk-sandbox-new
`;
const SERVICES =
  'curl -sf "$CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"v2/projects/demo-project/locations/asia-northeast1/services';
const GONE = `
accounts=$(gcloud iam service-accounts list --format='value(email)')
test -z "$(grep sa-tenant-a <<< "$accounts")"
services=$(${SERVICES})
test -z "$(grep ai-platform <<< "$services")"
`;

const READS: Read[] = [
  {
    page: 'README.md',
    blocks: ['export KUBECONFIG'],
    prints: [
      'UpToDate',
      'roles/secretmanager.secretAccessor',
      'Service ai-platform-tenant-a',
      '{"status":"ok"}',
      /KIND: +AiTenant/,
    ],
  },
  {
    page: 'README.md',
    blocks: ['printf %s', 'kubectl get aitenants -o wide'],
    before: NEW_TENANT,
    prints: ['condition met', 'Google Cloud matches the spec.'],
  },
  {
    page: 'docs/cli.md',
    // npm runs in the repository's folder.
    before: 'export KUBECONFIG=$PWD/.sandbox/kubeconfig',
    prints: [/^tenant-a +ready +UpToDate/m, /done +service account +sa-tenant-a@/, '"state": "ready"'],
  },
  { page: 'docs/concepts.md', prints: ['reason: UpToDate', 'inventory:', 'Events:'] },
  { page: 'README.ja.md', prints: ['UpToDate', 'sa-tenant-a@', '{"status":"ok"}'] },
  {
    page: 'docs/ja/first-tenant.md',
    before: NEW_TENANT,
    prints: ['condition met', '{"status":"ok"}', 'heard: こんにちは', 'Nothing is left to import'],
  },
  {
    page: 'docs/manual.md',
    before: NEW_TENANT,
    given: {
      'my-project': 'demo-project',
      'plan -- -f "${TMPDIR:-/tmp}/tenants.yaml"': 'plan -- -f $TMPDIR/tenants.yaml || test $? = 2',
    },
    prints: ['heard: hello from b', 'heard: hello from a', 'Adopt', /DriftCorrected.*memory/, /^.*\/ai-backend:next$/m],
    after: 'kubectl delete aitenant tenant-b && gcloud secrets delete tenant-b-openai-key --quiet',
  },
  {
    page: 'docs/runbook.md',
    given: { SECRET: 'tenant-a-openai-key', PROJECT: 'demo-project', NAMESPACE: 'default', NAME: 'tenant-a' },
    prints: [/1 UpToDate/, /ENABLED|enabled/],
    // The last of them would have the tenant abandoned.
    after: 'kubectl annotate aitenant tenant-a ai-platform.dev/deletion-policy-',
  },
  {
    page: 'docs/security.md',
    blocks: ['npm run guardrail'],
    given: {
      'my-project': 'demo-project',
      '--check': '--check || test $? = 2',
      'breakglass@example.com': 'breakglass@example.com',
    },
  },
  {
    page: 'docs/upgrading.md',
    blocks: ['kubectl apply --server-side --force-conflicts -f crds'],
    // As step 1 of the page says.
    before: "kubectl get aitenants -A -o yaml | sed '/^ *resourceVersion:/d' > aitenants.yaml",
    prints: ['aitenants.ai-platform.dev serverside-applied', 'tenant-a replaced'],
  },
  {
    page: 'docs/settings.md',
    // examples.test.ts brings these examples up.
    prints: ['tenant-i created', 'tenant-v created', 'tenant-g created', 'tenant-k created', 'tenant-o created'],
    after: 'kubectl delete aitenant tenant-i tenant-v tenant-g tenant-k tenant-o --wait=false',
  },
  { page: 'docs/reliability.md', prints: ['0 failed', 'passed'] },
  {
    page: 'docs/policies.md',
    prints: [/^NAMESPACE +NAME +REGION +IMAGE +ACCESS +MAX$/m, /^default +tenant-a +asia-/m],
  },
  {
    page: 'docs/operations.md',
    blocks: ['kubectl annotate aitenant tenant-a'],
    prints: ['annotated'],
  },
  {
    page: 'docs/operations.md',
    blocks: ['kubectl patch'],
    after: `
test "$(kubectl get aitenant tenant-a -o jsonpath='{.spec.suspend}')" = true
kubectl patch aitenant tenant-a --type=merge -p '{"spec":{"suspend":false}}'
`,
  },
  {
    page: 'docs/operations.md',
    blocks: ['kubectl get aitenants -A -o jsonpath'],
    prints: ['aitenant.ai-platform.dev/tenant-a patched'],
    // The operator is there, and puts it back.
    after:
      'until kubectl get aitenant tenant-a -o jsonpath={.metadata.finalizers} | grep ai-platform; do sleep 0.2; done',
  },
  { page: 'docs/operations.md', blocks: ['kubectl delete aitenants'], after: GONE },
  {
    page: 'docs/operations.md',
    blocks: ['kubectl delete crd'],
    before: `
kubectl apply -f examples/tenant-a.yaml
kubectl wait --for=condition=Ready aitenant/tenant-a --timeout=1m
`,
    after: `
services=$(${SERVICES})
grep -q /services/ai-platform-tenant-a <<< "$services"
test -z "$(grep ai-tenant-owner <<< "$services")"
`,
  },
];

/** All pages that may show commands; the guides are in examples.test.ts. */
const GUIDES = /docs\/(rotation|rollouts|region-move|config-connector|plan|drift|projects|import|identity)\.md$/;
const PAGES = ['README.md', 'README.ja.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'bench/README.md'].concat(
  readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.md'))
    .map(path => `docs/${path}`)
    // Its commands are the tests, the simulation and the figures of this repository, which .ci/run runs.
    .filter(path => path !== 'docs/development.md')
    // docs.test.ts compares the blocks of a translation with those of the English page.
    .filter(path => !(path.startsWith('docs/ja/') && existsSync(join(ROOT, path.replace('ja/', '')))))
    .filter(path => !GUIDES.test(path)),
);

test('every block of commands is run here, or it is said where or why not', () => {
  const left = PAGES.flatMap(page =>
    blocksOf(page)
      .filter(block => here(block).trim() !== '')
      .filter(
        block =>
          !READS.some(read => read.page === page && (!read.blocks || read.blocks.some(b => block.startsWith(b)))),
      )
      .map(block => `${page}: ${block}`),
  );
  expect(left).toEqual([]);
  const all = PAGES.flatMap(blocksOf);
  const lines = all.flatMap(block => [block, ...block.split('\n')]);
  expect(ELSEWHERE.filter(([begins]) => !lines.some(line => line.startsWith(begins)))).toEqual([]);
});

describe.skipIf(MISSING.length > 0)('the commands of', () => {
  test('all other pages do what the pages say, beside one sandbox', { timeout: 240_000 }, async () => {
    const state = await givenState();
    const folder = mkdtempSync(join(tmpdir(), 'reader-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    symlinkSync(state, join(folder, '.sandbox'));
    for (const name of ['crds', 'examples', 'manifests']) symlinkSync(join(ROOT, name), join(folder, name));
    mkdirSync(join(folder, 'home'));
    localCurl(folder);
    const run = sandbox(['--state', state, '--port-base', String(await givenPorts())]);
    await expect.poll(run.output, { timeout: 60_000 }).toContain('Ctrl-C stops everything.');

    for (const { page, blocks, before = '', given = {}, after = '', prints = [] } of READS) {
      const text = readFileSync(join(ROOT, page), 'utf8');
      const [, manifest] = /```yaml\n(apiVersion: ai-platform[\s\S]*?)```/.exec(text) ?? [];
      if (manifest) writeFileSync(join(folder, 'tenant-a.yaml'), manifest);
      let commands = blocksOf(page)
        .filter(block => !blocks || blocks.some(begins => block.startsWith(begins)))
        .map(here)
        .join('\n');
      for (const [word, value] of Object.entries(given)) commands = commands.replaceAll(word, value);
      expect(commands.trim(), page).not.toBe('');
      const { code, out } = await bash(folder, `${before}\n${commands}\n${after}`);
      expect(code, `${page}: ${commands}\n${out}`).toBe(0);
      for (const what of prints) {
        if (typeof what === 'string') expect(out, page).toContain(what);
        else expect(out, page).toMatch(what);
      }
    }
  });
});

/** As a reader's terminal does, from the repository's folder, `npm` included; it ends at the first command that fails. */
function bash(folder: string, script: string): Promise<{ code: number; out: string }> {
  const prelude = `set -e -o pipefail
export KUBECONFIG=.sandbox/kubeconfig
source .sandbox/env
npm() { (cd ${ROOT} && command npm "$@"); }
`;
  const env = { PATH: `${join(folder, 'bin')}:${PATH}`, HOME: join(folder, 'home'), TMPDIR: folder, NO_COLOR: '1' };
  return new Promise(resolve =>
    execFile('bash', ['-c', prelude + script], { cwd: folder, env, timeout: 110_000 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    ),
  );
}
