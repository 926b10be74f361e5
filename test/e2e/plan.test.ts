import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { JsonObject } from '../../operator/ports.ts';
import { createWorld, PROJECT, spec, type World } from './support/world.ts';

let world: World;
let folder: string;
let colours = false;
beforeEach(async () => {
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'plan-'));
});
afterEach(() => world.close());

const manifest = (name: string, over: JsonObject = {}) => ({
  apiVersion: 'ai-platform.dev/v1alpha1',
  kind: 'AiTenant',
  metadata: { name },
  spec: spec(over),
});

function file(name: string, ...documents: object[]): string {
  const path = join(folder, name);
  writeFileSync(path, documents.map(document => stringify(document)).join('---\n'));
  return path;
}

function plan(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const env = {
    ...process.env,
    NO_COLOR: colours ? undefined : '1',
    FORCE_COLOR: colours ? '1' : undefined,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: world.gcpUrl,
  };
  const child = spawn(process.execPath, ['operator/cli/planCommand.ts', ...args], { env });
  let [out, err] = ['', ''];
  child.stdout.on('data', chunk => {
    out += chunk;
  });
  child.stderr.on('data', chunk => {
    err += chunk;
  });
  return new Promise(resolve => child.on('close', code => resolve({ code, out, err })));
}

describe('npm run plan', () => {
  test('shows what a new tenant would get, and writes nothing', async () => {
    await world.secret('tenant-a-openai-key');
    world.gcpCore.counters.reset();

    const { code, out } = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);

    expect(out).toContain(`+ Create service account sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`);
    expect(out).toContain('+ Grant secret tenant-a-openai-key');
    expect(out).toContain('+ Create Cloud Run service ai-platform-tenant-a in asia-northeast1');
    expect(out).toContain('Plan: 3 to add, 0 to change, 0 to remove.');
    expect(code).toBe(2);
    expect(world.gcpCore.counters.writes).toBe(0);
  });

  test('agrees with the operator: nothing to do for a tenant that is up to date, field by field for an edit', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');

    const same = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);
    const edited = await plan(
      '-f',
      file('b.yaml', manifest('tenant-a', { timeoutSeconds: 60, scaling: { maxInstances: 3 } })),
      '--project',
      PROJECT,
    );

    expect(same).toMatchObject({ code: 0 });
    expect(same.out).toContain('Nothing to change.');
    expect(edited.code).toBe(2);
    expect(edited.out).toContain('timeoutSeconds: 300s → 60s');
    expect(edited.out).toContain('scaling.maxInstances: 10 → 3');
  });

  test('shows revocations where the manifest carries its status', async () => {
    await world.secret('tenant-a-openai-key');
    await world.secret('backup');
    const keys = [...(spec().keys as JsonObject[]), { name: 'backup', secretRef: { external: 'backup' } }];
    await world.apply('tenant-a', spec({ keys }));
    await world.ready('tenant-a');
    const live = (await world.tenant('tenant-a')) as unknown as JsonObject;

    const { out, code } = await plan(
      '-f',
      file('a.yaml', { ...live, spec: spec() }),
      '--project',
      PROJECT,
      '-o',
      'json',
    );

    expect(code).toBe(2);
    expect(JSON.parse(out).tenants[0].steps).toEqual([
      expect.objectContaining({ action: 'Revoke', target: 'secret backup' }),
    ]);
  });

  test('shows a move as it will go: the new service first, the old one deleted once its time has come', async () => {
    await world.restart({ regionMoveGraceMs: 0 });
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const live = (await world.tenant('tenant-a')) as unknown as JsonObject;
    const moving = { ...live, spec: spec({ region: 'europe-west1' }) };

    const later = await plan('-f', file('later.yaml', moving), '--project', PROJECT);
    const { out } = await plan('-f', file('now.yaml', moving), '--project', PROJECT, '--region-move-grace', '0s');

    expect(later.out).toContain('+ Create Cloud Run service ai-platform-tenant-a in europe-west1');
    expect(later.out).toMatch(/The former Cloud Run service ai-platform-tenant-a in asia-northeast1 .* stay until/);
    expect(out).toMatch(
      /\+ Create Cloud Run service .* in europe-west1.*- Delete Cloud Run service .* in asia-northeast1/s,
    );
    expect(out).toContain('Plan: 1 to add, 0 to change, 1 to remove.');
  });

  test('has colours where they are asked for, as a terminal does, and none in a file', async () => {
    await world.secret('tenant-a-openai-key');
    const path = file('a.yaml', manifest('tenant-a'));
    const plain = await plan('-f', path, '--project', PROJECT);
    colours = true;
    const coloured = await plan('-f', path, '--project', PROJECT);
    colours = false;
    expect(plain.out).not.toContain('\u001b[');
    expect(coloured.out).toContain('\u001b[32m  + Create service account');
  });

  test('reads the project from a Namespace document, skips other kinds, and says what blocks', async () => {
    const path = file(
      'all.yaml',
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'team', annotations: { 'ai-platform.dev/project-id': PROJECT } },
      },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'other' } },
      { ...manifest('tenant-a'), metadata: { name: 'tenant-a', namespace: 'team' } },
    );

    const { out, code } = await plan('-f', path);

    expect(out).toContain('! DependencyNotFound: Key openai: secret tenant-a-openai-key does not exist');
    expect(code).toBe(2);
  });

  test('refuses an invalid manifest with the CRD’s own message and the line', async () => {
    const bad = manifest('tenant-a', { scaling: { minInstances: 5, maxInstances: 3 } });

    const { err, code } = await plan('-f', file('bad.yaml', bad), '--project', PROJECT);

    expect(code).toBe(1);
    expect(err).toMatch(
      /bad\.yaml:\d+: AiTenant tenant-a: spec\.scaling\.minInstances: .*minInstances 5 is more than maxInstances 3/,
    );
  });

  test('says how it is used', async () => {
    expect(await plan('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Usage: npm run plan') });
    expect(await plan()).toMatchObject({ code: 1, err: expect.stringContaining('name the manifests') });
    expect(await plan('-f', join(folder, 'none.yaml'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('none.yaml'),
    });
  });
});
