import http from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGcpClient, type GcpClient } from '../../operator/gcp/client.ts';
import { execute } from '../../operator/gcp/execute.ts';
import { observe } from '../../operator/gcp/observe.ts';
import { createReads } from '../../operator/gcp/reads.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { RUN_INVOKER, SECRET_ACCESSOR } from '../../operator/tenant/policy.ts';
import { targets } from '../../operator/tenant/targets.ts';
import type { Plan } from '../../operator/tenant/types.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { realRuntime } from '../../ports/runtime.ts';
import {
  accountA,
  containerA,
  desiredOf,
  MEMBER,
  NOW,
  NUMBER,
  SECRET,
  SERVICE,
  serviceA,
  settings,
  templateA,
  tenantA,
} from './support/tenantWorld.ts';

/**
 * What Google sent goes back as it came: random fields and enum values that the operator does not know, strewn at any
 * depth over a service and its policies, through a real HTTP exchange, observed, planned and written.
 */

/** What GETs answer, and the bodies of all other requests, oldest first. */
let answers: Record<string, JsonObject> = {};
let written: { verb: string; path: string; mask: string[]; body: JsonObject }[] = [];
let gcp: GcpClient;

const server = http.createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url ?? '', 'http://localhost');
  const path = url.pathname.replace(/^\/v\d\//, '').replace(/projects\/[^/]+\/secrets/, `projects/${NUMBER}/secrets`);
  let answer = answers[path];
  if (request.method !== 'GET') {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as JsonObject;
    const mask = (url.searchParams.get('updateMask') ?? '').split(',');
    written.push({ verb: request.method ?? '', path, mask, body });
    answer = {};
  }
  response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
  const error = { code: 404, status: 'NOT_FOUND', message: `${path} is not there.` };
  response.end(JSON.stringify(answer ?? { error }));
});

beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const endpoint = { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, credentials: false };
  gcp = createGcpClient({ runtime: realRuntime, endpoints: { run: endpoint, secretmanager: endpoint, iam: endpoint } });
});
afterAll(() => {
  gcp.close();
  server.closeAllConnections();
  server.close();
});

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every object in a document, itself included. */
function objectsIn(value: Json | undefined): JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(objectsIn);
  return isObject(value) ? [value, ...Object.values(value).flatMap(objectsIn)] : [];
}

/** The paths at which two documents differ, `.` between steps, members of a list by their `name` or index. */
function differences(a: Json | undefined, b: Json | undefined, path = ''): string[] {
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  if (Array.isArray(a) && Array.isArray(b)) return differences(byName(a), byName(b), path);
  if (!isObject(a) || !isObject(b)) return [path];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap(key =>
    differences(
      Object.hasOwn(a, key) ? a[key] : undefined,
      Object.hasOwn(b, key) ? b[key] : undefined,
      `${path}.${key}`,
    ),
  );
}

const byName = (list: Json[]): JsonObject =>
  Object.fromEntries(
    list.map((item, index) => [isObject(item) && item.name ? String(item.name) : String(index), item]),
  );

/** Names that no proto has today; some that are awkward in JavaScript. */
const strangeName = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty', 'ambientNetworking', 'x-y', ''),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).map(name => `tomorrow ${name}`),
);
const strangeValue = fc
  .oneof(fc.jsonValue({ maxDepth: 3 }), fc.constant('VALUE_OF_TOMORROW'), fc.constant('9223372036854775807'))
  .filter(value => value !== null)
  .map(value => JSON.parse(JSON.stringify(value)) as Json);
const strewn = fc.array(fc.tuple(fc.nat(), strangeName, strangeValue), { minLength: 1, maxLength: 12 });

/** A copy of `document` with each addition in one of its objects. */
function strew(document: JsonObject, additions: [number, string, Json][]): JsonObject {
  const copy: JsonObject = structuredClone(document);
  for (const [at, name, value] of additions) {
    const objects = objectsIn(copy);
    const object = objects[at % objects.length] ?? copy;
    if (Object.hasOwn(object, name)) continue;
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  }
  return JSON.parse(JSON.stringify(copy));
}

