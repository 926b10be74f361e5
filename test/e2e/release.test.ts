import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

/**
 * The commands of the release workflows, carried out in a copy of the project with stand-ins for docker, helm, cosign, oras and gh.
 * test/unit/release.test.ts reads the workflows.
 */

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const DIGEST = `sha256:${'a'.repeat(64)}`;
const IMAGE = `ghcr.io/me/aitenant-operator@${DIGEST}`;
const { version } = JSON.parse(file('package.json')) as { version: string };

interface Step {
  id?: string;
  run?: string;
  env?: Record<string, string>;
}
/** The steps of one job of a workflow. */
const stepsOf = (workflow: string, job: string) =>
  (parse(file(`.github/workflows/${workflow}`)) as { jobs: Record<string, { steps: Step[] }> }).jobs[job]?.steps ?? [];

/** The programs of others, as stand-ins that note how they are called. `helm package` and `helm push` do as much as the script needs. */
const STAND_INS: Record<string, string> = {
  docker: `echo ${DIGEST}`,
  cosign: ':',
  oras: `echo ${DIGEST}`,
  gh: ':',
  helm: [
    'case $1 in',
    `  package) cp "$2/values.yaml" "$4/aitenant-operator-${version}.tgz" ;;`,
    `  push) echo "Digest: ${DIGEST}" >&2 ;;`,
    'esac',
  ].join('\n'),
};

/** Carries out the commands of steps in a copy of the project, and answers with what they called, wrote and set as outputs. */
function carriedOut(steps: Step[], env: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'release-'));
  try {
    const bin = join(folder, 'bin');
    const work = join(folder, 'work');
    for (const path of [bin, work]) mkdirSync(path);
    const files = ['package.json', 'package-lock.json', 'CHANGELOG.md', 'LICENSE', 'Dockerfile.backend', 'docs/cli.md'];
    const folders = ['scripts', 'charts', 'crds', 'manifests', 'operator', 'ports', 'schema'];
    for (const path of [...files, ...folders]) {
      cpSync(join(ROOT, path), join(work, path), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(work, 'node_modules'));
    for (const [name, script] of Object.entries(STAND_INS)) {
      writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >> "${folder}/called"\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    writeFileSync(join(folder, 'called'), '');
    let stdout = '';
    for (const { run = '', env: own = {} } of steps) {
      const known = Object.fromEntries(Object.entries(own).filter(([, value]) => !value.includes('${{')));
      stdout += execFileSync('bash', ['-euo', 'pipefail', '-c', run], {
        cwd: work,
        encoding: 'utf8',
        env: {
          PATH: [bin, join(ROOT, 'node_modules/.bin'), process.env.PATH].join(delimiter),
          GITHUB_OUTPUT: join(folder, 'output'),
          HOME: folder,
          ...known,
          ...env,
        },
      });
    }
    const read = (path: string) => readFileSync(path, 'utf8');
    const dist = join(work, 'dist');
    return {
      stdout,
      called: read(join(folder, 'called')).trim().split('\n'),
      output: globSync(join(folder, 'output')).flatMap(path => read(path).trim().split('\n')),
      files: Object.fromEntries(
        globSync(join(dist, '*'))
          .concat(globSync(join(work, 'notes.md')))
          .map(path => [path.split('/').at(-1), read(path)]),
      ),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
if (!hasKubectl) console.warn('NOT RUN: kubectl is not installed, so the last job of release.yml is not carried out');

if (hasKubectl) {
  test('the last job of release.yml publishes chart, install.yaml and release with the image by its digest', () => {
    const steps = stepsOf('release.yml', 'publish').filter(({ run = 'npm ci' }) => !run.startsWith('npm ci'));
    const backend = `ghcr.io/me/ai-backend@${DIGEST}`;

    const { called, files } = carriedOut(steps, {
      OPERATOR: IMAGE,
      BACKEND: backend,
      TAG: `v${version}`,
      OWNER: 'Me',
      GH_TOKEN: 'none',
      GH_REPO: 'me/aitenant-operator',
    });

    const chart = `aitenant-operator-${version}.tgz`;
    expect(called.map((line: string) => line.replace(/--notes-file.*/, '…'))).toEqual([
      'helm package charts/aitenant-operator --destination dist',
      'cosign sign-blob --yes --bundle dist/checksums.txt.sigstore.json dist/checksums.txt',
      `helm push dist/${chart} oci://ghcr.io/me/charts`,
      `cosign sign --yes ghcr.io/me/charts/aitenant-operator@${DIGEST}`,
      expect.stringContaining(`oras push ghcr.io/me/aitenant-install:${version} `),
      `cosign sign --yes ghcr.io/me/aitenant-install@${DIGEST}`,
      `gh release create v${version} --verify-tag --title v${version} …`,
    ]);
    expect(files['install.yaml']).toContain(`image: ${IMAGE}\n`);
    expect(parse(files[chart] ?? '').image).toMatchObject({ repository: IMAGE.split('@')[0], digest: DIGEST });
    expect(files['notes.md']).toContain(`- \`${IMAGE}\`\n- \`${backend}\`\n`);
    expect(JSON.parse(files['sbom.cdx.json'] ?? '')).toMatchObject({ bomFormat: 'CycloneDX' });
    const listed = (files['checksums.txt'] ?? '').trim().split('\n');
    expect(listed.map((line: string) => line.split(/\s+/)[1])).toEqual([
      `aitenant-${version}.tgz`,
      chart,
      'aitenant_v1alpha1.json',
      'install.yaml',
      'sbom.cdx.json',
    ]);
  });
}

test('image.yml pins the base image of each Dockerfile by its digest', () => {
  const { stdout, output } = carriedOut(
    stepsOf('image.yml', 'image').filter(({ id }) => id === 'names'),
    {
      OWNER: 'Me',
      NAME: 'ai-backend',
      DOCKERFILE: 'Dockerfile.backend',
      TAG: `v${version}`,
    },
  );
  expect(stdout).toBe('');
  const [, node] = /^ARG NODE_IMAGE=(.*)$/m.exec(file('Dockerfile.backend')) ?? [];
  expect(output).toEqual([`repository=ghcr.io/me/ai-backend`, `version=${version}`, `node=${node}@${DIGEST}`]);
});
