import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { ACCESSOR, ACCOUNT, EMAIL, grant, IAM, SECRET, SECRETS, world } from './sandbox-gcp.support.ts';

const MEMBER = `serviceAccount:${EMAIL}`;
const create = (accountId: string, serviceAccount: JsonObject = {}) => ({
  name: 'projects/demo-project',
  accountId,
  serviceAccount,
});

describe('a service account', () => {
  test('is created, read by e-mail or unique id, and answers the project id', async () => {
    const { ok } = world();
    const made = await ok(
      `${IAM}.CreateServiceAccount`,
      create('sa-tenant-a', { displayName: 'A', description: 'words' }),
    );
    expect(made).toEqual({
      name: ACCOUNT,
      projectId: 'demo-project',
      uniqueId: expect.stringMatching(/^1\d{20}$/),
      email: EMAIL,
      displayName: 'A',
      description: 'words',
      etag: expect.any(String),
      oauth2ClientId: made.uniqueId,
    });
    for (const name of [
      ACCOUNT,
      `projects/-/serviceAccounts/${EMAIL}`,
      `projects/123456/serviceAccounts/${made.uniqueId}`,
    ]) {
      expect(await ok(`${IAM}.GetServiceAccount`, { name })).toEqual(made);
    }
  });

  test.each([['short'], ['x'.repeat(31)], ['Upper-case'], ['1-digit-first'], ['ends-with-']])(
    'is refused with the id %s',
    async id => {
      const { refused } = world();
      expect((await refused(`${IAM}.CreateServiceAccount`, create(id))).code).toBe('INVALID_ARGUMENT');
    },
  );

  test('is refused with texts that are too long in bytes, and beyond the limit of accounts', async () => {
    const { refused, createAccount } = world({ accountsPerProject: 1 });
    const longName = create('sa-tenant-a', { displayName: 'ü'.repeat(51) });
    expect((await refused(`${IAM}.CreateServiceAccount`, longName)).code).toBe('INVALID_ARGUMENT');
    const longText = create('sa-tenant-a', { description: 'x'.repeat(257) });
    expect((await refused(`${IAM}.CreateServiceAccount`, longText)).code).toBe('INVALID_ARGUMENT');
    await createAccount();
    expect(await refused(`${IAM}.CreateServiceAccount`, create('sa-tenant-b'))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
  });

  test('that exists is 409, one that does not is 404, and 403 under any project', async () => {
    const { refused, createAccount } = world();
    await createAccount();
    expect(await refused(`${IAM}.CreateServiceAccount`, create('sa-tenant-a'))).toEqual({
      code: 'ALREADY_EXISTS',
      message: 'Service account sa-tenant-a already exists within project projects/demo-project.',
    });
    const other = 'sa-other@demo-project.iam.gserviceaccount.com';
    const named = (project: string) => ({ name: `projects/${project}/serviceAccounts/${other}` });
    expect((await refused(`${IAM}.GetServiceAccount`, named('demo-project'))).code).toBe('NOT_FOUND');
    expect(await refused(`${IAM}.GetServiceAccount`, named('-'))).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).",
    });
    expect(await refused(`${IAM}.GetIamPolicy`, { resource: named('demo-project').name })).toMatchObject({
      message: `Service account projects/demo-project/serviceAccounts/${other} does not exist.`,
    });
    expect(
      (await refused(`${IAM}.GetServiceAccount`, { name: `projects/other-project/serviceAccounts/${EMAIL}` })).code,
    ).toBe('NOT_FOUND');
  });

  test('fresh from creation is 404, there, 403, there, and 409 to a second create all the while', async () => {
    const { core, runtime, createAccount, refused } = world({ settings: { createVisibleMs: 60_000 } });
    await createAccount();
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) {
      const read = await core.call(`${IAM}.GetServiceAccount`, { name: ACCOUNT });
      seen.push(read.ok ? 'OK' : read.status.code);
      expect((await refused(`${IAM}.CreateServiceAccount`, create('sa-tenant-a'))).code).toBe('ALREADY_EXISTS');
    }
    expect(seen).toEqual(['NOT_FOUND', 'OK', 'PERMISSION_DENIED', 'OK']);
    await runtime.advance(60_000);
    for (let i = 0; i < 4; i++) expect((await core.call(`${IAM}.GetServiceAccount`, { name: ACCOUNT })).ok).toBe(true);
  });

  test('changes by patch only where the mask says, and is disabled and enabled by their own methods', async () => {
    const { ok, refused, createAccount } = world();
    await createAccount('sa-tenant-a', { displayName: 'A', description: 'old' });
    const patch = (updateMask: string) => ({
      serviceAccount: { name: ACCOUNT, displayName: 'B', description: 'new', disabled: true },
      updateMask,
    });
    // What Google's guide shows of the answer, and nothing else.
    expect(await ok(`${IAM}.PatchServiceAccount`, patch('description'))).toEqual({
      name: ACCOUNT,
      displayName: 'A',
      description: 'new',
    });
    expect((await refused(`${IAM}.PatchServiceAccount`, patch('disabled'))).code).toBe('INVALID_ARGUMENT');
    const disabled = async () => (await ok(`${IAM}.GetServiceAccount`, { name: ACCOUNT })).disabled;
    expect(await disabled()).toBeUndefined();
    await ok(`${IAM}.DisableServiceAccount`, { name: ACCOUNT });
    expect(await disabled()).toBe(true);
    await ok(`${IAM}.EnableServiceAccount`, { name: ACCOUNT });
    expect(await disabled()).toBeUndefined();
  });

  test('is listed in pages of at most 100, after the default account of the project', async () => {
    const { ok, createAccount } = world({ accountsPerProject: 500 });
    for (let i = 0; i < 150; i++) await createAccount(`sa-tenant-${i}`);
    const first = await ok(`${IAM}.ListServiceAccounts`, { name: 'projects/demo-project', pageSize: 1000 });
    expect(first.accounts).toHaveLength(100);
    expect(first.accounts).toMatchObject({ 0: { email: '123456-compute@developer.gserviceaccount.com' } });
    const { nextPageToken: pageToken } = first;
    const second = await ok(`${IAM}.ListServiceAccounts`, { name: 'projects/demo-project', pageSize: 100, pageToken });
    expect(second.accounts).toHaveLength(51);
    expect(second).not.toHaveProperty('nextPageToken');
  });

  test('has no keys here', async () => {
    const { refused, createAccount } = world();
    await createAccount();
    for (const method of ['ListServiceAccountKeys', 'CreateServiceAccountKey']) {
      expect(await refused(`${IAM}.${method}`, { name: ACCOUNT })).toMatchObject({ code: 'FAILED_PRECONDITION' });
    }
  });
});

