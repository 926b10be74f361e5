import { describe, expect, it } from 'vitest';
import { patched } from '../../sandbox/kube/verbs/patch.ts';
import { JSON_PATCH, MERGE, STRATEGIC, shop, WIDGET_PATH, widget } from './sandbox-kube.support.ts';

const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const configMap = (name: string, data: object, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});

describe('creating', () => {
  it('fills in what the server owns, and the schema defaults', async () => {
    const { ask } = await shop();
    const { code, body } = await ask('POST', WIDGET_PATH, { ...widget('one'), status: { observedGeneration: 9 } });
    expect(code).toBe(201);
    expect(body).toMatchObject({ spec: { size: 3, colour: 'red' } });
    expect(body).not.toHaveProperty('status');
    expect(body.metadata).toMatchObject({
      namespace: 'default',
      generation: 1,
      creationTimestamp: '2030-01-01T00:00:00Z',
    });
    expect(body.metadata.uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('makes a name from generateName', async () => {
    const { ask } = await shop();
    const { body } = await ask('POST', WIDGET_PATH, { ...widget(''), metadata: { generateName: 'gen-' } });
    expect(body.metadata.name).toMatch(/^gen-[a-z0-9]{5}$/);
  });

  it('refuses a second one of the same name', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const { code, body } = await ask('POST', WIDGET_PATH, widget('one'));
    expect(code).toBe(409);
    expect(body).toMatchObject({
      reason: 'AlreadyExists',
      message: 'widgets.shop.example "one" already exists',
      details: { name: 'one', group: 'shop.example', kind: 'widgets' },
    });
  });

  it.each([
    [widget('Bad_Name'), 422, /metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain/],
    [
      widget('x', { size: 12 }),
      422,
      /spec.size: Invalid value: 12: spec.size in body should be less than or equal to 9/,
    ],
    [widget('x', {}), 422, /spec.size: Required value/],
    [widget('x', { size: 1, colour: 'black' }), 422, /black is sold out; choose another colour/],
    [widget('x', { size: 1 }, { labels: { a: 'b c' } }), 422, /metadata.labels: Invalid value: "b c": a valid label/],
    [widget('x', { size: 1 }, { labels: { a: 1 } }), 400, /cannot unmarshal number into Go struct field/],
    [widget('x', { size: 1 }, { namespace: 'other' }), 400, /does not match the namespace sent on the request/],
    [
      { ...widget('x'), apiVersion: 'shop.example/v2' },
      400,
      /does not match the expected API version \(shop.example\/v1\)/,
    ],
    [{ ...widget('x'), kind: 'Gadget' }, 422, /kind: Invalid value: "Gadget": must be Widget/],
    [{ spec: {} }, 400, /Object 'Kind' is missing/],
  ])('refuses %j', async (body, code, message) => {
    const { ask } = await shop();
    const answer = await ask('POST', WIDGET_PATH, body);
    expect(answer.code).toBe(code);
    expect(answer.body.message).toMatch(message);
  });

  it('needs the namespace', async () => {
    const { ask } = await shop();
    const { code, body } = await ask('POST', WIDGET_PATH.replace('default', 'missing'), widget('one'));
    expect([code, body.message]).toEqual([404, 'namespaces "missing" not found']);
  });

  it('treats unknown fields by fieldValidation: Strict refuses, Warn warns and prunes, Ignore prunes', async () => {
    const { ask } = await shop();
    const odd = (name: string) => widget(name, { size: 1, foo: 1 });
    const strict = await ask('POST', `${WIDGET_PATH}?fieldValidation=Strict`, odd('a'));
    expect(strict.code).toBe(400);
    expect(strict.body.message).toBe(
      'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.foo"',
    );
    const warn = await ask('POST', WIDGET_PATH, odd('b'));
    expect(warn.headers.Warning).toBe('299 - "unknown field \\"spec.foo\\""');
    expect(warn.body.spec).toEqual({ size: 1, colour: 'red' });
    const ignore = await ask('POST', `${WIDGET_PATH}?fieldValidation=Ignore`, odd('c'));
    expect(ignore.headers.Warning).toBeUndefined();
    const builtIn = await ask('POST', `${CONFIGMAPS}?fieldValidation=Strict`, { ...configMap('d', {}), foo: 1 });
    expect(builtIn.body.message).toMatch(/strict decoding error: unknown field "foo"/);
  });

  it('tells what the body names twice, where fieldValidation asks for it', async () => {
    const { ask } = await shop();
    const twice = (name: string) =>
      `{"apiVersion":"shop.example/v1","kind":"Widget","metadata":{"name":"${name}"},"spec":{"size":1,"colour":"a,\\"b\\":{","parts":[{"name":"x"},{"name":"y","name":"z"}],"size":2}}`;
    const strict = await ask('POST', `${WIDGET_PATH}?fieldValidation=Strict`, twice('a'));
    expect(strict.code).toBe(400);
    expect(strict.body.message).toBe(
      'Widget in version "v1" cannot be handled as a Widget: strict decoding error: duplicate field "spec.parts[1].name", duplicate field "spec.size"',
    );
    const warned = await ask('POST', WIDGET_PATH, twice('b'));
    expect(warned.code).toBe(201);
    expect(warned.headers.Warning).toContain('duplicate field \\"spec.size\\"');
    expect(warned.body.spec).toMatchObject({ size: 2 });
    expect((await ask('POST', `${WIDGET_PATH}?fieldValidation=Ignore`, twice('c'))).headers.Warning).toBeUndefined();
  });

  it('stores nothing on a dry run', async () => {
    const { ask, core } = await shop();
    const before = core.revision();
    const { code, body } = await ask('POST', `${WIDGET_PATH}?dryRun=All`, widget('one'));
    expect(code).toBe(201);
    expect(body.metadata.uid).toBeTruthy();
    expect(core.revision()).toBe(before);
    expect((await ask('GET', `${WIDGET_PATH}/one`)).code).toBe(404);
    expect((await ask('POST', `${WIDGET_PATH}?dryRun=Some`, widget('one'))).code).toBe(422);
  });
});

describe('updating', () => {
  it('wants the resourceVersion of a custom resource, and that of now', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const without = await ask('PUT', `${WIDGET_PATH}/one`, widget('one', { size: 4 }));
    expect(without.body.message).toMatch(/metadata.resourceVersion: Invalid value: 0: must be specified for an update/);
    const stale = await ask('PUT', `${WIDGET_PATH}/one`, widget('one', { size: 4 }, { resourceVersion: '1' }));
    expect([stale.code, stale.body.message]).toEqual([
      409,
      'Operation cannot be fulfilled on widgets.shop.example "one": the object has been modified; please apply your changes to the latest version and try again',
    ]);
    await ask('POST', CONFIGMAPS, configMap('a', { x: '1' }));
    expect((await ask('PUT', `${CONFIGMAPS}/a`, configMap('a', { x: '2' }))).code).toBe(200);
  });

  it('counts the generation by the spec, not by metadata or status', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const patch = async (body: object, path = '') =>
      (await ask('PATCH', `${WIDGET_PATH}/one${path}`, body, { 'content-type': MERGE })).body;
    expect((await patch({ metadata: { labels: { a: 'b' } } })).metadata.generation).toBe(1);
    expect((await patch({ status: { observedGeneration: 1 } })).status).toBeUndefined();
    const status = await patch(
      { status: { observedGeneration: 1 }, spec: { size: 9 }, metadata: { labels: { z: 'z' } } },
      '/status',
    );
    expect(status).toMatchObject({ status: { observedGeneration: 1 }, spec: { size: 3 } });
    expect(status.metadata).toMatchObject({ generation: 1, labels: { a: 'b' } });
    expect((await patch({ spec: { size: 4 } })).metadata.generation).toBe(2);
  });

  it('writes nothing where nothing changes', async () => {
    const { ask, core } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const before = core.revision();
    const { body } = await ask('PATCH', `${WIDGET_PATH}/one`, { spec: { size: 3 } }, { 'content-type': MERGE });
    expect(core.revision()).toBe(before);
    expect(body.metadata.resourceVersion).toBe(String(before));
  });

  it('takes merge and JSON patches of all, strategic ones of built-ins only', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    await ask('POST', CONFIGMAPS, configMap('a', { x: '1', y: '2' }, { finalizers: ['a.b/c'] }));
    const patch = (url: string, type: string, body: unknown) => ask('PATCH', url, body, { 'content-type': type });
    const json = await patch(`${WIDGET_PATH}/one`, JSON_PATCH, [
      { op: 'test', path: '/spec/size', value: 3 },
      { op: 'replace', path: '/spec/size', value: 5 },
    ]);
    expect(json.body.spec).toMatchObject({ size: 5 });
    const failed = await patch(`${WIDGET_PATH}/one`, JSON_PATCH, [
      { op: 'replace', path: '/spec/size', value: 6 },
      { op: 'test', path: '/spec/size', value: 3 },
    ]);
    expect([failed.code, failed.body.reason]).toEqual([422, 'Invalid']);
    expect((await ask('GET', `${WIDGET_PATH}/one`)).body.spec).toMatchObject({ size: 5 });
    expect((await patch(`${WIDGET_PATH}/one`, STRATEGIC, { spec: {} })).code).toBe(415);
    const strategic = await patch(`${CONFIGMAPS}/a`, STRATEGIC, {
      data: { x: null, z: '3' },
      metadata: { finalizers: ['d.e/f'] },
    });
    expect(strategic.body.data).toEqual({ y: '2', z: '3' });
    expect(strategic.body.metadata.finalizers).toEqual(['a.b/c', 'd.e/f']);
  });

  it('applies for a named manager: what it no longer names goes, what another one set is a conflict until it is forced', async () => {
    const { ask } = await shop();
    const apply = (query: string, data: Record<string, string>) =>
      ask('PATCH', `${CONFIGMAPS}/a?${query}`, configMap('a', data), {
        'content-type': 'application/apply-patch+yaml',
      });
    const nameless = await apply('', { x: '1' });
    expect([nameless.code, nameless.body.message]).toEqual([
      422,
      expect.stringContaining('fieldManager: Required value: is required for apply patch'),
    ]);
    expect((await apply('fieldManager=one', { x: '1', y: '1' })).code).toBe(201);
    const conflict = await apply('fieldManager=two', { y: '2', z: '2' });
    expect([conflict.code, conflict.body.message]).toEqual([
      409,
      'Apply failed with 1 conflict: conflict with "one": .data.y',
    ]);
    const forced = await apply('fieldManager=two&force=true', { y: '2', z: '2' });
    expect(forced.body.data).toEqual({ x: '1', y: '2', z: '2' });
    const less = await apply('fieldManager=one', {});
    expect(less.body.data).toEqual({ y: '2', z: '2' });
  });

  it.each([
    ['an unknown field', { dataa: { a: 'b' } }, '.dataa: field not declared in schema'],
    ['a number for text', { data: { a: 1 } }, '.data.a: expected string, got &value.valueUnstructured{Value:1}'],
    ['a list for a map', { data: ['a', null, { b: 1 }] }, '.data: expected map, got &{[a <nil> map[b:1]]}'],
    ['text for a boolean', { immutable: 'x' }, '.immutable: expected boolean, got &{x}'],
    ['the same item twice', { metadata: { finalizers: ['a/b', 'a/b'] } }, 'duplicate entries for key [="a/b"]'],
    ['the same owner twice', { metadata: { ownerReferences: [{ uid: 'a' }, { uid: 'a' }] } }, 'for key [uid="a"]'],
  ])('refuses to apply %s, whatever the validation of fields', async (_, fields, fault) => {
    const { ask } = await shop();
    const type = { 'content-type': 'application/apply-patch+yaml' };
    for (const validation of ['Ignore', 'Warn', 'Strict']) {
      const object = { apiVersion: 'v1', kind: 'ConfigMap', ...fields };
      const query = `fieldManager=one&fieldValidation=${validation}`;
      const { code, body } = await ask('PATCH', `${CONFIGMAPS}/a?${query}`, object, type);
      expect(code).toBe(500);
      expect(body.message).toMatch(/^failed to create typed patch object \(\/; \/v1, Kind=ConfigMap\): /);
      expect(body.message).toContain(fault);
    }
  });

  it('checks the media type of a patch, the manager’s name and the kind before the object', async () => {
    const { ask } = await shop();
    await ask('POST', CONFIGMAPS, configMap('a', { x: '1' }));
    const patch = (query: string, type: string, body: unknown) =>
      ask('PATCH', `${CONFIGMAPS}/a?${query}`, body as object, { 'content-type': type });
    expect((await patch('', 'application/foo', {})).code).toBe(415);
    const apply = 'application/apply-patch+yaml';
    const named = await patch(`fieldManager=${'x'.repeat(129)}`, apply, configMap('a', {}));
    expect([named.code, named.body.message]).toEqual([422, expect.stringContaining('may not be more than 128 bytes')]);
    const secret = await patch('fieldManager=one', apply, { apiVersion: 'v1', kind: 'Secret' });
    expect([secret.code, secret.body.message]).toEqual([400, 'invalid object type: /v1, Kind=Secret']);
  });

  it('answers an access review with the question that was asked, and refuses one without', async () => {
    const { ask } = await shop();
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const spec = { resourceAttributes: { verb: 'get', resource: 'pods' } };
    const { code, body } = await ask('POST', path, { spec });
    expect([code, body.spec, (body.status as { allowed: boolean }).allowed]).toEqual([201, spec, true]);
    expect((await ask('POST', path, { spec: {} })).code).toBe(422);
  });

  it('answers 409 to a merge patch with a stale resourceVersion, and refuses a changed name or uid', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const patch = (metadata: object) => ask('PATCH', `${WIDGET_PATH}/one`, { metadata }, { 'content-type': MERGE });
    expect((await patch({ resourceVersion: '1' })).code).toBe(409);
    expect((await patch({ name: 'two' })).code).toBe(400);
    expect((await patch({ uid: 'x' })).body.message).toMatch(/metadata.uid: Invalid value: "x": field is immutable/);
  });

  it('refuses a lease that lasts no time', async () => {
    const { ask } = await shop();
    const lease = { metadata: { name: 'l' }, spec: { leaseDurationSeconds: 0, leaseTransitions: -1 } };
    const refused = await ask('POST', '/apis/coordination.k8s.io/v1/namespaces/default/leases', lease);
    expect(refused.code).toBe(422);
    expect(refused.body.details?.causes?.map(({ field }) => field)).toEqual([
      'spec.leaseDurationSeconds',
      'spec.leaseTransitions',
    ]);
  });

  it('creates a lease by PUT, and insists on its microseconds', async () => {
    const { ask } = await shop();
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'l' },
      spec: { holderIdentity: 'me' },
    };
    expect((await ask('PUT', `${leases}/l`, lease)).code).toBe(201);
    const renew = (renewTime: string) =>
      ask('PATCH', `${leases}/l`, { spec: { renewTime } }, { 'content-type': MERGE });
    expect((await renew('2030-01-01T00:00:00Z')).body.message).toMatch(/cannot parse "Z" as ".000000"/);
    expect((await renew('2030-01-01T00:00:00.000000Z')).code).toBe(200);
  });
});

