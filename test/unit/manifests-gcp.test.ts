import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import { permissionFor } from '../../sandbox/gcp/iam/permissions.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const shown = (command: string, env = {}) =>
  execFileSync('sh', ['-euc', command], { encoding: 'utf8', env: { PATH: process.env.PATH, ...env } });
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
if (!hasKubectl) console.warn('NOT RUN: kubectl is not installed, so the overlay of setup.sh is not built');

/** Asked for beside a method's own: who deploys a service that runs as an account acts as that account. */
const BESIDE: Partial<Record<keyof typeof rpc, string>> = {
  createService: 'iam.serviceAccounts.actAs',
  updateService: 'iam.serviceAccounts.actAs',
};

/** What names a method without calling it: the table itself, what its errors mean, how it is put on the wire; and the tools of people. */
const NO_CALL = /^(gcp\/(methods|errors|rest|client)\.ts|cli\/)/;

/** The methods that the operator's sources call. */
function called(): (keyof typeof rpc)[] {
  const sources = readdirSync(new URL('../../operator/', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts') && !NO_CALL.test(path))
    .map(path => file(`operator/${path}`));
  const names = Object.keys(rpc) as (keyof typeof rpc)[];
  return names.filter(name => sources.some(text => new RegExp(`\\brpc\\.${name}\\b`).test(text)));
}

describe('the custom role', () => {
  const { includedPermissions } = parse(file('manifests/gcp/role.yaml')) as { includedPermissions: string[] };

  test('holds the permissions of the calls that the operator makes, and no other', () => {
    const needed = called().flatMap(name =>
      [permissionFor(rpc[name]) ?? `none known for ${name}`, BESIDE[name] ?? []].flat(),
    );
    expect(includedPermissions).toEqual([...new Set(needed)].sort());
  });

  test('lets nobody read a key, make a secret or a service account’s key, or become an account', () => {
    const never =
      /versions\.access|secrets\.(create|delete)|serviceAccountKeys|getAccessToken|signBlob|signJwt|setIamPolicy$/;
    expect(includedPermissions.filter(name => never.test(name))).toEqual([
      // Rule 1 of the contract holds what these write to one member; IAM can't be asked for less.
      'run.services.setIamPolicy',
      'secretmanager.secrets.setIamPolicy',
    ]);
  });

  test('is the same in Terraform', () => {
    const [, list = ''] = /permissions = \[([^\]]*)\]/.exec(file('manifests/gcp/terraform/main.tf')) ?? [];
    expect([...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name)).toEqual(includedPermissions);
  });

  test('every method that may leave the process is one of the three APIs that setup.sh enables', () => {
    const enabled = /services enable ([^-]*)--/.exec(file('manifests/gcp/setup.sh'))?.[1]?.trim().split(/\s+/);
    const used = new Set([...METHODS.values()].map(({ api }) => `${api}.googleapis.com`));
    expect(new Set(enabled)).toEqual(used);
  });
});

describe('setup.sh', () => {
  /** The commands that it gives gcloud; `there`: what it looks for is there already. */
  function run(args: string[], there: boolean, env: Record<string, string> = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'setup-'));
    const gcloud = join(folder, 'gcloud');
    writeFileSync(
      gcloud,
      `#!/bin/sh\necho "$*" >> "${folder}/log"\ncase "$*" in *" describe "*) exit ${there ? 0 : 1} ;; esac\n`,
    );
    chmodSync(gcloud, 0o755);
    writeFileSync(join(folder, 'log'), '');
    // The script writes an overlay beside the manifests.
    for (const name of ['manifests', 'crds']) cpSync(`${ROOT}${name}`, join(folder, name), { recursive: true });
    const overlay = join(folder, 'manifests/my-cluster/kustomization.yaml');
    if (there) {
      mkdirSync(dirname(overlay));
      writeFileSync(overlay, '# mine\n');
    }
    const script = join(folder, 'manifests/gcp/setup.sh');
    const PATH = `${folder}${delimiter}${process.env.PATH}`;
    const { status, stdout, stderr } = spawnSync(script, args, { env: { PATH, ...env }, encoding: 'utf8' });
    const commands = readFileSync(join(folder, 'log'), 'utf8').trim().split('\n');
    const last = stdout.trim().split('\n').at(-1) ?? '';
    const written = existsSync(overlay) ? readFileSync(overlay, 'utf8') : undefined;
    // As printed, but kubectl prints what it would apply.
    const built =
      hasKubectl && status === 0 && !there ? shown(last.replace('kubectl apply -k', 'kubectl kustomize')) : '';
    rmSync(folder, { recursive: true });
    return {
      status,
      stderr,
      last,
      overlay,
      written,
      built,
      writes: commands.filter(line => !line.includes(' describe ')),
    };
  }
  const short = (writes: string[]) => writes.map(command => command.split(' --')[0]?.split(' ').slice(0, 4).join(' '));

  test('makes account, role and bindings, the role in every project', () => {
    const { status, writes } = run(['ops', 'tenants-1'], false);
    expect(status).toBe(0);
    expect(writes.filter(command => command.startsWith('iam roles create'))).toEqual([
      expect.stringContaining('--project=ops --file='),
      expect.stringContaining('--project=tenants-1 --file='),
    ]);
    expect(writes).toContainEqual(
      'projects add-iam-policy-binding tenants-1 --condition=None --format=none ' +
        '--member=serviceAccount:aitenant-operator@ops.iam.gserviceaccount.com --role=projects/tenants-1/roles/aitenantOperator',
    );
    expect(writes.at(-1)).toContain('--member=serviceAccount:ops.svc.id.goog[aitenant-system/aitenant-operator]');
  });

  test('lets the operator download private images from the repositories that are named, and from nowhere else', () => {
    const repositories = 'images/asia-northeast1/tenants images/us-central1/others';
    const { status, writes } = run(['ops'], false, { IMAGE_REPOSITORIES: repositories });
    expect(status).toBe(0);
    const member = '--member=serviceAccount:aitenant-operator@ops.iam.gserviceaccount.com';
    const reading = (command: string) => command.includes('artifactregistry');
    expect(writes.filter(reading)).toEqual([
      `artifacts repositories add-iam-policy-binding tenants --project=images --location=asia-northeast1 --format=none ${member} --role=roles/artifactregistry.reader`,
      `artifacts repositories add-iam-policy-binding others --project=images --location=us-central1 --format=none ${member} --role=roles/artifactregistry.reader`,
    ]);
    expect(run(['ops'], false).writes.filter(reading)).toEqual([]);
  });

  test.each([
    'tenants',
    'images/tenants',
    'a/b/c/d',
    '/b/c',
    'a//c',
    'a/b/',
    'asia-northeast1-docker.pkg.dev/images/tenants/app',
  ])(
    'with a repository that is no PROJECT/LOCATION/REPOSITORY (%s) makes nothing and says what to write',
    repository => {
      const { status, stderr, writes } = run(['ops'], false, {
        IMAGE_REPOSITORIES: `images/us-central1/good ${repository}`,
      });
      expect([status, writes]).toEqual([2, ['']]);
      expect(stderr).toContain(`'${repository}': write PROJECT/LOCATION/REPOSITORY`);
    },
  );

  test('run again, creates nothing and brings the role up to date', () => {
    const { status, writes } = run(['ops'], true, { WORKLOAD_POOL: 'other.svc.id.goog' });
    expect(status).toBe(0);
    expect(short(writes)).toEqual([
      'services enable run.googleapis.com secretmanager.googleapis.com',
      'iam roles update aitenantOperator',
      'projects add-iam-policy-binding ops',
      'iam service-accounts add-iam-policy-binding aitenant-operator@ops.iam.gserviceaccount.com',
    ]);
    expect(writes.at(-1)).toContain('serviceAccount:other.svc.id.goog[');
  });

  test('ends with a command that applies an overlay of the project, as the README shows it', () => {
    const { last, overlay, written, built } = run(['ops', 'tenants-1'], false);
    expect(last).toBe(`kubectl apply -k '${dirname(overlay)}'`);
    const { version } = JSON.parse(file('package.json')) as { version: string };
    expect(written).toContain(`newTag: ${version} }`);
    const [, heredoc] = /kustomization\.yaml (<<EOF\n[\s\S]*?\nEOF\n)/.exec(file('README.md')) ?? [];
    const IMAGE = 'asia-northeast1-docker.pkg.dev/ops/platform/aitenant-operator';
    const OPERATOR = 'aitenant-operator@ops.iam.gserviceaccount.com';
    expect(written).toBe(shown(`cat ${heredoc}`, { IMAGE, OPERATOR, PROJECT: 'ops' }));
    if (!hasKubectl) return;
    expect(built).not.toContain('@PROJECT.');
    // biome-ignore lint/suspicious/noExplicitAny: the assertions say what is expected
    const objects = parseAllDocuments(built).map(document => document.toJS() as any);
    const one = (kind: string) => objects.find(object => object.kind === kind);
    expect(one('ServiceAccount').metadata.annotations).toEqual({ 'iam.gke.io/gcp-service-account': OPERATOR });
    expect(one('Deployment').spec.template.spec.containers[0]).toMatchObject({
      image: `${IMAGE}:${version}`,
      args: ['--leader-elect', '--project=ops'],
    });
    expect(JSON.stringify(one('NetworkPolicy').spec.egress)).toContain('{"ports":[{"port":988,"protocol":"TCP"}]}');
  });

  test('writes the image that IMAGE names, and leaves an overlay that exists as it is', () => {
    expect(run(['ops'], false, { IMAGE: 'ghcr.io/me/aitenant-operator' }).written).toContain(
      'newName: ghcr.io/me/aitenant-operator,',
    );
    expect(run(['ops'], true)).toMatchObject({ status: 0, written: '# mine\n' });
  });

  test.each([[''], ['--help'], ['ops', ''], ['ops', 'my project'], ['ops"'], ['Ops']])(
    'with something else than project IDs (%j %j) makes nothing and says how it is used',
    (...args) => {
      const { status, stderr, writes, written } = run(args.flat(), false);
      expect([status, writes, written]).toEqual([2, [''], undefined]);
      expect(stderr).toMatch(/is not a project ID\. .*setup\.sh PROJECT/);
    },
  );

  test.each(['r.example/a:1.0', 'localhost:5000/a:v1', 'r.example/a@sha256:0'])(
    'with an IMAGE that has a tag or a digest (%s) makes nothing and says so',
    IMAGE => {
      const { status, stderr, writes } = run(['ops'], false, { IMAGE });
      expect([status, writes]).toEqual([2, ['']]);
      expect(stderr).toContain('without its tag and its digest');
    },
  );

  test('without a project says how it is used', () => {
    const { status, stderr, writes } = run([], false);
    expect([status, writes]).toEqual([2, ['']]);
    expect(stderr).toContain('setup.sh PROJECT');
  });
});
