import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { realRuntime } from '../../ports/runtime.ts';
import { openCluster } from './support/cluster.ts';
import { createWorld, spec, until, type World } from './support/world.ts';

/** What a user does with kubectl on tenants, the operator at work behind it. The Google Cloud CLI ships these versions. */

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/lib/google-cloud-sdk/bin'];
const KUBECTLS = ['1.27', '1.30', '1.33'].flatMap(version => {
  const path = FOLDERS.map(folder => join(folder, `kubectl.${version}`)).find(isProgram);
  if (!path) console.log(`kubectl.${version} is not on this machine: NOT tested`);
  return path ? [{ version, path }] : [];
});

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'kubectl-tenant-'));
const env = { PATH: process.env.PATH, HOME: folder, KUBECONFIG: join(folder, 'config') };
const key = { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' };
let world: World;

beforeAll(async () => {
  const cluster = await openCluster(realRuntime);
  cluster.adminKubeconfig(env.KUBECONFIG);
  world = await createWorld({ cluster });
  await world.secret('tenant-a-openai-key');
});
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

if (KUBECTLS.length === 0) {
  test('kubectl is not on this machine: nothing of it was tested', () => expect(KUBECTLS).toEqual([]));
}

describe.each(KUBECTLS)('kubectl $version', { timeout: 60_000 }, ({ version, path }) => {
  const name = `tenant-${version.replace('.', '-')}`;
  const manifest = join(folder, `${name}.yaml`);

  function kubectl(args: string[], more: { fails?: boolean; env?: Record<string, string> } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile(path, args, { cwd: folder, timeout: 40_000, env: { ...env, ...more.env } }, (error, out, err) => {
        if (Boolean(error) === Boolean(more.fails)) resolve(out + err);
        else reject(new Error(`kubectl ${args.join(' ')}: ${out}${err}`));
      });
    });
  }
  const write = (over = {}, file = manifest) => {
    const labels = { customer: name };
    const tenant = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata: { name, labels } };
    writeFileSync(file, stringify({ ...tenant, spec: spec(over) }));
  };
  const read = (jsonpath: string) => kubectl(['get', 'ait', name, '-o', `jsonpath={${jsonpath}}`]);
  const ready = () => world.ready(name);

  test('apply, and wait until it is Ready', async () => {
    write();
    expect(await kubectl(['apply', '-f', manifest, '--dry-run=server'])).toContain('created (server dry run)');
    expect(await kubectl(['get', 'aitenants', name], { fails: true })).toContain('not found');
    expect(await kubectl(['apply', '-f', manifest])).toBe(`aitenant.ai-platform.dev/${name} created\n`);
    const waited = await kubectl(['wait', '--for=condition=Ready', `aitenant/${name}`, '--timeout=30s']);
    expect(waited).toBe(`aitenant.ai-platform.dev/${name} condition met\n`);

    // Keys have defaults, so kubectl sends the list again and says "configured": nothing is written.
    const before = await read('.metadata.resourceVersion');
    await kubectl(['apply', '-f', manifest]);
    expect(await read('.metadata.resourceVersion')).toBe(before);
  });

  test('get, in every form', async () => {
    const url = String((await ready()).url);
    const [head = '', row = ''] = (await kubectl(['get', 'aitenants', name])).split('\n');
    expect(head.split(/\s+/)).toEqual(['NAME', 'READY', 'STATUS', 'REGION', 'URL', 'AGE']);
    expect(row.split(/\s+/).slice(0, 5)).toEqual([name, 'True', 'UpToDate', 'asia-northeast1', url]);
    const wide = await kubectl(['get', 'ait', name, '-o', 'wide']);
    expect(wide.split('\n')[0]?.split(/\s+/)).toEqual(
      ['NAME', 'READY', 'STATUS', 'REGION', 'URL', 'REVISION', 'MESSAGE', 'AGE'].toSorted(
        (a, b) => wide.indexOf(a) - wide.indexOf(b),
      ),
    );
    expect(wide).toContain('Google Cloud matches the spec.');
    expect(await kubectl(['get', 'ait', name, '-o', 'yaml'])).toMatch(/^ {2}scaling:\n {4}concurrency: 80\n/m);
    const { status } = JSON.parse(await kubectl(['get', 'ait', name, '-o', 'json']));
    expect(status.serviceAccountEmail).toBe(`sa-${name}@demo-project.iam.gserviceaccount.com`);
    expect(await read('.status.url')).toBe(url);
    expect(await kubectl(['get', 'gcp', '-A', '-l', `customer=${name}`, '-o', 'name'])).toContain(name);
    expect(await kubectl(['get', 'aitenants', '-A', '-l', 'customer=nobody'])).toContain('No resources found');
  });

  test('describe tells conditions and events; get events the same', async () => {
    const described = await kubectl(['describe', 'aitenant', name]);
    expect(described).toMatch(/Type: +Ready/);
    expect(described).toMatch(/Reason: +UpToDate/);
    const changed = new RegExp(`Cloud Run service ai-platform-${name}`);
    await until(
      async () => changed.test(await kubectl(['describe', 'aitenant', name])) || undefined,
      () => 'the event',
    );
    const events = await kubectl(['get', 'events', '--field-selector', `involvedObject.name=${name}`]);
    expect(events).toMatch(changed);
  });

  test('explain and api-resources', async () => {
    const keys = await kubectl(['explain', 'aitenant.spec.keys', '--recursive']);
    for (const field of ['env', 'name', 'rollout', 'secretRef', 'external', 'version']) expect(keys).toContain(field);
    expect(await kubectl(['explain', 'ait.spec.access'])).toMatch(/Public/);
    const listed = await kubectl(['api-resources', '--api-group=ai-platform.dev']);
    expect(listed).toMatch(/aitenants +ait +ai-platform.dev\/v1alpha1 +true +AiTenant/);
  });

  test('diff, patch, edit, annotate and label', async () => {
    write({ timeoutSeconds: 120 });
    expect(await kubectl(['diff', '-f', manifest], { fails: true })).toMatch(
      /-\s+timeoutSeconds: 300\n\+\s+timeoutSeconds: 120/,
    );
    await kubectl(['apply', '-f', manifest]);
    await ready();
    expect(await kubectl(['diff', '-f', manifest])).toBe('');

    await kubectl(['patch', 'ait', name, '--type=merge', '-p', '{"spec":{"scaling":{"maxInstances":3}}}']);
    const instances = [{ op: 'replace', path: '/spec/scaling/minInstances', value: 1 }];
    await kubectl(['patch', 'ait', name, '--type=json', '-p', JSON.stringify(instances)]);
    await kubectl(['edit', 'ait', name], { env: { EDITOR: 'sed -i s/timeoutSeconds:.*/timeoutSeconds:\\ 240/' } });
    await ready();
    expect(await world.service(name)).toMatchObject({
      scaling: { minInstanceCount: 1, maxInstanceCount: 3 },
      template: { timeout: '240s' },
    });

    await kubectl(['label', 'ait', name, 'tier=gold']);
    expect(await kubectl(['get', 'ait', '-l', 'tier=gold', '-o', 'name'])).toContain(name);
    await kubectl(['annotate', 'ait', name, `ai-platform.dev/reconcile-requested-at=${version}`]);
    await kubectl(['wait', `--for=jsonpath={.status.lastHandledReconcileAt}=${version}`, `ait/${name}`]);
  });

  test('a bad manifest gets the words of the CRD, and an unknown field its name', async () => {
    const bad = join(folder, `${name}-bad.yaml`);
    write({ scaling: { minInstances: 5, maxInstances: 2 } }, bad);
    expect(await kubectl(['apply', '-f', bad], { fails: true })).toMatch(
      /minInstances 5 is more than maxInstances 2; raise/,
    );
    write({ keys: [{ ...key, secretRef: {} }] }, bad);
    expect(await kubectl(['apply', '-f', bad], { fails: true })).toMatch(/external.*name|name.*external/);
    write({ regoin: 'x' }, bad);
    expect(await kubectl(['apply', '-f', bad], { fails: true })).toContain('unknown field "spec.regoin"');
  });

  test('get -w shows the deletion, and delete waits until everything is gone', async () => {
    const rows: string[] = [];
    const watching: ChildProcess = spawn(path, ['get', 'aitenants', name, '-w'], { cwd: folder, env });
    watching.stdout?.on('data', chunk => rows.push(String(chunk)));
    const saw = (text: string) =>
      until(
        async () => rows.join('').includes(text) || undefined,
        () => `${text} in ${rows.join('')}`,
      );
    try {
      await saw('UpToDate');
      expect(await kubectl(['delete', '-f', manifest])).toContain(`"${name}" deleted`);
      expect([await world.service(name), await world.account(name)]).toEqual([undefined, undefined]);
      expect((await world.secretMembers('tenant-a-openai-key')).join()).not.toContain(name);
      await saw('Deleting');
    } finally {
      watching.kill();
    }
  });
});