describe('deleting', () => {
  it('is done at once without finalizers, and says what went', async () => {
    const { ask } = await shop();
    const { body } = await ask('POST', WIDGET_PATH, widget('one'));
    const deleted = await ask('DELETE', `${WIDGET_PATH}/one`);
    expect(deleted.body).toMatchObject({
      kind: 'Status',
      status: 'Success',
      details: { name: 'one', group: 'shop.example', kind: 'widgets', uid: body.metadata.uid },
    });
    expect((await ask('DELETE', `${WIDGET_PATH}/one`)).code).toBe(404);
  });

  it('waits for finalizers: marked once, none can be added, the last one to go ends it', async () => {
    const { ask, tick } = await shop();
    await ask('POST', WIDGET_PATH, widget('one', { size: 3 }, { finalizers: ['a.b/c'] }));
    tick(5000);
    const marked = await ask('DELETE', `${WIDGET_PATH}/one`);
    expect(marked.body.metadata).toMatchObject({
      deletionTimestamp: '2030-01-01T00:00:05Z',
      deletionGracePeriodSeconds: 0,
      generation: 2,
    });
    tick(5000);
    const again = await ask('DELETE', `${WIDGET_PATH}/one`);
    expect(again.body.metadata).toEqual(marked.body.metadata);
    const patch = (finalizers: string[]) =>
      ask('PATCH', `${WIDGET_PATH}/one`, { metadata: { finalizers } }, { 'content-type': MERGE });
    const added = await patch(['a.b/c', 'd.e/f']);
    expect(added.body.message).toMatch(
      /no new finalizers can be added if the object is being deleted, found new finalizers \[\]string{"d.e\/f"}/,
    );
    expect((await patch([])).code).toBe(200);
    expect((await ask('GET', `${WIDGET_PATH}/one`)).code).toBe(404);
  });

  it('honours preconditions and dry run', async () => {
    const { ask } = await shop();
    await ask('POST', WIDGET_PATH, widget('one'));
    const uid = await ask('DELETE', `${WIDGET_PATH}/one`, { preconditions: { uid: 'other' } });
    expect([uid.code, uid.body.message]).toEqual([409, expect.stringContaining('the UID in the precondition (other)')]);
    expect((await ask('DELETE', `${WIDGET_PATH}/one`, { preconditions: { resourceVersion: '1' } })).code).toBe(409);
    expect((await ask('DELETE', `${WIDGET_PATH}/one?dryRun=All`)).code).toBe(200);
    expect((await ask('GET', `${WIDGET_PATH}/one`)).code).toBe(200);
  });

  it('deletes a collection by selector', async () => {
    const { ask } = await shop();
    for (const [name, shelf] of [
      ['a', 'x'],
      ['b', 'y'],
      ['c', 'x'],
    ]) {
      await ask('POST', WIDGET_PATH, widget(name ?? '', { size: 1 }, { labels: { shelf } }));
    }
    await ask('DELETE', `${WIDGET_PATH}?labelSelector=shelf%3Dx`);
    expect((await ask('GET', WIDGET_PATH)).body.items?.map(item => item.metadata.name)).toEqual(['b']);
  });

  it('lets dependents follow their owner, at once or first', async () => {
    const { ask } = await shop();
    const { body: owner } = await ask('POST', WIDGET_PATH, widget('owner'));
    const ownerReferences = [{ apiVersion: 'shop.example/v1', kind: 'Widget', name: 'owner', uid: owner.metadata.uid }];
    await ask('POST', CONFIGMAPS, configMap('child', {}, { ownerReferences, finalizers: ['a.b/c'] }));
    const foreground = await ask('DELETE', `${WIDGET_PATH}/owner`, { propagationPolicy: 'Foreground' });
    expect(foreground.body.metadata.finalizers).toEqual(['foregroundDeletion']);
    expect((await ask('GET', `${CONFIGMAPS}/child`)).body.metadata.deletionTimestamp).toBeTruthy();
    await ask('PATCH', `${CONFIGMAPS}/child`, { metadata: { finalizers: null } }, { 'content-type': MERGE });
    expect((await ask('GET', `${WIDGET_PATH}/owner`)).code).toBe(404);
  });
});

