import { spawnSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
});

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
