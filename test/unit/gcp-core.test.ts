import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createGcpClient } from '../../operator/gcp/client.ts';
import { endpointsFrom } from '../../operator/gcp/endpoints.ts';
import { execute } from '../../operator/gcp/execute.ts';
import { createReads, type Reads } from '../../operator/gcp/reads.ts';
import { accountName } from '../../operator/tenant/names.ts';
import type { Call, Policy } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';

/**
 * Reads and writes of this room against the local Google Cloud: in process, as the simulation runs them, and through the
 * real client over its REST face. Both must tell the same.
 */

const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
const EMAIL = 'sa-tenant-a@tenants-1.iam.gserviceaccount.com';
const SECRET = 'projects/tenants-1/secrets/key';
const MEMBER = `serviceAccount:${EMAIL}`;
const ROLE = 'roles/secretmanager.secretAccessor';

let core: GcpCore;
let call: GcpCall;
let reads: Reads;
let stop: (() => Promise<void>) | undefined;

async function given(method: string, request: JsonObject) {
  const result = await core.call(`${SECRETS}.${method}`, request);
  if (!result.ok) throw new Error(result.status.message);
}

const write = (step: Call) => execute(call, step);
const createAccount: Call = {
  kind: 'createAccount',
  project: 'tenants-1',
  accountId: 'sa-tenant-a',
  email: EMAIL,
  displayName: 'AI tenant',
  description: 'ai-tenant-owner=c/ns/tenant-a',
};

async function policyNow(): Promise<Policy> {
  const read = await reads.secretPolicy(SECRET);
  if (read.state !== 'present') throw new Error(read.state);
  return read.value;
}

type Face = 'in process' | 'over REST';

async function overRest(): Promise<GcpCall> {
  const server = await startGcpServer({ core });
  const variables = ['RUN', 'SECRETMANAGER', 'IAM'].map(api => [
    `CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`,
    `${server.url}/`,
  ]);
  const client = createGcpClient({ runtime: realRuntime, endpoints: endpointsFrom(Object.fromEntries(variables)) });
  stop = async () => {
    client.close();
    await server.close();
  };
  return client.call;
}