test('every method takes an account by its unique id too', async () => {
  const { ok, createAccount } = world();
  const name = `projects/demo-project/serviceAccounts/${(await createAccount()).uniqueId}`;
  const call = (method: string, request: JsonObject) => ok(`${IAM}.${method}`, request);
  expect(await call('GetServiceAccount', { name })).toMatchObject({ name: ACCOUNT });
  await call('UpdateServiceAccount', { name, displayName: 'D' });
  const patch = { serviceAccount: { name, description: 'w' }, updateMask: 'description' };
  expect(await call('PatchServiceAccount', patch)).toEqual({ name: ACCOUNT, displayName: 'D', description: 'w' });
  await call('DisableServiceAccount', { name });
  await call('EnableServiceAccount', { name });
  await call('SetIamPolicy', { resource: name, policy: { bindings: [grant('allUsers', 'roles/viewer')] } });
  expect(await call('GetIamPolicy', { resource: ACCOUNT })).toMatchObject({ bindings: [{ role: 'roles/viewer' }] });
  const permissions = ['iam.serviceAccounts.get'];
  expect(await call('TestIamPermissions', { resource: name, permissions })).toEqual({ permissions });
  await call('DeleteServiceAccount', { name });
  expect(await call('UndeleteServiceAccount', { name })).toMatchObject({ restoredAccount: { name: ACCOUNT } });
});

describe('deleting an account', () => {
  test('turns its members everywhere into deleted ones, which give its successor nothing', async () => {
    const { core, ok, createAccount, createSecret, setPolicy, getPolicy } = world();
    const { uniqueId } = await createAccount();
    await createSecret();
    await setPolicy({ bindings: [grant(MEMBER)] });
    expect(await ok(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT })).toEqual({});
    const deleted = `deleted:serviceAccount:${EMAIL}?uid=${uniqueId}`;
    expect(await getPolicy()).toMatchObject({ bindings: [grant(deleted)] });

    const again = await createAccount();
    expect(again.uniqueId).not.toBe(uniqueId);
    expect(core.cloud.policies.has(SECRET, ACCESSOR, MEMBER)).toBe(false);
    const { etag } = await getPolicy();
    const both = await setPolicy({ version: 3, etag, bindings: [{ role: ACCESSOR, members: [deleted, MEMBER] }] });
    expect(both).toMatchObject({ bindings: [{ role: ACCESSOR, members: [deleted, MEMBER] }] });
    expect(core.cloud.policies.has(SECRET, ACCESSOR, MEMBER)).toBe(true);
  });

  test('can be undone by unique id while no other has taken the e-mail, and brings its grants back', async () => {
    const { core, ok, refused, createAccount, createSecret, setPolicy } = world();
    const { uniqueId } = await createAccount();
    const name = `projects/demo-project/serviceAccounts/${uniqueId}`;
    await createSecret();
    await setPolicy({ bindings: [grant(MEMBER)] });
    expect((await refused(`${IAM}.UndeleteServiceAccount`, { name })).code).toBe('NOT_FOUND');
    await ok(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });
    await createAccount();
    expect((await refused(`${IAM}.UndeleteServiceAccount`, { name })).code).toBe('FAILED_PRECONDITION');
    await ok(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });
    expect(await ok(`${IAM}.UndeleteServiceAccount`, { name })).toMatchObject({
      restoredAccount: { uniqueId, email: EMAIL },
    });
    expect(core.cloud.policies.has(SECRET, ACCESSOR, MEMBER)).toBe(true);
  });
});

