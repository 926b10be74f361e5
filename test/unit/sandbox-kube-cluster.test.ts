import { describe, expect, it } from 'vitest';
import { CRD_PATH, CRDS, MERGE, shop, TABLE, WIDGET_PATH, WIDGETS, widget, widgetCrd } from './sandbox-kube.support.ts';

const NAMESPACES = '/api/v1/namespaces';
const namespace = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

describe('CRDs', () => {
  it('are established, and served by discovery and OpenAPI', async () => {
    const { ask } = await shop();
    const { body } = await ask('GET', `${CRD_PATH}/widgets.shop.example`);
    expect(body).toMatchObject({
      spec: { conversion: { strategy: 'None' }, names: { singular: 'widget', listKind: 'WidgetList' } },
      status: {
        acceptedNames: { plural: 'widgets', kind: 'Widget' },
        storedVersions: ['v1'],
        conditions: [
          { type: 'NamesAccepted', status: 'True' },
          { type: 'Established', status: 'True' },
        ],
      },
    });
    expect((await ask('GET', '/apis/shop.example/v1')).body).toMatchObject({
      resources: [{ name: 'widgets', shortNames: ['wd'] }, { name: 'widgets/status' }],
    });
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
    const aggregated = await ask('GET', '/apis', undefined, { accept });
    expect(aggregated.headers['Content-Type']).toBe(
      'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
    );
    expect(aggregated.text).toContain('"responseKind":{"group":"shop.example","version":"v1","kind":"Widget"}');
    const index = (await ask('GET', '/openapi/v3')).body as never as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    const document = await ask('GET', index.paths['apis/shop.example/v1']?.serverRelativeURL ?? '');
    expect(document.body).toMatchObject({
      components: {
        schemas: {
          'example.shop.v1.Widget': {
            'x-kubernetes-group-version-kind': [{ group: 'shop.example', kind: 'Widget', version: 'v1' }],
            properties: { spec: { properties: { size: { description: 'How big.' } } } },
          },
        },
      },
    });
    expect(document.text).toContain('"name":"fieldValidation","in":"query"');
  });

  it('are refused where the API would, with causes', async () => {
    const { ask } = await shop({}, false);
    const { code, body } = await ask('POST', CRD_PATH, { ...widgetCrd, metadata: { name: 'wrong.name' } });
    expect([code, body.reason]).toEqual([422, 'Invalid']);
    expect(body.message).toMatch(/^CustomResourceDefinition.apiextensions.k8s.io "wrong.name" is invalid: /);
  });

  it('take effect again when they change', async () => {
    const { ask } = await shop();
    const [version] = structuredClone(widgetCrd.spec.versions);
    if (!version) throw new Error('no version');
    version.schema.openAPIV3Schema.properties.spec.properties.size.maximum = 99;
    await ask(
      'PATCH',
      `${CRD_PATH}/widgets.shop.example`,
      { spec: { versions: [version] } },
      { 'content-type': MERGE },
    );
    expect((await ask('POST', WIDGET_PATH, widget('big', { size: 50 }))).code).toBe(201);
  });

  it('go only after their objects, whose finalizers are honoured', async () => {
    const { ask, watch, tick } = await shop();
    await ask('POST', WIDGET_PATH, widget('plain'));
    await ask('POST', WIDGET_PATH, widget('held', { size: 1 }, { finalizers: ['a.b/c'] }));
    const open = await watch(`${WIDGET_PATH}?watch=1`);
    const deleted = await ask('DELETE', `${CRD_PATH}/widgets.shop.example`);
    expect(deleted.body.metadata.finalizers).toEqual(['customresourcecleanup.apiextensions.k8s.io']);
    expect((await ask('GET', `${CRD_PATH}/widgets.shop.example`)).text).toContain('InstanceDeletionInProgress');
    expect((await ask('GET', WIDGET_PATH)).body.items?.map(item => item.metadata.name)).toEqual(['held']);
    const refused = await ask('POST', WIDGET_PATH, widget('new'));
    expect(refused.body.message).toMatch(/create not allowed while custom resource definition is terminating/);
    await ask('PATCH', `${WIDGET_PATH}/held`, { metadata: { finalizers: null } }, { 'content-type': MERGE });
    expect((await ask('GET', `${CRD_PATH}/widgets.shop.example`)).code).toBe(404);
    expect((await ask('GET', WIDGET_PATH)).code).toBe(404);
    tick();
    expect(open.ended).toBe(true);
    expect((await ask('POST', CRD_PATH, widgetCrd)).code).toBe(201);
    expect((await ask('GET', WIDGET_PATH)).body.items).toEqual([]);
  });

  it('of two with one kind the second is not established', async () => {
    const { ask } = await shop();
    const names = { plural: 'gadgets', singular: 'gadget', kind: 'Widget', listKind: 'GadgetList' };
    const rival = { ...widgetCrd, metadata: { name: 'gadgets.shop.example' }, spec: { ...widgetCrd.spec, names } };
    await ask('POST', CRD_PATH, rival);
    const { text } = await ask('GET', `${CRD_PATH}/gadgets.shop.example`);
    expect(text).toContain('"reason":"KindConflict"');
    expect((await ask('GET', WIDGET_PATH.replace('widgets', 'gadgets'))).code).toBe(404);
  });
});

