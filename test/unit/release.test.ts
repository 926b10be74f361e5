import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { notes, pinned, problems } from '../../scripts/release.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const DIGEST = `sha256:${'a'.repeat(64)}`;
const IMAGE = `ghcr.io/me/aitenant-operator@${DIGEST}`;
const { version } = JSON.parse(file('package.json')) as { version: string };

interface Step {
  name?: string;
  id?: string;
  uses?: string;
  run?: string;
  env?: Record<string, string>;
  with?: Record<string, unknown>;
}
interface Workflow {
  permissions?: Record<string, string>;
  jobs: Record<string, { steps?: Step[]; uses?: string; env?: Record<string, string>; needs?: string | string[] }>;
}
const WORKFLOWS = globSync('.github/workflows/*.yml', { cwd: ROOT });
const stepsOf = (path: string) =>
  Object.values((parse(file(path)) as Workflow).jobs).flatMap(({ steps = [] }) => steps);

describe.each(WORKFLOWS)('%s', path => {
  test('pins every action by the hash of a commit, and names its version', () => {
    const uses = [...file(path).matchAll(/uses: (.*)/g)].map(([, action = '']) => action);
    const others = uses.filter(action => !/^[\w-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action));
    expect(others.filter(action => !action.startsWith('./.github/workflows/'))).toEqual([]);
  });

  test('gives a shell no expressions, only variables: a name of a tag or branch is never run', () => {
    for (const { run = '' } of stepsOf(path)) {
      expect(run).not.toContain('${{');
      expect(spawnSync('bash', ['-n'], { input: run, encoding: 'utf8' }).stderr).toBe('');
    }
  });

  test('allows reading only, where a job does not say more', () => {
    expect([{}, { contents: 'read' }]).toContainEqual((parse(file(path)) as Workflow).permissions);
  });
});

test('one action has one hash in all workflows', () => {
  const uses = WORKFLOWS.flatMap(path => stepsOf(path).flatMap(({ uses: action }) => action ?? []));
  const hashes = Map.groupBy(new Set(uses), action => action.split('@')[0]);
  expect([...hashes.values()].filter(all => all.length > 1)).toEqual([]);
});

describe('image.yml', () => {
  const steps = stepsOf('.github/workflows/image.yml');
  const at = (what: RegExp) => steps.findIndex(({ uses, run }) => what.test(uses ?? run ?? ''));
  const push = steps.findIndex(({ with: inputs }) => inputs?.push === true);

  test('scans before it publishes, and fails at HIGH', () => {
    expect(at(/scan-action/)).toBeLessThan(push);
    expect(steps[at(/scan-action/)]?.with).toMatchObject({ 'severity-cutoff': 'high', 'fail-build': true });
  });

  test('publishes two platforms with provenance and SBOM, then attests and signs the digest', () => {
    expect(steps[push]?.with).toMatchObject({
      platforms: 'linux/amd64,linux/arm64',
      provenance: 'mode=max',
      sbom: true,
    });
    const attested = steps.filter(({ uses }) => uses?.startsWith('actions/attest@'));
    expect(attested.map(({ with: inputs }) => inputs?.['sbom-path'])).toEqual([
      undefined,
      'sbom-amd64.spdx.json',
      'sbom-arm64.spdx.json',
    ]);
    for (const { with: inputs } of attested) expect(inputs?.['subject-digest']).toContain('steps.push.outputs.digest');
    expect(at(/^cosign sign/)).toBeGreaterThan(push);
  });

  test('pins the base image of each Dockerfile by its digest', () => {
    const { stdout, output } = carriedOut(
      steps.filter(({ id }) => id === 'names'),
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
});

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
    const paths = ['package.json', 'package-lock.json', 'CHANGELOG.md', 'scripts', 'charts', 'crds', 'manifests'];
    for (const path of [...paths, 'Dockerfile.backend', 'Dockerfile.operator']) {
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
    const { publish } = (parse(file('.github/workflows/release.yml')) as Workflow).jobs;
    const steps = (publish?.steps ?? []).filter(({ run = 'npm ci' }) => !run.startsWith('npm ci'));
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
      chart,
      'aitenant_v1alpha1.json',
      'install.yaml',
      'sbom.cdx.json',
    ]);
  });
}

describe('scripts/release.ts', () => {
  const changelog = '# Changelog\n\n## Unreleased\n\n## 1.0.0\n\nFirst.\n\n- More.\n\n## 0.9.0\n\nOlder.\n';
  const project = (changes: Record<string, string> = {}) => {
    const files: Record<string, string> = {
      'package.json': '{ "version": "1.0.0" }',
      'charts/aitenant-operator/Chart.yaml': 'version: 1.0.0\nappVersion: 1.0.0\n',
      'CHANGELOG.md': changelog,
      ...changes,
    };
    return (path: string) => files[path] ?? '';
  };

  test('the notes are the section of the version, and the images', () => {
    expect(notes(changelog, '1.0.0', [IMAGE])).toBe(
      `First.\n\n- More.\n\n## Images\n\n- \`${IMAGE}\`\n\ndocs/verify.md says how to verify the signatures and the SBOMs.\n`,
    );
    expect(() => notes(changelog, '2.0.0', [])).toThrow('CHANGELOG.md says nothing of version 2.0.0');
    expect(notes(file('CHANGELOG.md'), version, [])).toContain('The first version');
  });

  test('a tag is released if package.json, the chart and the changelog have its version', () => {
    expect(problems('v1.0.0', project())).toEqual([]);
    expect(problems('v1.0.1', project())).toEqual(['The tag is v1.0.1, but package.json has the version 1.0.0.']);
    const chart = { 'charts/aitenant-operator/Chart.yaml': 'version: 1.0.0\nappVersion: 0.9.0\n' };
    expect(problems('v1.0.0', project(chart))).toEqual(['Chart.yaml has the appVersion 0.9.0 instead of 1.0.0.']);
    const forgotten = { 'CHANGELOG.md': '\n## Unreleased\n\nSomething.\n' };
    expect(problems('v1.0.0', project(forgotten))).toEqual([
      'CHANGELOG.md says nothing of version 1.0.0.',
      'CHANGELOG.md has unreleased changes.',
    ]);
  });

  test('the values of the chart get repository and digest, and stay as they are otherwise', () => {
    const values = file('charts/aitenant-operator/values.yaml');
    const changed = pinned(values, IMAGE).split('\n');
    const before = values.split('\n');
    expect(changed.filter((line, at) => line !== before[at])).toEqual([
      '  repository: "ghcr.io/me/aitenant-operator"',
      `  digest: "${DIGEST}"`,
    ]);
    expect(() => pinned(values, 'aitenant-operator:0.1.0')).toThrow(
      'aitenant-operator:0.1.0 is not REPOSITORY@sha256:…',
    );
  });
});

test('a release builds every image that cloudbuild.yaml builds', () => {
  const { jobs } = parse(file('.github/workflows/release.yml')) as Workflow;
  const built = Object.values(jobs).flatMap(job =>
    'with' in job ? [(job as { with: { dockerfile: string } }).with] : [],
  );
  const dockerfiles = readdirSync(ROOT).filter(name => name.startsWith('Dockerfile.'));
  expect(built.map(({ dockerfile }) => dockerfile).sort()).toEqual(dockerfiles.sort());
});
