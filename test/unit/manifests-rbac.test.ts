import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { startLeaderElection } from '../../operator/kube/leaderElection.ts';
import { createOperator } from '../../operator/operator.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource } from '../../ports/kube.ts';
import { AI_TENANTS, LEASES, NAMESPACES, SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { installCrd } from '../e2e/support/cluster.ts';
import { must, until } from '../e2e/support/world.ts';

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

/** `group/plural[/subresource] verb`, for every verb that a role of the operator gives. */
const given = parseAllDocuments(file('manifests/base/rbac.yaml'))
  .map(document => document.toJS() as { kind: string; rules?: Rule[] })
  .flatMap(({ rules = [] }) => rules)
  .flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap(group => resources.flatMap(plural => verbs.map(verb => `${group}/${plural} ${verb}`))),
  );

/** The port, and what has been asked of it. */
function recorded(api: KubeApi): { kube: KubeApi; asked: Set<string> } {
  const asked = new Set<string>();
  const note = (verb: string, { group, plural }: KubeResource, subresource?: string) =>
    asked.add(`${group}/${plural}${subresource ? `/${subresource}` : ''} ${verb}`);
  const noted =
    <A extends unknown[], R>(verb: string, call: (resource: KubeResource, ...rest: A) => R) =>
    (resource: KubeResource, ...rest: A): R => {
      note(verb, resource);
      return call(resource, ...rest);
    };
  const kube: KubeApi = {
    list: noted('list', api.list),
    watch: noted('watch', api.watch),
    get: noted('get', api.get),
    create: noted('create', api.create),
    patch(resource, namespace, name, patch, options) {
      note('patch', resource, options?.subresource);
      return api.patch(resource, namespace, name, patch, options);
    },
    delete: noted('delete', api.delete),
  };
  return { kube, asked };
}

/** As much of Config Connector's CRD as it takes to be watched. */
function connectorCrd(): KubeObject {
  const { group, version, plural, kind } = SECRET_MANAGER_SECRETS;
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, kind, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [{ name: version, served: true, storage: true, schema }],
    },
  };
}

test('the operator’s roles give the verbs that it uses in a tenant’s life, and no other', async () => {
  const core = createKubeCore({ runtime });
  const { kube, asked } = recorded(core.api);
  await installCrd(core.api, parse(file('crds/aitenants.yaml')) as KubeObject);
  await installCrd(core.api, connectorCrd());
  await must(
    core.api.create(NAMESPACES, undefined, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'aitenant-system' },
    }),
  );
  const cloud = createGcpCore({ runtime, projects: [{ id: 'demo-project', number: '123456789012' }], limits: {} });
  const secrets = 'google.cloud.secretmanager.v1.SecretManagerService';
  const secret: JsonObject = { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': 'default' } };
  await cloud.call(`${secrets}.CreateSecret`, {
    parent: 'projects/demo-project',
    secretId: 'tenant-a-openai-key',
    secret,
  });
  await cloud.call(`${secrets}.AddSecretVersion`, {
    parent: 'projects/demo-project/secrets/tenant-a-openai-key',
    payload: { data: 'eA==' },
  });

  // As main.ts does it: the cluster's name, the lease, then work.
  await kube.get(NAMESPACES, undefined, 'kube-system');
  const election = startLeaderElection({
    api: kube,
    runtime,
    namespace: 'aitenant-system',
    name: 'aitenant-operator',
    identity: 'one',
    onElected: () => operator.start(),
  });
  const events = createEventRecorder({ api: kube, runtime, component: 'aitenant-operator', instance: 'one' });
  const operator = createOperator({
    kube,
    gcp: cloud.call,
    runtime,
    settings: {
      project: 'demo-project',
      projects: [],
      defaultImage: 'gcr.io/cloudrun/hello',
      claimPolicy: 'labelled',
      clusterId: 'cluster-1',
      regionMoveGraceMs: 0,
      syncIntervalMs: 600_000,
    } as Parameters<typeof createOperator>[0]['settings'],
    events,
    log: () => {},
    workers: 1,
    mayAct: () => election.isLeader(),
  });
  await operator.synced;
  const tenant = () => core.api.get(AI_TENANTS, 'default', 'tenant-a');
  const said = (reason: string) =>
    until(
      async () => {
        const found = await tenant();
        return found.ok && JSON.stringify(found.value.status ?? {}).includes(`"reason":"${reason}"`) ? true : undefined;
      },
      () => `tenant-a to be ${reason}`,
    );

  await must(core.api.create(AI_TENANTS, 'default', parse(file('examples/tenant-a.yaml')) as KubeObject));
  await until(
    async () => {
      const found = await tenant();
      const ready = found.ok && JSON.stringify(found.value.status ?? {}).includes('"type":"Ready","status":"True"');
      return ready ? true : undefined;
    },
    () => 'tenant-a to be Ready',
  );
  await said('UpToDate');
  // The same event twice counts up the first.
  const object = await must(tenant());
  await until(
    async () => (asked.has('/events create') ? true : undefined),
    () => 'an event',
  );
  events.record(object, 'Normal', 'Again', 'and again');
  const before = events.counters.written;
  await until(
    async () => (events.counters.written > before ? true : undefined),
    () => 'the event to be written',
  );
  events.record(object, 'Normal', 'Again', 'and again');
  await must(core.api.delete(AI_TENANTS, 'default', 'tenant-a'));
  await until(
    async () => ((await tenant()).ok ? undefined : true),
    () => 'tenant-a to be gone',
  );
  await until(
    async () => (asked.has('/events patch') ? true : undefined),
    () => 'an event to be counted up',
  );
  await operator.stop();
  await election.stop();
  await events.stop(1_000);
  expect(asked.has(`${LEASES.group}/leases patch`)).toBe(true);

  expect({
    neverUsed: given.filter(verb => !asked.has(verb)),
    notGiven: [...asked].filter(verb => !given.includes(verb)),
  }).toEqual({ neverUsed: [], notGiven: [] });
});