describe('namespaces', () => {
  it('are there from the start, labelled, with a UID', async () => {
    const { ask } = await shop();
    const { body } = await ask('GET', `${NAMESPACES}/kube-system`);
    expect(body).toMatchObject({
      metadata: {
        labels: { 'kubernetes.io/metadata.name': 'kube-system' },
        uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    });
    expect((await ask('DELETE', `${NAMESPACES}/default`)).code).toBe(403);
  });

  it('go after their content', async () => {
    const { ask } = await shop();
    await ask('POST', NAMESPACES, namespace('team'));
    const path = WIDGET_PATH.replace('default', 'team');
    await ask('POST', path, widget('held', { size: 1 }, { finalizers: ['a.b/c'] }));
    const { body } = await ask('DELETE', `${NAMESPACES}/team`);
    expect(body.status).toMatchObject({ phase: 'Terminating' });
    const late = await ask('POST', path, widget('late'));
    expect([late.code, late.body.details?.causes?.[0]?.reason]).toEqual([403, 'NamespaceTerminating']);
    expect((await ask('GET', `${NAMESPACES}/team`)).text).toContain('widgets.shop.example has 1 resource instances');
    await ask('PATCH', `${path}/held`, { metadata: { finalizers: null } }, { 'content-type': MERGE });
    expect((await ask('GET', `${NAMESPACES}/team`)).code).toBe(404);
  });

  it('have their own columns', async () => {
    const { ask } = await shop();
    const { body } = await ask('GET', `${NAMESPACES}/default`, undefined, { accept: TABLE });
    expect(body.rows?.[0]?.cells).toEqual(['default', 'Active', '0s']);
  });
});

describe('everything else that is asked', () => {
  it.each([
    ['/version', 200, 'gitVersion'],
    ['/healthz', 200, 'ok'],
    ['/readyz', 200, 'ok'],
    ['/livez', 200, 'ok'],
    ['/api', 200, 'APIVersions'],
    ['/api/v1', 200, 'APIResourceList'],
    ['/openapi/v2', 200, '"swagger"'],
    ['/apis/nope', 404, '404 page not found'],
    ['/api/v1/pods', 404, 'the server could not find the requested resource'],
    [`${WIDGET_PATH}/x/scale`, 404, 'not found'],
  ])('GET %s', async (url, code, text) => {
    const { ask } = await shop();
    const answer = await ask('GET', url);
    expect(answer.code).toBe(code);
    expect(answer.text).toContain(text);
  });

  it('answers 406 and 415 to what it does not speak', async () => {
    const { ask } = await shop();
    expect((await ask('GET', WIDGET_PATH, undefined, { accept: 'text/html' })).code).toBe(406);
    expect((await ask('POST', WIDGET_PATH, 'x', { 'content-type': 'text/plain' })).code).toBe(415);
  });

  it('lets everybody do everything', async () => {
    const { ask } = await shop();
    const spec = { resourceAttributes: { verb: 'delete', resource: 'widgets' } };
    const { text } = await ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec });
    expect(text).toContain('"allowed":true');
  });
});