describe('an IAM policy', () => {
  const condition = { title: 'until 2031', expression: 'request.time < timestamp("2031-01-01T00:00:00Z")' };

  test('that nobody has set has an etag and nothing else', async () => {
    const { createSecret, getPolicy } = world();
    await createSecret();
    expect(await getPolicy()).toEqual({ etag: 'ACAB' });
  });

  test('is read, modified and written with its etag; a stale one is aborted', async () => {
    const { createAccount, createSecret, getPolicy, setPolicy, refusedPolicy } = world();
    await createAccount();
    await createSecret();
    const { etag } = await getPolicy();
    const set = await setPolicy({ version: 3, etag, bindings: [grant(MEMBER)] });
    expect(set).toEqual({ version: 1, etag: expect.any(String), bindings: [grant(MEMBER)] });
    expect(set.etag).not.toBe(etag);
    const stale = await refusedPolicy({ version: 3, etag, bindings: [] });
    expect(stale.code).toBe('ABORTED');
    expect(stale.message).toMatch(
      /^There were concurrent policy changes\. Please retry the whole read-modify-write with exponential backoff\./,
    );
    expect(await getPolicy()).toEqual(set);
    // One that was ever set keeps its version when it is emptied.
    const emptied = await setPolicy({ bindings: [] });
    expect(emptied).toEqual({ version: 1, etag: expect.any(String) });
    expect(await getPolicy()).toEqual(emptied);
  });

  test('keeps conditions when read and written as version 3, and mangles them in a read without', async () => {
    const { createAccount, createSecret, getPolicy, setPolicy, refusedPolicy } = world();
    await createAccount();
    await createSecret();
    const bindings = [{ ...grant('user:a@example.com'), condition }, grant(MEMBER)];
    expect((await refusedPolicy({ version: 1, bindings })).code).toBe('INVALID_ARGUMENT');
    const set = await setPolicy({ version: 3, bindings });
    expect(set).toMatchObject({ version: 3, bindings });
    const old = await getPolicy(SECRET, 1);
    expect(old.version).toBe(1);
    expect(old.bindings).toMatchObject([{ role: expect.stringMatching(/_withcond_/) }, grant(MEMBER)]);
    expect(JSON.stringify(old)).not.toContain('expression');
    expect((await refusedPolicy({ version: 1, etag: old.etag, bindings: [grant(MEMBER)] })).code).toBe(
      'INVALID_ARGUMENT',
    );
    expect((await refusedPolicy({ version: 3, etag: old.etag, bindings: old.bindings })).code).toBe('INVALID_ARGUMENT');
    // A blind write loses them, as policy.proto warns.
    expect(await setPolicy({ version: 1, bindings: [grant(MEMBER)] })).toEqual({
      version: 1,
      etag: expect.any(String),
      bindings: [grant(MEMBER)],
    });
  });

  test('puts bindings of one role together, keeps a member once and drops empty ones', async () => {
    const { createSecret, setPolicy } = world();
    await createSecret();
    const one = grant('user:a@example.com');
    const set = await setPolicy({
      bindings: [one, one, grant('user:b@example.com'), { role: 'roles/viewer', members: [] }],
    });
    expect(set.bindings).toEqual([{ role: ACCESSOR, members: ['user:a@example.com', 'user:b@example.com'] }]);
  });

  test('keeps its audit configs unless the mask names them', async () => {
    const { ok, createSecret, getPolicy } = world();
    await createSecret();
    const auditConfigs = [{ service: 'allServices', auditLogConfigs: [{ logType: 'DATA_READ' }] }];
    const set = (policy: JsonObject, updateMask?: string) =>
      ok(`${SECRETS}.SetIamPolicy`, { resource: SECRET, policy, ...(updateMask && { updateMask }) });
    await set({ auditConfigs }, 'bindings,etag,audit_configs');
    await set({ bindings: [grant('allUsers')], auditConfigs: [] });
    expect(await getPolicy()).toMatchObject({ auditConfigs, bindings: [grant('allUsers')] });
    await set({}, 'auditConfigs');
    expect(await getPolicy()).not.toHaveProperty('auditConfigs');
  });

  test.each([
    [
      'serviceAccount:sa-none@demo-project.iam.gserviceaccount.com',
      'Service account sa-none@demo-project.iam.gserviceaccount.com does not exist.',
    ],
    ['serviceAccount:nonsense', 'Invalid service account (nonsense).'],
    ['robot:x', 'unknown type'],
    ['sa-tenant-a', 'unknown type'],
    ['deleted:serviceAccount:x@y.z', 'Invalid member'],
    ['group:nobody', 'Invalid group'],
  ])('refuses the member %s', async (member, message) => {
    const { createSecret, refusedPolicy } = world();
    await createSecret();
    const status = await refusedPolicy({ bindings: [grant(member)] });
    expect(status).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) });
  });

  test.each([
    'allUsers',
    'allAuthenticatedUsers',
    'user:a@example.com',
    'domain:example.com',
    'serviceAccount:123456-compute@developer.gserviceaccount.com',
    'serviceAccount:service-123456@gcp-sa-run.iam.gserviceaccount.com',
    'serviceAccount:demo-project.svc.id.goog[ns/operator]',
    'principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*',
  ])('takes the member %s', async member => {
    const { createSecret, setPolicy } = world();
    await createSecret();
    expect(await setPolicy({ bindings: [grant(member)] })).toMatchObject({ bindings: [grant(member)] });
  });

  test('refuses a fresh account until it has propagated', async () => {
    const { runtime, core, createAccount, createSecret, setPolicy, refusedPolicy } = world({
      settings: { accountPropagationMs: 60_000 },
    });
    await createAccount();
    await createSecret();
    expect(await refusedPolicy({ bindings: [grant(MEMBER)] })).toEqual({
      code: 'INVALID_ARGUMENT',
      message: `Service account ${EMAIL} does not exist.`,
    });
    expect(core.cloud.account(EMAIL)).toBeUndefined();
    await runtime.advance(60_000);
    await setPolicy({ bindings: [grant(MEMBER)] });
    expect(core.cloud.account(EMAIL)).toMatchObject({ email: EMAIL, projectId: 'demo-project', disabled: false });
  });

  test.each([
    ['a secret', SECRET, `${SECRETS}.SetIamPolicy`, ACCESSOR, 'roles/run.invoker'],
    ['a service account', ACCOUNT, `${IAM}.SetIamPolicy`, 'roles/iam.workloadIdentityUser', ACCESSOR],
  ])('%s refuses a role that it does not know', async (_, resource, method, fitting, strange) => {
    const { createSecret, createAccount, ok, refused } = world();
    await createSecret();
    await createAccount();
    for (const role of [fitting, 'roles/viewer', 'projects/demo-project/roles/ours']) {
      await ok(method, { resource, policy: { bindings: [grant('allUsers', role)] } });
    }
    expect(await refused(method, { resource, policy: { bindings: [grant('allUsers', strange)] } })).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `Role ${strange} is not supported for this resource.`,
    });
  });

  test('refuses a role that is none, more than 1,500 principals, and versions other than 0, 1, 3', async () => {
    const { createSecret, refusedPolicy, core } = world();
    await createSecret();
    expect((await refusedPolicy({ bindings: [grant('allUsers', 'accessor')] })).code).toBe('INVALID_ARGUMENT');
    const members = Array.from({ length: 1501 }, (_, i) => `user:u${i}@example.com`);
    expect((await refusedPolicy({ bindings: [{ role: ACCESSOR, members }] })).message).toContain('1500');
    expect((await refusedPolicy({ version: 2 })).code).toBe('INVALID_ARGUMENT');
    const read = await core.call(`${SECRETS}.GetIamPolicy`, {
      resource: SECRET,
      options: { requestedPolicyVersion: 2 },
    });
    expect(read).toMatchObject({ ok: false, status: { code: 'INVALID_ARGUMENT' } });
  });

  test('of an account is its own: a successor of the same e-mail starts with none', async () => {
    const { ok, createAccount } = world();
    await createAccount();
    const policy = { bindings: [grant('user:a@example.com', 'roles/iam.serviceAccountUser')] };
    await ok(`${IAM}.SetIamPolicy`, { resource: ACCOUNT, policy });
    expect(await ok(`${IAM}.GetIamPolicy`, { resource: ACCOUNT })).toMatchObject(policy);
    await ok(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });
    await createAccount();
    expect(await ok(`${IAM}.GetIamPolicy`, { resource: ACCOUNT })).toEqual({ etag: 'ACAB' });
  });
});