async function start(face: Face) {
  core = createGcpCore({
    runtime: realRuntime,
    projects: [{ id: 'tenants-1', number: '123456' }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0 },
  });
  call = face === 'in process' ? core.call : await overRest();
  reads = createReads(call);
  await given('CreateSecret', {
    parent: 'projects/tenants-1',
    secretId: 'key',
    secret: { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': 'ns' } },
  });
}

afterEach(async () => {
  await stop?.();
  stop = undefined;
});

describe.each<Face>(['in process', 'over REST'])('%s', face => {
  beforeEach(() => start(face));

  describe('a service account', () => {
    test('is made, described, and gone by its unique id', async () => {
      expect(await reads.account(accountName('tenants-1', EMAIL))).toEqual({ state: 'absent' });
      expect(await write(createAccount)).toMatchObject({ ok: true, response: { email: EMAIL } });
      const read = await reads.account(accountName('tenants-1', EMAIL));
      expect(read).toMatchObject({
        state: 'present',
        value: { description: 'ai-tenant-owner=c/ns/tenant-a', disabled: false },
      });
      if (read.state !== 'present') return;

      const { name, uniqueId } = read.value;
      expect(await write({ kind: 'updateAccount', name, description: 'by hand' })).toMatchObject({ ok: true });
      expect(await reads.account(accountName('tenants-1', EMAIL))).toMatchObject({
        value: { description: 'by hand', uniqueId },
      });
      const byId = `projects/tenants-1/serviceAccounts/${uniqueId}`;
      expect(await write({ kind: 'deleteAccount', name: byId })).toMatchObject({ ok: true });
      expect(await reads.account(accountName('tenants-1', EMAIL))).toEqual({ state: 'absent' });
      expect(await write({ kind: 'deleteAccount', name: byId })).toMatchObject({
        ok: false,
        failure: { kind: 'NotFound' },
      });
    });

    test('that exists already is a conflict', async () => {
      await write(createAccount);
      expect(await write(createAccount)).toMatchObject({ ok: false, failure: { kind: 'Conflict' } });
    });
  });

  describe('a secret', () => {
    test('is read by its id, named by its number', async () => {
      expect(await reads.secret(SECRET)).toMatchObject({
        state: 'present',
        value: { name: 'projects/123456/secrets/key', labels: { 'ai-tenant-namespace': 'ns' } },
      });
      expect(await reads.secret('projects/tenants-1/secrets/other')).toEqual({ state: 'absent' });
    });

    test('has versions only once they were added; a disabled one is the latest, not the newest enabled', async () => {
      for (const want of ['latest', 'newestEnabled', '1']) {
        expect(await reads.secretVersion(SECRET, want), want).toEqual({ state: 'absent' });
      }
      for (const data of ['a', 'b']) {
        await given('AddSecretVersion', { parent: SECRET, payload: { data: Buffer.from(data).toString('base64') } });
      }
      await given('DisableSecretVersion', { name: `${SECRET}/versions/2` });
      expect(await reads.secretVersion(SECRET, 'latest')).toEqual({
        state: 'present',
        value: { version: 2, state: 'DISABLED' },
      });
      expect(await reads.secretVersion(SECRET, 'newestEnabled')).toEqual({
        state: 'present',
        value: { version: 1, state: 'ENABLED' },
      });
      expect(await reads.secretVersion(SECRET, '1')).toEqual({
        state: 'present',
        value: { version: 1, state: 'ENABLED' },
      });
      expect(await reads.secretVersion(SECRET, '3')).toEqual({ state: 'absent' });
      await given('DisableSecretVersion', { name: `${SECRET}/versions/1` });
      expect(await reads.secretVersion(SECRET, 'newestEnabled')).toEqual({
        state: 'present',
        value: { version: 2, state: 'DISABLED' },
      });
      await given('EnableSecretVersion', { name: `${SECRET}/versions/1` });
    });

    test('is granted by a read-modify-write that keeps a condition and loses against a newer etag', async () => {
      await write(createAccount);
      const conditional = {
        role: 'roles/viewer',
        members: ['user:a@example.com'],
        condition: { title: 'soon', expression: 'request.time < timestamp("2030-01-01T00:00:00Z")' },
      };
      const empty = await policyNow();
      expect(empty.bindings).toEqual([]);
      const first = { ...empty, bindings: [conditional] };
      expect(await write({ kind: 'setSecretPolicy', secret: SECRET, policy: first })).toMatchObject({ ok: true });

      const before = await policyNow();
      const grant = { ...before, bindings: [...before.bindings, { role: ROLE, members: [MEMBER] }] };
      expect(await write({ kind: 'setSecretPolicy', secret: SECRET, policy: grant })).toMatchObject({ ok: true });
      const after = await policyNow();
      expect(after.bindings).toEqual(expect.arrayContaining([conditional, { role: ROLE, members: [MEMBER] }]));
      expect(after.bindings).toHaveLength(2);

      expect(await write({ kind: 'setSecretPolicy', secret: SECRET, policy: before })).toMatchObject({
        ok: false,
        failure: { kind: 'Conflict' },
      });
      expect((await policyNow()).bindings).toHaveLength(2);
    });

    test('can not be granted to an account that is not there (yet)', async () => {
      const policy = { ...(await policyNow()), bindings: [{ role: ROLE, members: [MEMBER] }] };
      expect(await write({ kind: 'setSecretPolicy', secret: SECRET, policy })).toMatchObject({
        ok: false,
        failure: { kind: 'Propagating' },
      });
    });
  });

  test('a fault of Google Cloud is a failure that passes, not an absence', async () => {
    core.faults.add({ method: 'GetSecret', error: { code: 'UNAVAILABLE', message: 'down' } });
    expect(await reads.secret(SECRET)).toEqual({ state: 'failed', failure: { kind: 'Transient', message: 'down' } });
    expect(await reads.secret(SECRET)).toMatchObject({ state: 'present' });
  });

  test('a lost answer leaves open what happened: looking again tells', async () => {
    core.faults.add({ method: 'CreateServiceAccount', lost: { code: 'DEADLINE_EXCEEDED', message: 'late' } });
    expect(await write(createAccount)).toMatchObject({ ok: false, failure: { kind: 'Transient' } });
    expect(await reads.account(accountName('tenants-1', EMAIL))).toMatchObject({ state: 'present' });
  });
});
