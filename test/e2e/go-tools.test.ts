import { execFile } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { goTools } from './support/goTools.ts';

/** What programs of others say of the project's files: actionlint of its workflows, kubeconform of its examples. */

const run = promisify(execFile);
const ROOT = new URL('../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'go-tools-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { actionlint, kubeconform } = await goTools('actionlint', 'kubeconform');

// A file needs a test: without the programs, this one is reported as skipped.
if (!actionlint && !kubeconform) test.skip('NOT RUN: the programs cannot be built on this machine', () => {});

if (actionlint) {
  describe('actionlint', () => {
    const workflows = globSync('.github/workflows/*.yml', { cwd: ROOT });
    test.each(workflows)('finds nothing in %s', async workflow => {
      // Without shellcheck and pyflakes, which are other programs.
      const args = ['-shellcheck=', '-pyflakes=', workflow];
      expect((await run(actionlint, args, { cwd: ROOT })).stdout).toBe('');
    });

    test('finds what is wrong', async () => {
      const path = join(folder, 'wrong.yml');
      writeFileSync(
        path,
        readFileSync(`${ROOT}.github/workflows/ci.yml`, 'utf8').replaceAll('github.ref', 'github.rf'),
      );
      await expect(run(actionlint, [path])).rejects.toMatchObject({ stdout: expect.stringContaining('"rf"') });
    });
  });
}

if (kubeconform) {
  describe('kubeconform with crds/schemas', () => {
    const schemas = `${ROOT}crds/schemas/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json`;
    const args = ['-strict', '-schema-location', schemas, '-skip', 'Namespace,SecretManagerSecret', '-summary'];
    const examples = globSync('examples/**/*.yaml', { cwd: ROOT }).map(path => join(ROOT, path));

    test('accepts every AiTenant of examples/', async () => {
      const tenants = examples.filter(path => readFileSync(path, 'utf8').includes('kind: AiTenant'));
      const { stdout } = await run(kubeconform, [...args, ...tenants]);
      expect(stdout).toMatch(/Valid: [1-9]\d*, Invalid: 0, Errors: 0/);
    });

    test.each([
      ['a field that there is not', 'region:', 'regoin:', /regoin|region/],
      ['a value of another type', 'maxInstances: 10', 'maxInstances: ten', /maxInstances/],
      ['another version', 'v1alpha1', 'v1', /could not find schema/],
    ])('refuses %s', async (_, from, to, message) => {
      const path = join(folder, 'tenant.yaml');
      writeFileSync(path, readFileSync(`${ROOT}examples/tenant-a.yaml`, 'utf8').replace(from, to));
      await expect(run(kubeconform, [...args, path])).rejects.toMatchObject({ stdout: expect.stringMatching(message) });
    });
  });
}