const wireService = (access: 'Public' | 'Authenticated'): JsonObject => {
  const { terminal: _terminal, raw: _raw, region: _region, ...fields } = serviceA();
  return {
    ...(fields as unknown as JsonObject),
    terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED' },
    ingress: 'INGRESS_TRAFFIC_OF_TOMORROW',
    annotations: { theirs: 'yes' },
    labels: { ...fields.labels, theirs: 'yes' },
    invokerIamDisabled: access === 'Public',
    scaling: { maxInstanceCount: 10, minInstanceCount: 1 },
    template: templateA({
      executionEnvironment: 'EXECUTION_ENVIRONMENT_OF_TOMORROW',
      scaling: { maxInstanceCount: 4, cpuUtilization: 0.6 },
      vpcAccess: { egress: 'ALL_BUT_SOME', networkInterfaces: [{ network: 'n', tags: ['t'] }] },
      volumes: [
        { name: 'share', filestore: { instance: 'i' } },
        { name: 'other', secret: { secret: 'theirs' } },
      ],
      containers: [
        containerA({
          name: 'main',
          ports: [{ name: 'http1', containerPort: 8080 }],
          volumeMounts: [{ name: 'share', mountPath: '/share' }],
        }),
        { name: 'sidecar', image: 'registry/proxy:2', env: [{ name: 'LEVEL', value: 'debug' }] },
      ],
    }),
  };
};

const policyOf = (role: string, members: string[], others: JsonObject[] = []): JsonObject => ({
  version: 3,
  etag: 'BwX=',
  bindings: [
    { role: 'roles/viewer', members: ['user:a@example.com'], condition: { expression: 'true', title: 't' } },
    { role, members },
    ...others,
  ],
  auditConfigs: [{ service: 'allServices', auditLogConfigs: [{ logType: 'DATA_READ' }] }],
});

/** Everything there, and `spec` and status as they were when it was made. */
function world(service: JsonObject, invokers: JsonObject, secretPolicy: JsonObject, newest = 3): void {
  const account = accountA();
  const version = { name: `${SECRET}/versions/${newest}`, state: 'ENABLED' };
  answers = {
    [SERVICE]: service,
    [`${SERVICE}:getIamPolicy`]: invokers,
    [account.name]: { ...account, projectId: 'p' },
    [SECRET]: { name: SECRET, labels: { 'ai-tenant-namespace': 'team' } },
    [`${SECRET}:getIamPolicy`]: secretPolicy,
    [`${SECRET}/versions`]: { versions: [version] },
  };
  written = [];
}

async function reconcile(spec: object): Promise<Plan> {
  const tenant = tenantA({ spec, generation: 2 });
  const desired = desiredOf(tenant);
  const observed = await observe(createReads(gcp.call), targets(desired, tenant.status.inventory));
  const made = plan(tenant, desired, observed, settings, NOW);
  for (const { call } of made.steps) expect(await execute(gcp.call, call)).toMatchObject({ ok: true });
  return made;
}

/** What of a template the spec says, the retry's mark and a revision's name. */
const OURS =
  /^\.(serviceAccount|timeout|maxInstanceRequestConcurrency|revision|scaling\.(min|max)InstanceCount|containers\.main\.(image|resources\.limits\.(cpu|memory)|env(\.(MODEL|A|B)|\.OPENAI_API_KEY\.valueSource\.secretKeyRef\.version)))$/;

const specs = fc.record({
  image: fc.constantFrom('registry/app:2', 'registry/app:3'),
  timeoutSeconds: fc.constantFrom(300, 5, 3600),
  scaling: fc.record({
    minInstances: fc.constantFrom(0, 1, 3),
    maxInstances: fc.constantFrom(3, 10, 200),
    concurrency: fc.constantFrom(80, 7),
  }),
  resources: fc.constantFrom({ cpu: '1', memory: '1Gi' }, { cpu: '2', memory: '4Gi' }),
  env: fc.constantFrom(
    [],
    [{ name: 'MODEL', value: 'm' }],
    [
      { name: 'A', value: '' },
      { name: 'B', value: 'b' },
    ],
  ),
  access: fc.constantFrom('Public' as const, 'Authenticated' as const),
});

