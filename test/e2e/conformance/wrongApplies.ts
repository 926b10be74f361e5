import type { Session } from './session.ts';

/**
 * Objects that server-side apply refuses, as a manifest with a spelling mistake or a wrong type has them. kube-apiserver checks them against
 * the schema before it merges, also those that a merge patch or a PUT would take with a warning. Each has one fault: of several,
 * kube-apiserver names any.
 */

const APPLY = 'application/apply-patch+yaml';

const SPECS: [name: string, spec: unknown][] = [
  ['unknown field', { foo: 1 }],
  ['number for a string', { region: 1 }],
  ['text for a boolean', { suspend: 'x' }],
  ['text for a number', { timeoutSeconds: 'x' }],
  ['map for a number', { scaling: { minInstances: {} } }],
  ['list for a map', { scaling: [] }],
  ['map for a list', { keys: {} }],
  ['text for the spec', 'x'],
  ['unknown field of an inner map', { scaling: { foo: {} } }],
  ['null item', { keys: [null] }],
  ['item that is no map', { keys: ['x'] }],
  ['item without its key', { keys: [{ env: 'A' }] }],
  ['key of another type', { keys: [{ name: 1 }] }],
  ['two items of one key', { keys: [{ name: 'a' }, { name: 'a' }] }],
  ['unknown field of an item', { keys: [{ name: 'a', foo: 1 }] }],
  ['wrong value in an item', { env: [{ name: 'a', value: 1 }] }],
  ['two equal items of a set', { invokers: ['a', 'a'] }],
  ['null in a set', { invokers: [null] }],
  ['number in a set of text', { invokers: [1] }],
  ['number in an atomic list', { container: { args: [1] } }],
  ['number in a map of text', { labels: { a: 1 } }],
  ['list for a map of text', { labels: [] }],
  ['value that may be a number or text', { resources: { cpu: true } }],
  ['null for a map', null],
];

const METADATA: [name: string, metadata: unknown][] = [
  ['unknown field', { foo: 1 }],
  ['number for a label', { labels: { a: 1 } }],
  ['number for the name', { name: 1 }],
  ['no map', []],
  ['finalizer twice', { finalizers: ['a/b', 'a/b'] }],
  ['owner twice', { ownerReferences: [{ uid: 'a' }, { uid: 'a' }] }],
  ['owner with an unknown field', { ownerReferences: [{ uid: 'a', foo: 1 }] }],
  ['text for the generation', { generation: 'x' }],
  ['own managers', { managedFields: [{ manager: 'x' }] }],
  ['another name', { name: 'b' }],
  ['another namespace', { namespace: 'elsewhere' }],
];

const TYPES = [{ apiVersion: 'v1', kind: 'Secret' }, { apiVersion: 'v2', kind: 'ConfigMap' }, { apiVersion: 'v1' }, {}];

export async function wrongApplies(session: Session, namespace: string): Promise<void> {
  const tenants = `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants`;
  const configMaps = `/api/v1/namespaces/${namespace}/configmaps`;
  const tenant = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant' };
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap' };
  const apply = (name: string, path: string, body: unknown, query = 'fieldManager=m&force=true') =>
    session.call(name, 'PATCH', `${path}?${query}`, { body, type: APPLY });

  const spec = { region: 'asia-northeast1', keys: [{ name: 'openai', secretRef: { external: 'k' }, env: 'KEY' }] };
  await apply('new tenant without a name', `${tenants}/tenant-a`, { ...tenant, spec });
  await apply('new config map without a name', `${configMaps}/a`, configMap);
  await apply('good tenant', `${tenants}/tenant-a`, { ...tenant, metadata: { name: 'tenant-a' }, spec });
  await apply('good config map', `${configMaps}/a`, { ...configMap, metadata: { name: 'a' }, data: { a: 'b' } });
  for (const [name, wrong] of SPECS) {
    await apply(
      `spec: ${name}`,
      `${tenants}/tenant-a`,
      { ...tenant, spec: wrong },
      'fieldManager=n&force=true&dryRun=All',
    );
  }
  await apply('status', `${tenants}/tenant-a`, { ...tenant, status: { foo: 1 } });
  for (const [name, metadata] of METADATA) {
    await apply(`metadata: ${name}`, `${configMaps}/a`, { ...configMap, metadata });
    await apply(`metadata of a tenant: ${name}`, `${tenants}/tenant-a`, { ...tenant, spec, metadata });
  }
  for (const type of TYPES) await apply(`type ${JSON.stringify(type)}`, `${configMaps}/a`, type);
  await apply('another version', `${tenants}/tenant-a`, { ...tenant, apiVersion: 'ai-platform.dev/v1beta1' });
  for (const validation of ['Strict', 'Warn', 'Ignore']) {
    const query = `fieldManager=m&fieldValidation=${validation}`;
    await apply(`unknown field, ${validation}`, `${configMaps}/a`, { ...configMap, dataa: { a: 'b' } }, query);
  }
  await apply('uid of no object', `${configMaps}/new`, { ...configMap, metadata: { name: 'new', uid: 'x' } });
  await apply('long manager', `${configMaps}/a`, configMap, `fieldManager=${'x'.repeat(129)}`);
  await apply('manager with a line break', `${configMaps}/a`, configMap, 'fieldManager=a%0Ab');
  for (const type of ['application/foo', 'application/json', 'application/apply-patch+cbor']) {
    await session.call(`config map as ${type}`, 'PATCH', `${configMaps}/a`, { body: {}, type });
  }
  const strategic = 'application/strategic-merge-patch+json';
  await session.call('tenant as a strategic merge', 'PATCH', `${tenants}/tenant-a`, { body: {}, type: strategic });
  for (const [name, body] of [
    ['null', null],
    ['list', []],
    ['unknown directive', { data: { $patch: 'bogus' } }],
  ] as const) {
    await session.call(`strategic merge: ${name}`, 'PATCH', `${configMaps}/a`, { body, type: strategic });
  }
  await session.call('config map at the end', 'GET', `${configMaps}/a`);
  await session.call('tenant at the end', 'GET', `${tenants}/tenant-a`);
}