describe('the operator port', () => {
  it('reads and writes plain objects that nobody else holds', async () => {
    const { core } = await shop();
    const created = await core.api.create(WIDGETS, 'default', widget('one'));
    if (!created.ok) throw new Error(created.status.message);
    created.value.spec = 'spoiled';
    const read = await core.api.get(WIDGETS, 'default', 'one');
    expect(read).toMatchObject({ ok: true, value: { spec: { size: 3, colour: 'red' } } });
    const resourceVersion = '1';
    const stale = await core.api.patch(WIDGETS, 'default', 'one', { metadata: { resourceVersion }, spec: { size: 4 } });
    expect(stale).toMatchObject({ ok: false, status: { code: 409, reason: 'Conflict' } });
    const status = await core.api.patch(
      WIDGETS,
      'default',
      'one',
      { status: { observedGeneration: 1 } },
      { subresource: 'status' },
    );
    expect(status).toMatchObject({ ok: true, value: { status: { observedGeneration: 1 } } });
    expect(await core.api.delete(WIDGETS, 'default', 'one', { uid: 'other' })).toMatchObject({ ok: false });
    expect(await core.api.delete(WIDGETS, 'default', 'one')).toEqual({ ok: true, value: undefined });
    expect(await core.api.get(CRDS, undefined, 'widgets.shop.example')).toMatchObject({ ok: true });
  });

  it('watches until aborted, dropped or timed out', async () => {
    const { core, tick } = await shop();
    const told: string[] = [];
    const abort = new AbortController();
    const open = (timeoutSeconds: number) =>
      core.api.watch(WIDGETS, { resourceVersion: '1', timeoutSeconds, signal: abort.signal }, event =>
        told.push(`${event.type} ${event.object.metadata.name}`),
      );
    const first = open(10);
    await core.api.create(WIDGETS, 'default', widget('one'));
    tick();
    expect(told).toEqual(['ADDED one']);
    tick(10_000);
    expect(await first).toEqual({ ok: true, value: undefined });
    const second = open(10);
    await Promise.resolve();
    expect(core.dropWatches('widgets')).toBe(1);
    await second;
    const third = open(10);
    await Promise.resolve();
    abort.abort();
    await third;
    expect(core.openWatches()).toBe(0);
  });
});

describe('faults on order', () => {
  it('refuse, lose or delay requests, and are counted', async () => {
    const { core, tick } = await shop();
    core.faults.reset();
    core.faults.inject({ verb: 'create', resource: 'widgets', times: 1, status: { code: 503, retryAfterMs: 2000 } });
    const refused = await core.api.create(WIDGETS, 'default', widget('one'));
    expect(refused).toMatchObject({
      ok: false,
      status: { code: 503, reason: 'ServiceUnavailable', retryAfterMs: 2000 },
    });
    core.faults.inject({ verb: 'create', times: 1, status: { code: 0 }, applied: true });
    expect(await core.api.create(WIDGETS, 'default', widget('one'))).toMatchObject({ ok: false, status: { code: 0 } });
    expect(await core.api.get(WIDGETS, 'default', 'one')).toMatchObject({ ok: true });
    core.faults.inject({ verb: 'get', delayMs: 500 });
    let answered = false;
    const slow = core.api.get(WIDGETS, 'default', 'one').then(() => {
      answered = true;
    });
    await Promise.resolve();
    expect(answered).toBe(false);
    tick(500);
    await slow;
    expect(core.faults.count('create', 'widgets')).toBe(2);
    expect(core.faults.log().map(({ verb, code }) => `${verb} ${code}`)).toEqual([
      'create 503',
      'create 0',
      'get 200',
      'get 200',
    ]);
  });

  it('silence watches until they are let go on', async () => {
    const it = await shop();
    const watch = await it.watch(`${WIDGET_PATH}?watch=1`);
    const resume = it.core.pauseWatches();
    await it.ask('POST', WIDGET_PATH, widget('one'));
    it.tick(10_000);
    expect(watch.events).toEqual([]);
    resume();
    it.tick();
    expect(watch.told()).toEqual(['ADDED one']);
  });
});