test('a service: no field of others is lost or changed, whatever the spec changes', async () => {
  await fc.assert(
    fc.asyncProperty(
      specs,
      strewn,
      fc.boolean(),
      fc.constantFrom(3, 4),
      async (spec, additions, closedBefore, newest) => {
        const service = strew(wireService(closedBefore ? 'Authenticated' : 'Public'), additions);
        world(service, policyOf(RUN_INVOKER, []), policyOf(SECRET_ACCESSOR, [MEMBER]), newest);
        await reconcile(spec);
        const updates = written.filter(({ verb }) => verb === 'PATCH');
        expect(updates.length).toBeGreaterThan(0);
        for (const { mask, body } of updates) {
          if (mask.includes('template')) {
            const strange = differences(service.template, body.template).filter(path => !OURS.test(path));
            expect(strange).toEqual([]);
          }
          if (mask.includes('scaling')) {
            const strange = differences(service.scaling, body.scaling);
            expect(strange.filter(path => !/^\.(min|max)InstanceCount$/.test(path))).toEqual([]);
          }
          const others = ['template', 'scaling', 'invokerIamDisabled', 'etag'];
          expect(Object.keys(body).filter(field => !others.includes(field))).toEqual([]);
        }
      },
    ),
    { numRuns: 150 },
  );
});

/** What only the server writes, and what the operator writes itself. */
const NOT_CARRIED =
  /^\.(name|etag|region|generation|observedGeneration|reconciling|updateTime|terminalCondition|latest\w+Revision|uri|urls|traffic|trafficStatuses|invokerIamDisabled|scaling\.(min|max)InstanceCount|template(\..*)?)$/;

test('a moved service takes along what nobody here knows, of the service and of its template', async () => {
  await fc.assert(
    fc.asyncProperty(strewn, async additions => {
      const service = strew(wireService('Public'), additions);
      world(service, policyOf(RUN_INVOKER, []), policyOf(SECRET_ACCESSOR, [MEMBER]));
      await reconcile({ region: 'europe-west1', image: 'registry/app:1' });
      const created = written.find(({ path }) => path.endsWith('/locations/europe-west1/services'))?.body;
      expect(created).toBeDefined();
      const strange = differences(service, created).filter(path => !NOT_CARRIED.test(path));
      expect(strange).toEqual([]);
      expect(differences(service.template, created?.template).filter(path => !OURS.test(path))).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

/** Labels are text (`map<string, string>`). */
const strewnText = strewn.map(additions =>
  additions.map(([at, name]) => [at, name, `${at}`] as [number, string, Json]),
);

test('labels that are written again keep those of others', async () => {
  await fc.assert(
    fc.asyncProperty(strewnText, async additions => {
      const service = strew(wireService('Public'), additions);
      const labels = { ...(service.labels as JsonObject) };
      delete labels['ai-tenant-owner-cluster'];
      world({ ...service, labels }, policyOf(RUN_INVOKER, []), policyOf(SECRET_ACCESSOR, [MEMBER]));
      await reconcile({ image: 'registry/app:1' });
      for (const { mask, body } of written.filter(({ mask }) => mask.includes('labels'))) {
        expect(mask).toContain('labels');
        expect(differences(labels, body.labels)).toEqual(['.ai-tenant-owner-cluster']);
      }
    }),
    { numRuns: 50 },
  );
});

test('policies: only the operator’s own member is added or removed', async () => {
  await fc.assert(
    fc.asyncProperty(strewn, strewn, async (onInvokers, onSecret) => {
      const friend = 'user:friend@example.com';
      const invokers = strew(policyOf(RUN_INVOKER, [friend, 'allUsers']), onInvokers);
      const secretPolicy = strew(policyOf(SECRET_ACCESSOR, [friend]), onSecret);
      world(wireService('Authenticated'), invokers, secretPolicy);
      await reconcile({ access: 'Authenticated', invokers: ['user:new@example.com'] });
      const sent = (path: string) => written.find(write => write.path === `${path}:setIamPolicy`)?.body.policy;
      const strange = (before: JsonObject, after: Json | undefined) =>
        differences(before, after).filter(path => !/^\.(version|bindings\.1\.members\.\d+)$/.test(path));
      expect(strange(invokers, sent(SERVICE))).toEqual([]);
      expect(strange(secretPolicy, sent(SECRET))).toEqual([]);
      expect(JSON.stringify(sent(SECRET))).toContain(MEMBER);
      expect(JSON.stringify(sent(SERVICE))).not.toContain('allUsers');
    }),
    { numRuns: 100 },
  );
});