describe('a JSON patch', () => {
  const doubling = (times: number) => [
    { op: 'add', path: '/copies', value: { text: 'x'.repeat(1_000) } },
    ...Array.from({ length: times }, (_, at) => ({ op: 'copy', from: '/copies', path: `/copies/c${at}` })),
  ];

  it('that copies more than 3 MiB in all is refused, as kube-apiserver does: each copy doubles what the next one copies', () => {
    expect(patched({}, JSON_PATCH, doubling(8), {}).copies).toHaveProperty('c7');
    expect(() => patched({}, JSON_PATCH, doubling(14), {})).toThrow();
  });

  const object = { list: ['a', 'b'], map: { x: 1 }, none: null };
  it.each([
    ['a part before the first slash does not count', { op: 'add', path: 'x/map/y', value: 2 }, { map: { x: 1, y: 2 } }],
    ['an index may start with a zero', { op: 'replace', path: '/list/01', value: 'c' }, { list: ['a', 'c'] }],
    ['a negative index counts from the end', { op: 'remove', path: '/list/-1' }, { list: ['a'] }],
    ['- is the end', { op: 'add', path: '/list/-', value: 'c' }, { list: ['a', 'b', 'c'] }],
    ['replacing adds', { op: 'replace', path: '/map/y', value: 2 }, { map: { x: 1, y: 2 } }],
    [
      'copying what is not there adds null',
      { op: 'copy', from: '/map/y', path: '/list/0' },
      { list: [null, 'a', 'b'] },
    ],
    ['a test without a value is for null', { op: 'test', path: '/map/y' }, {}],
    ['a key is a key', { op: 'add', path: '/map/__proto__', value: 1 }, { map: { x: 1, ['__proto__']: 1 } }],
  ])('%s', (_, operation, change) => {
    expect(patched(object, JSON_PATCH, [operation], {})).toEqual({ ...object, ...change });
  });

  it.each([
    { op: 'add', path: 'map', value: 1 },
    { op: 'add', path: '', value: {} },
    { op: 'add', path: '/list/3', value: 1 },
    { op: 'add', path: '/list/x', value: 1 },
    { op: 'add', path: '/none/x', value: 1 },
    { op: 'replace', path: '/list/-', value: 1 },
    { op: 'replace', path: '', value: 'x' },
    { op: 'replace', path: '', value: [] },
    { op: 'remove', path: '/map/y' },
    { op: 'move', from: '/map/y', path: '/map/z' },
    { op: 'test', path: '/map/x', value: 2 },
    { op: 'toString', path: '/map' },
    { path: '/map' },
    null,
  ])('%j is refused', operation => {
    expect(() => patched(object, JSON_PATCH, [operation], {})).toThrow('the server rejected our request');
  });
});
