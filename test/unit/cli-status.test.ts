import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Ajv2020, type SchemaObject } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Context, programOf } from '../../operator/cli/command.ts';
import { readStatusArguments } from '../../operator/cli/statusCommand.ts';
import { asJson, changeJson, changeLine, tableLines, tenantLines } from '../../operator/cli/statusOutput.ts';
import { noTenants, readTenants } from '../../operator/cli/tenantReads.ts';
import { tenantStatus } from '../../operator/cli/tenantStatus.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeMeta, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';

/** What `aitenant status` reads from the object of a tenant. */

const SINCE = '2026-11-27T10:00:00Z';
const NOW = Date.parse('2026-11-27T10:03:30Z');
const ACCOUNT = 'sa-tenant-a@demo-project.iam.gserviceaccount.com';

const condition = (type: string, status: string, reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: SINCE,
  observedGeneration: 1,
});

/** A tenant that is Ready, with changes. */
function tenant({
  meta,
  spec,
  status,
}: {
  meta?: Partial<KubeMeta>;
  spec?: JsonObject;
  status?: JsonObject | null;
} = {}) {
  const object: KubeObject = {
    metadata: {
      name: 'tenant-a',
      namespace: 'team-a',
      generation: 1,
      finalizers: ['ai-platform.dev/finalizer'],
      ...meta,
    },
    spec: {
      region: 'asia-northeast1',
      keys: [
        { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' },
        { name: 'backup', secretRef: { name: 'backup-key' } },
      ],
      ...spec,
    },
  };
  const ready = {
    observedGeneration: 1,
    projectId: 'demo-project',
    region: 'asia-northeast1',
    url: 'https://tenant-a.example.com',
    serviceAccountEmail: ACCOUNT,
    latestReadyRevision: 'ai-platform-tenant-a-00002-abc',
    keys: [
      { name: 'openai', granted: true, version: '3', secret: 'projects/1/secrets/tenant-a-openai-key' },
      { name: 'backup', granted: true, version: '1', secret: 'projects/1/secrets/backup' },
    ],
    conditions: [
      condition('Ready', 'True', 'UpToDate', 'Google Cloud matches the spec.'),
      condition('ServiceAccountReady', 'True', 'UpToDate', 'It exists.'),
      condition('SecretAccessReady', 'True', 'UpToDate', 'Every key is granted.'),
      condition('ServiceReady', 'True', 'UpToDate', 'It serves.'),
    ],
    inventory: [],
  };
  return status === null ? object : { ...object, status: { ...ready, ...status } };
}

const notReady = (reason: string, message: string, type = 'SecretAccessReady') => ({
  conditions: [
    condition('Ready', 'False', reason, message),
    condition('ServiceAccountReady', 'True', 'UpToDate', 'It exists.'),
    condition('SecretAccessReady', 'True', 'UpToDate', 'Every key is granted.'),
    condition('ServiceReady', 'False', 'Updating', 'The service waits for the service account and the keys.'),
  ].map(each => (each.type === type ? condition(type, 'False', reason, message) : each)),
});

const text = (object: KubeObject) => tenantLines(tenantStatus(object), NOW).join('\n');

describe('one tenant', () => {
  test('that is ready: its whole way', () => {
    expect(text(tenant())).toBe(
      [
        'team-a/tenant-a  ready (UpToDate), for 3m',
        'project demo-project, region asia-northeast1, generation 1',
        '',
        `  done     service account   ${ACCOUNT}`,
        '  done     keys              2 of 2 granted',
        '  done       key             openai: tenant-a-openai-key, granted, version 3, OPENAI_API_KEY',
        '  done       key             backup: SecretManagerSecret backup-key, granted, version 1, not used as a variable',
        '  done     service           ai-platform-tenant-a in asia-northeast1: serves revision ai-platform-tenant-a-00002-abc',
        '  done     URL               https://tenant-a.example.com',
      ].join('\n'),
    );
  });

  test('that waits for a secret: which part, why, and what to do', () => {
    const message = 'Key openai: secret tenant-a-openai-key does not exist. Create it: gcloud secrets create …';
    const status = {
      ...notReady('DependencyNotFound', message),
      url: undefined,
      latestReadyRevision: undefined,
      keys: [{ name: 'openai', granted: false }],
    };
    const view = tenantStatus(tenant({ status }));
    expect(view).toMatchObject({ state: 'waiting', reason: 'DependencyNotFound', waitsFor: message });
    expect(view.parts.map(({ kind, state }) => `${kind} ${state}`)).toEqual([
      'ServiceAccount done',
      'Keys waits',
      'Key waits',
      'Key waits',
      'Service waits',
      'Url waits',
    ]);
    expect(text(tenant({ status }))).toContain(`0 of 2 granted\n${' '.repeat(29)}DependencyNotFound: ${message}\n`);
  });

  test.each([
    ['SecretNotAllowed', 'blocked'],
    ['ManagementConflict', 'blocked'],
    ['InvalidSpec', 'blocked'],
    ['Held', 'blocked'],
    ['PermissionDenied', 'blocked'],
    ['UpdateFailed', 'blocked'],
    ['QuotaExceeded', 'waiting'],
    ['DependencyNotReady', 'waiting'],
    ['Updating', 'waiting'],
    ['SomethingNew', 'waiting'],
  ])('with the reason %s is %s', (reason, state) => {
    expect(tenantStatus(tenant({ status: notReady(reason, 'why', 'ServiceReady') }))).toMatchObject({
      state,
      waitsFor: 'why',
      parts: expect.arrayContaining([expect.objectContaining({ kind: 'Service', reason, message: 'why' })]),
    });
  });

  test('that the operator has not handled: the advice to look for the operator', () => {
    const never = tenantStatus(tenant({ status: null }));
    expect(never).toMatchObject({ state: 'outdated', observedGeneration: undefined });
    expect(never.waitsFor).toMatch(
      /^The operator has not handled this tenant yet\. .*kubectl get deployment -n aitenant-system/,
    );
    expect(never.parts.map(({ state }) => state)).not.toContain('done');
    const later = tenantStatus(tenant({ meta: { generation: 4 }, status: { observedGeneration: 3 } }));
    expect(later.state).toBe('outdated');
    expect(tenantLines(later, NOW)[0]).toBe('team-a/tenant-a  not handled');
    expect(later.waitsFor).toMatch(
      /has not handled the last change of the spec yet \(generation 4; the status is of 3\)/,
    );
  });

  test('that is suspended, also before the operator has written so', () => {
    const spec = { suspend: true };
    expect(tenantStatus(tenant({ spec }))).toMatchObject({
      state: 'suspended',
      waitsFor: expect.stringMatching(/^Suspended/),
    });
    const resume = 'Suspended: the spec is not followed. Resume: kubectl patch …';
    const status = { conditions: [condition('Ready', 'True', 'Suspended', resume)] };
    expect(tenantStatus(tenant({ spec, status }))).toMatchObject({ state: 'suspended', waitsFor: resume });
  });

  const meta = { deletionTimestamp: '2026-11-27T10:02:00Z', generation: 2 };
  const inventory = [
    { type: 'Service', name: 'projects/p/locations/asia-northeast1/services/ai-platform-tenant-a', time: SINCE },
    { type: 'SecretAccess', name: 'projects/1/secrets/tenant-a-openai-key', time: SINCE },
    { type: 'ServiceAccount', name: `projects/p/serviceAccounts/${ACCOUNT}`, time: SINCE },
  ];

  test('that is being deleted: what is left, in order, and why it waits', () => {
    const message = 'Deleting Cloud Run service ai-platform-tenant-a in asia-northeast1.';
    const status = { inventory, observedGeneration: 2, conditions: [condition('Ready', 'False', 'Deleting', message)] };
    const view = tenantStatus(tenant({ meta, status }));
    expect(view).toMatchObject({ state: 'deleting', waitsFor: message });
    expect(view.parts.map(({ kind }) => kind)).toEqual(['Service', 'FormerGrant', 'ServiceAccount']);
    expect(text(tenant({ meta, status }))).toMatch(/^team-a\/tenant-a {2}deleting \(Deleting\)\n/);
    expect(text(tenant({ meta, status }))).toContain('- It is being deleted, since 2026-11-27T10:02:00Z.');
  });

  test('that is abandoned: nothing is said to be deleted', () => {
    const annotations = { 'ai-platform.dev/deletion-policy': 'abandon' };
    const shown = text(tenant({ meta: { ...meta, annotations }, status: { inventory } }));
    expect(shown).toContain('stays; its owner marks are taken off');
    expect(shown).not.toMatch(/not (?:deleted|removed) yet/);
  });

  test('that is being deleted without an operator, and one that waits for others', () => {
    // The reason is still that of the tenant before its deletion.
    expect(text(tenant({ meta, status: { inventory } }))).toMatch(/^team-a\/tenant-a {2}deleting\n/);
    expect(tenantStatus(tenant({ meta, status: { inventory } })).waitsFor).toMatch(
      /^The operator has not begun to delete it\./,
    );
    const others = { ...meta, finalizers: ['example.com/other'] };
    expect(tenantStatus(tenant({ meta: others })).waitsFor).toMatch(/waits for finalizers of other controllers/);
    expect(text(tenant({ meta: others }))).toContain('The operator has nothing left to do for it in Google Cloud.');
  });

  test('whose requested check has a long value, which is confirmed by its hash', () => {
    const asked = 'x'.repeat(300);
    const meta = { annotations: { 'ai-platform.dev/reconcile-requested-at': asked } };
    const note = 'A full check was requested by annotation';
    const confirmed = (lastHandledReconcileAt: string) => text(tenant({ meta, status: { lastHandledReconcileAt } }));
    expect(confirmed('earlier')).toContain(note);
    expect(confirmed(`sha256:${hash('sha256', asked)}`)).not.toContain(note);
  });

  test('that moves, has a former grant, a requested check and no run.app URL', () => {
    const moving = tenant({
      meta: { annotations: { 'ai-platform.dev/reconcile-requested-at': 'now' } },
      spec: { region: 'europe-west1' },
      status: {
        inventory: [
          {
            type: 'Service',
            name: 'projects/p/locations/asia-northeast1/services/ai-platform-tenant-a',
            time: SINCE,
            retireAt: SINCE,
          },
          { type: 'Service', name: 'projects/p/locations/europe-west1/services/ai-platform-tenant-a', time: SINCE },
          { type: 'SecretAccess', name: 'projects/1/secrets/old-key', time: SINCE },
          { type: 'SecretAccess', name: 'projects/1/secrets/backup', time: SINCE },
        ],
      },
    });
    const shown = text(moving);
    expect(shown).toContain(
      `former service  ai-platform-tenant-a in asia-northeast1: of the former region; serves until ${SINCE}`,
    );
    expect(shown).toContain('former grant    projects/1/secrets/old-key: no key of the spec names this secret');
    expect(shown).not.toContain('secrets/backup:');
    expect(shown).toContain(
      '- It moves from asia-northeast1 to europe-west1; the URL is still the one of asia-northeast1.',
    );
    expect(shown).toContain('- A full check was requested by annotation and has not been completed yet.');
    const closed = tenant({ status: { url: undefined, serviceSettings: { defaultUriDisabled: true } } });
    expect(text(closed)).toContain('done     URL               none: the run.app URL is disabled');
  });
});

describe('all tenants', () => {
  const views = [
    tenant(),
    tenant({ meta: { name: 'b' }, status: notReady('SecretNotAllowed', 'No consent. Give it: gcloud …') }),
    tenant({ meta: { name: 'c', namespace: 'team-b' }, status: null }),
  ].map(tenantStatus);

  test('in a table, with what each waits for, and a summary', () => {
    const lines = tableLines(views, { withNamespace: true });
    expect(lines.slice(0, 3)).toEqual([
      'NAMESPACE  NAME      STATE        REASON            REGION           URL OR WHAT IT WAITS FOR',
      'team-a     tenant-a  ready        UpToDate          asia-northeast1  https://tenant-a.example.com',
      'team-a     b         blocked      SecretNotAllowed  asia-northeast1  No consent. Give it: gcloud …',
    ]);
    expect(lines.at(-1)).toBe('3 tenants: 1 ready, 1 blocked, 1 not handled.');
    expect(tableLines(views, { withNamespace: false })[0]).toMatch(/^NAME /);
  });

  test('on a terminal no line is wider than it', () => {
    const lines = tableLines(views, { withNamespace: true, width: 60 });
    expect(lines.filter(line => line.length > 60)).toEqual([]);
    expect(lines[1]).toMatch(/…$/);
  });
});

test('whatever the object contains: one line for each part, and JSON that follows the schema', () => {
  const schema = JSON.parse(
    readFileSync(new URL('../../schemas/status.v1.schema.json', import.meta.url), 'utf8'),
    (_, value) => (value?.type === 'object' ? { ...value, additionalProperties: false } : value),
  ) as SchemaObject;
  const validate = new Ajv2020({ strict: true }).compile(schema);
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\n', '\u001b[2J', '::error::x', '##[group]'),
  );
  const anything = fc.record(
    {
      observedGeneration: fc.integer({ min: 0, max: 3 }),
      url: hostile,
      region: fc.constantFrom('asia-northeast1', 'europe-west1'),
      projectId: hostile,
      serviceAccountEmail: hostile,
      latestReadyRevision: hostile,
      conditions: fc.array(
        fc.record({
          type: fc.constantFrom('Ready', 'ServiceAccountReady', 'SecretAccessReady', 'ServiceReady', 'Other'),
          status: fc.constantFrom('True', 'False', 'Unknown', ''),
          reason: hostile,
          message: hostile,
          lastTransitionTime: fc.constantFrom(SINCE, '', 'never'),
        }),
        { maxLength: 5 },
      ),
      keys: fc.array(fc.record({ name: fc.constantFrom('openai', 'backup'), granted: fc.boolean(), version: hostile })),
      inventory: fc.array(
        fc.record({
          type: fc.constantFrom('Service', 'SecretAccess', 'ServiceAccount', 'New'),
          name: hostile,
          time: hostile,
        }),
      ),
    },
    { requiredKeys: [] },
  );
  const deletion = fc.constantFrom(undefined, SINCE);
  fc.assert(
    fc.property(anything, deletion, fc.boolean(), (status, deletionTimestamp, suspend) => {
      const object = tenant({ spec: { suspend }, meta: { deletionTimestamp } });
      const view = tenantStatus({ ...object, status });
      const printed = [...tenantLines(view, NOW), ...tableLines([view], { withNamespace: true }), changeLine(view)];
      for (const line of printed) expect(line).not.toMatch(/\p{Cc}|^\s*::|##\[/u);
      for (const json of [asJson([view]), changeJson([view]), changeJson([], { namespace: 'n', name: 'x' })]) {
        validate(JSON.parse(json));
        expect(validate.errors).toBeNull();
      }
      expect(changeJson([view])).not.toContain('\n');
    }),
  );
});

describe('the arguments', () => {
  const context: Context = { env: {}, program: programOf('status', '/usr/bin/aitenant', {}) };
  const read = (...argv: string[]) => readStatusArguments(argv, context);

  test.each([
    [['tenant-a'], { name: 'tenant-a', namespace: undefined }],
    [['team-a/tenant-a'], { name: 'tenant-a', namespace: 'team-a' }],
    [['team-a/tenant-a', '-n', 'team-a'], { name: 'tenant-a', namespace: 'team-a' }],
    [['aitenant/tenant-a', '-n', 'x'], { name: 'tenant-a', namespace: 'x' }],
    [['ait/tenant-a'], { name: 'tenant-a', namespace: undefined }],
    [['-A', '-w', '-o', 'json'], { all: true, watch: true, isJson: true }],
  ])('%j', (argv, expected) => {
    expect(read(...argv)).toMatchObject(expected);
  });

  test.each([
    [['a', 'b'], /^one NAME at a time/],
    [['-A', 'tenant-a'], /^-A shows all tenants/],
    [['-A', '-n', 'x'], /^-A shows all tenants/],
    [['team-a/tenant-a', '-n', 'x'], /names another namespace than -n x/],
    [['-o', 'yaml'], /^-o takes text or json/],
    [['-n', 'Bad Ns'], /^-n "Bad Ns" can't be a namespace/],
    [['Bad_Name'], /^"Bad_Name" can't be the name of a tenant/],
    [['../../nodes'], /can't be/],
    [['--wtach'], /^Unknown option '--wtach'\. Did you mean --watch\?$/],
  ])('%j is refused', (argv, message) => {
    expect(() => read(...argv)).toThrow(message);
  });
});

describe('what is said where there is no such tenant', () => {
  async function cluster() {
    const { api } = createKubeCore({ runtime });
    for (const namespace of ['team-a', 'team-b'])
      await api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    return api;
  }
  const failing = (code: number, reason: string, message: string): KubeApi => {
    const fail = async () => ({ ok: false as const, status: { code, reason, message } });
    return { get: fail, list: fail } as unknown as KubeApi;
  };
  /** An API server that lists these tenants and has none by name. */
  const listing = (...tenants: [namespace: string, name: string][]): KubeApi =>
    ({
      get: async () => ({ ok: false, status: { code: 404, reason: 'NotFound', message: 'not found' } }),
      list: async (_: unknown, { namespace }: { namespace?: string }) => ({
        ok: true,
        value: {
          metadata: { resourceVersion: '1' },
          items: tenants
            .filter(([own]) => namespace === undefined || namespace === own)
            .map(([own, name]) => ({ metadata: { namespace: own, name } })),
        },
      }),
    }) as unknown as KubeApi;
  const scope = (name?: string, namespace: string | undefined = 'team-a') => ({ name, namespace, isJson: false });

  test.each([
    [listing(['team-a', 'tenant-a']), 'tenatn-a', 'Did you mean tenant-a?'],
    [listing(['team-b', 'tenant-a']), 'tenant-a', 'It is in namespace team-b: add -n team-b.'],
    [listing(), 'tenant-a', 'there is no AiTenant tenant-a in namespace team-a.'],
  ])('another name, another namespace, none', async (api, name, expected) => {
    await expect(readTenants(api, scope(name))).rejects.toThrow(expected);
  });

  test('a cluster without the CRD: the command that installs it', async () => {
    const api = await cluster();
    for (const name of [undefined, 'tenant-a'])
      await expect(readTenants(api, scope(name))).rejects.toThrow(/does not have the CRD.*kubectl apply -f crds/);
  });

  test.each([
    [403, 'Forbidden', 'aitenants is forbidden', /is forbidden\. Ask whoever administers the cluster/],
    [401, 'Unauthorized', 'Unauthorized', /log in to the cluster again/],
    [0, 'NoAnswer', 'connect ECONNREFUSED', /Check that the address of the current context/],
  ])('%i', async (code, reason, message, expected) => {
    for (const name of [undefined, 'tenant-a'])
      await expect(readTenants(failing(code, reason, message), scope(name))).rejects.toThrow(expected);
  });

  test('an empty namespace and an empty cluster', async () => {
    expect(await noTenants(listing(['team-b', 'tenant-a']), 'team-a')).toBe(
      'There is no AiTenant in namespace team-a. 1 in other namespaces: add -A, or -n NAMESPACE.',
    );
    expect(await noTenants(listing(), undefined)).toBe('There is no AiTenant in the cluster.');
    expect(AI_TENANTS.plural).toBe('aitenants');
  });
});
