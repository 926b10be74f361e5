import type { PlainObject } from '../../../schema/types.ts';
import { accepted, refusals, tenant } from '../../unit/crd.cases.ts';
import { CRD_PATH, JSON_PATCH, MERGE, STRATEGIC, TABLE, widget, widgetCrd } from '../../unit/sandbox-kube.support.ts';
import { crdOf, widgetOf, widgetSchema } from '../../unit/schema.cases.ts';
import recorded from '../../unit/schema.recorded.json' with { type: 'json' };
import type { Session } from './session.ts';

/** What is asked of both servers, by name. Each has a namespace of its own, `n` in it the path of its widgets. */
export type Scenario = (session: Session, n: string, namespace: string) => Promise<void>;

const GROUP = '/apis/shop.example/v1';
const ALL_TENANTS = '/apis/ai-platform.dev/v1alpha1/aitenants';
const PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
const PARTIAL_LIST = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
const DISCOVERY = 'application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io';

interface Operation {
  parameters?: { name: string }[];
  'x-kubernetes-action': string;
  'x-kubernetes-group-version-kind': object;
}

export const SCENARIOS: Record<string, Scenario> = {
  async discovery({ call }) {
    await call('version', 'GET', '/version');
    await call('core', 'GET', '/api');
    await call('core resources', 'GET', '/api/v1');
    await call('groups', 'GET', '/apis');
    await call('group', 'GET', '/apis/shop.example');
    await call('resources', 'GET', GROUP);
    await call('leases', 'GET', '/apis/coordination.k8s.io/v1');
    await call('CRDs', 'GET', '/apis/apiextensions.k8s.io/v1');
    await call('aggregated', 'GET', '/apis', { accept: DISCOVERY });
    await call('aggregated core', 'GET', '/api', { accept: DISCOVERY });
    await call('unknown group', 'GET', '/apis/nothing.example');
    await call('unknown version', 'GET', '/apis/shop.example/v2');
    await call('unknown path', 'GET', '/nothing');
    await call('healthz', 'GET', '/healthz');
    await call('readyz', 'GET', '/readyz');
    await call('livez', 'GET', '/livez');
  },

  /** What kubectl reads of it; the rest is for those who generate clients. */
  async OpenAPI({ until, note }) {
    for (const [path, schema] of [
      ['apis/shop.example/v1', 'example.shop.v1.Widget'],
      ['apis/ai-platform.dev/v1alpha1', 'dev.ai-platform.v1alpha1.AiTenant'],
    ] as const) {
      const { body: index } = await until('/openapi/v3', ({ body }) => path in body.paths);
      const { serverRelativeURL } = index.paths[path] as { serverRelativeURL: string };
      const { body } = await until(serverRelativeURL, ({ code }) => code === 200);
      for (const name of [schema, `${schema}List`]) note(`schema ${name}`, body.components.schemas[name]);
      for (const [url, { parameters: _, ...verbs }] of Object.entries<Record<string, Operation>>(body.paths)) {
        for (const [verb, operation] of Object.entries(verbs)) {
          // That a collection is deleted at once and that there are watches by path no kubectl asks.
          if (operation['x-kubernetes-action'] === 'deletecollection' || !url.includes('{namespace}')) continue;
          const looked = ['dryRun', 'fieldManager', 'fieldValidation'];
          const found = operation.parameters?.map(({ name }) => name).filter(name => looked.includes(name));
          note(`${verb} ${url}`, {
            action: operation['x-kubernetes-action'],
            gvk: operation['x-kubernetes-group-version-kind'],
            parameters: found?.sort(),
          });
        }
      }
    }
  },

  async create({ call }, n, namespace) {
    await call('created', 'POST', n, { body: widget('a') });
    await call('again', 'POST', n, { body: widget('a') });
    await call('read', 'GET', `${n}/a`);
    await call('name missing', 'POST', n, { body: widget('') });
    await call('bad name', 'POST', n, { body: widget('A_b') });
    await call('long name', 'POST', n, { body: widget('x'.repeat(254)) });
    await call('other namespace', 'POST', n, { body: widget('b', { size: 1 }, { namespace: 'elsewhere' }) });
    await call('no such namespace', 'POST', `${GROUP}/namespaces/absent/widgets`, { body: widget('b') });
    await call('without namespace', 'POST', `${GROUP}/widgets`, { body: widget('b') });
    await call('other kind', 'POST', n, { body: { ...widget('b'), kind: 'Gadget' } });
    await call('other group', 'POST', n, { body: { ...widget('b'), apiVersion: 'shop.example/v2' } });
    await call('no kind', 'POST', n, { body: { metadata: { name: 'b' }, spec: { size: 1 } } });
    await call('with resourceVersion', 'POST', n, { body: widget('b', { size: 1 }, { resourceVersion: '5' }) });
    await call('with uid and more', 'POST', n, {
      body: widget(
        'b',
        { size: 1 },
        {
          uid: 'mine',
          generation: 7,
          creationTimestamp: '2001-01-01T00:00:00Z',
          deletionTimestamp: '2001-01-01T00:00:00Z',
          selfLink: '/x',
        },
      ),
    });
    // One at a time: the server goes through them in no order of its own.
    for (const labels of [{ 'a b': 'c' }, { a: 'c d' }, { ok: '-' }, { [`${'x'.repeat(64)}`]: 'y'.repeat(64) }]) {
      await call(`bad label ${JSON.stringify(labels)}`, 'POST', n, { body: widget('c', { size: 1 }, { labels }) });
    }
    await call('bad annotation', 'POST', n, { body: widget('c', { size: 1 }, { annotations: { 'x/y/z': '' } }) });
    await call('bad finalizer', 'POST', n, { body: widget('c', { size: 1 }, { finalizers: ['no domain'] }) });
    await call('metadata of the wrong type', 'POST', n, {
      body: { ...widget('c'), metadata: { name: 'c', labels: 3 } },
    });
    await call('status is dropped', 'POST', n, { body: { ...widget('d'), status: { observedGeneration: 3 } } });
    await call('owner', 'POST', n, {
      body: widget('e', { size: 1 }, { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p' }] }),
    });
    await call('namespace in the path wins', 'GET', `${GROUP}/namespaces/${namespace}/widgets/d`);
  },

  async 'fields of AiTenants'({ call, watch }, _, namespace) {
    const path = `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants`;
    for (const [name, region] of [
      ['tenant-a', 'asia-northeast1'],
      ['tenant-b', 'europe-west1'],
      ['tenant-c', 'asia-northeast1'],
    ]) {
      const spec = { region, keys: [{ name: 'openai', secretRef: { external: 'key' } }] };
      await call(`make ${name}`, 'POST', path, {
        body: { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata: { name }, spec },
      });
    }
    const { body } = await call('a project', 'PATCH', `${path}/tenant-b/status`, {
      body: { status: { projectId: 'demo-project' } },
      type: MERGE,
    });
    for (const selector of [
      'spec.region=asia-northeast1',
      'spec.region!=asia-northeast1',
      'spec.region=nowhere',
      'status.projectId=demo-project',
      'status.projectId=',
      'status.projectId!=demo-project,metadata.name=tenant-a',
      'spec.region=europe-west1,status.projectId=demo-project',
      'spec.access=Public',
      'status.url=x',
    ]) {
      await call(`by ${selector}`, 'GET', `${path}?fieldSelector=${encodeURIComponent(selector)}`);
    }
    await call('in all namespaces', 'GET', `${ALL_TENANTS}?fieldSelector=status.projectId%3Dno-such-project`);
    const from = body.metadata.resourceVersion;
    const moved = await watch(
      'moved',
      `${path}?watch=true&resourceVersion=${from}&fieldSelector=spec.region%3Dus-east1`,
    );
    await call('moves', 'PATCH', `${path}/tenant-a`, { body: { spec: { region: 'us-east1' } }, type: MERGE });
    await call('moves on', 'PATCH', `${path}/tenant-a`, { body: { spec: { region: 'us-west1' } }, type: MERGE });
    await moved.until(2);
    await moved.done();
    await call('delete some', 'DELETE', `${path}?fieldSelector=spec.region%3Dasia-northeast1`);
    await call('what is left', 'GET', path);
  },

  async 'fields of a CRD that no selector may name'({ call }) {
    const properties = {
      word: { type: 'string' },
      list: { type: 'array', items: { type: 'string' } },
      map: { type: 'object', additionalProperties: { type: 'integer' } },
      ratio: { type: 'number' },
      open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      port: { 'x-kubernetes-int-or-string': true },
    };
    const crd = (paths: (string | undefined)[]) => ({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'picks.shop.example' },
      spec: {
        group: 'shop.example',
        scope: 'Namespaced',
        names: { plural: 'picks', kind: 'Pick' },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: { metadata: { type: 'object' }, spec: { type: 'object', properties } },
              },
            },
            selectableFields: paths.map(jsonPath => ({ jsonPath })),
          },
        ],
      },
    });
    const names = Array.from({ length: 9 }, (_, i) => `.spec.map.key${i}`);
    for (const paths of [
      ['.spec.word', '.spec.word'],
      [''],
      ['spec.word'],
      ['.spec.nothing'],
      ['.spec.list'],
      ['.spec.list[0]'],
      ["['spec']"],
      ['.spec.'],
      ['.spec.ratio'],
      ['.spec.open.inner'],
      ['.spec.port'],
      ['.spec'],
      ['.metadata.name'],
      ['.metadata'],
      ['.spec.word.inner'],
      names,
      names.slice(1),
    ]) {
      await call(`fields ${paths}`, 'POST', `${CRD_PATH}?dryRun=All`, { body: crd(paths) });
    }
  },

  async 'generated names'({ ask }, n) {
    for (const name of ['pre-', 'x'.repeat(70)]) {
      const made = await ask('POST', n, { body: widget('', { size: 1 }, { name: undefined, generateName: name }) });
      const length = (made.body.metadata.name as string).length - Math.min(name.length, 58);
      if (made.code !== 201 || length !== 5) throw new Error(JSON.stringify(made));
    }
  },

  async 'bad requests'({ call }, n) {
    await call('no JSON', 'POST', n, { body: '{"a":' });
    await call('empty', 'POST', n, { body: '' });
    await call('a list', 'POST', n, { body: [] });
    await call('text', 'POST', n, { body: 'x: y: z', type: 'text/plain' });
    await call('YAML', 'POST', n, {
      body: 'apiVersion: shop.example/v1\nkind: Widget\nmetadata: {name: yaml}\nspec: {size: 2}\n',
      type: 'application/yaml',
    });
    await call('as YAML it comes', 'GET', `${n}/yaml`, { accept: 'application/yaml' });
    await call('not acceptable', 'GET', n, { accept: 'text/csv' });
    await call('method', 'POST', `${n}/yaml`, { body: widget('yaml') });
    await call('put on the collection', 'PUT', n, { body: widget('yaml') });
    await call('unknown resource', 'GET', n.replace('widgets', 'gadgets'));
    await call('unknown subresource', 'GET', `${n}/yaml/logs`);
    await call('scale', 'GET', `${n}/yaml/scale`);
    await call('missing', 'GET', `${n}/missing`);
    await call('bad dryRun', 'POST', `${n}?dryRun=Some`, { body: widget('x') });
    await call('bad fieldValidation', 'POST', `${n}?fieldValidation=Maybe`, { body: widget('x') });
    await call('bad label selector', 'GET', `${n}?labelSelector=a%20in%20b`);
    await call('bad field selector', 'GET', `${n}?fieldSelector=a`);
    await call('unknown field', 'GET', `${n}?fieldSelector=spec.size=1`);
    await call('bad limit', 'GET', `${n}?limit=x`);
    await call('bad continue', 'GET', `${n}?limit=1&continue=x`);
    await call('bad resourceVersion', 'GET', `${n}?resourceVersion=x`);
    await call('resourceVersion of the future', 'GET', `${n}?resourceVersion=99999999999&timeoutSeconds=1`);
    await call('bad match', 'GET', `${n}?resourceVersionMatch=Some`);
    await call('match without version', 'GET', `${n}?resourceVersionMatch=Exact`);
    await call('not found for delete', 'DELETE', `${n}/missing`);
    await call('not found for patch', 'PATCH', `${n}/missing`, { body: {}, type: MERGE });
    await call('bad delete options', 'DELETE', `${n}/yaml`, { body: { propagationPolicy: 'Some' } });
    await call('grace', 'DELETE', `${n}/yaml?gracePeriodSeconds=-1&dryRun=All`);
  },

  async update({ call, ask }, n) {
    const { body: made } = await call('created', 'POST', n, { body: widget('a', { size: 3, colour: 'blue' }) });
    const put = { ...made, spec: { size: 4 } };
    const { body: next } = await call('put', 'PUT', `${n}/a`, { body: put });
    await call('stale', 'PUT', `${n}/a`, { body: put });
    await call('same again', 'PUT', `${n}/a`, { body: next });
    await call('labels only', 'PUT', `${n}/a`, {
      body: { ...next, metadata: { ...next.metadata, labels: { a: 'b' } } },
    });
    await call('without version', 'PUT', `${n}/a`, { body: widget('a', { size: 5 }) });
    await call('other name', 'PUT', `${n}/a`, { body: widget('b') });
    await call('no name', 'PUT', `${n}/a`, { body: { ...widget('a'), metadata: {} } });
    await call('other uid', 'PUT', `${n}/a`, {
      body: { ...made, metadata: { ...made.metadata, uid: 'other', resourceVersion: undefined } },
    });
    await call('absent', 'PUT', `${n}/absent`, { body: widget('absent') });
    await call('absent with version', 'PUT', `${n}/absent`, {
      body: widget('absent', { size: 1 }, { resourceVersion: '1' }),
    });
    await call('invalid', 'PUT', `${n}/a`, { body: widget('a', { size: 50, colour: 'black' }) });
    await call('read', 'GET', `${n}/a`);
    const { body: now } = await ask('GET', `${n}/a`);
    await call('status through the resource is dropped', 'PUT', `${n}/a`, {
      body: { ...now, status: { observedGeneration: 9 } },
    });
    await call('generation is not ours', 'PUT', `${n}/a`, {
      body: { ...now, metadata: { ...now.metadata, generation: 99 } },
    });
  },

  async status({ call }, n) {
    const { body: made } = await call('created', 'POST', n, { body: widget('a') });
    const ready = { observedGeneration: 1, conditions: [{ type: 'Ready', status: 'True' }] };
    await call('put', 'PUT', `${n}/a/status`, { body: { ...made, spec: { size: 9 }, status: ready } });
    await call('patch', 'PATCH', `${n}/a/status`, { body: { status: { observedGeneration: 2 } }, type: MERGE });
    await call('stale', 'PATCH', `${n}/a/status`, {
      body: { metadata: { resourceVersion: made.metadata.resourceVersion }, status: { observedGeneration: 3 } },
      type: MERGE,
    });
    await call('same', 'PATCH', `${n}/a/status`, { body: { status: { observedGeneration: 2 } }, type: MERGE });
    await call('labels through status', 'PATCH', `${n}/a/status`, {
      body: { metadata: { labels: { a: 'b' } } },
      type: MERGE,
    });
    await call('invalid', 'PATCH', `${n}/a/status`, { body: { status: { conditions: [{ type: 'x' }] } }, type: MERGE });
    await call('read', 'GET', `${n}/a/status`);
    await call('unknown in it', 'PATCH', `${n}/a/status`, { body: { status: { other: 1 } }, type: MERGE });
    await call('missing', 'PATCH', `${n}/none/status`, { body: { status: {} }, type: MERGE });
  },

  async 'merge patch'({ call }, n) {
    const { body: made } = await call('created', 'POST', n, {
      body: widget('a', { size: 3, colour: 'blue', parts: [{ name: 'x' }] }, { labels: { a: '1', b: '2' } }),
    });
    const patch = (name: string, body: unknown, query = '') =>
      call(name, 'PATCH', `${n}/a${query}`, { body, type: MERGE });
    await patch('one field', { spec: { size: 4 } });
    await patch('nothing', {});
    await patch('same', { spec: { size: 4 } });
    await patch('default comes back', { spec: { colour: null } });
    await patch('list replaced', { spec: { parts: [{ name: 'y' }, { name: 'z', count: 2 }] } });
    await patch('label gone', { metadata: { labels: { a: null } } });
    await patch('stale', { metadata: { resourceVersion: made.metadata.resourceVersion }, spec: { size: 5 } });
    await patch('other uid', { metadata: { uid: 'other' } });
    await patch('other name', { metadata: { name: 'b' } });
    await patch('other kind', { kind: 'Gadget' });
    await patch('other namespace', { metadata: { namespace: 'x' } });
    await patch('invalid', { spec: { size: 'x' } });
    await patch('rule', { spec: { colour: 'black' } });
    await patch('unknown', { spec: { more: 1 } });
    await patch('unknown, strictly', { spec: { more: 1 } }, '?fieldValidation=Strict');
    await patch('unknown, with a warning', { spec: { more: 1 } }, '?fieldValidation=Warn');
    await patch('dry', { spec: { size: 8 } }, '?dryRun=All');
    await patch('not dry', { metadata: { annotations: { a: 'b' } } });
    await patch('spec gone', { spec: null });
    await patch('no object', []);
    await patch('no JSON', '{');
    await patch('creation time', { metadata: { creationTimestamp: '2001-01-01T00:00:00Z' } });
    await patch('deletion time', { metadata: { deletionTimestamp: '2001-01-01T00:00:00Z' } });
  },

  async 'JSON patch'({ call }, n) {
    await call('created', 'POST', n, { body: widget('a', { size: 3, parts: [{ name: 'x' }] }) });
    const patch = (name: string, body: unknown) => call(name, 'PATCH', `${n}/a`, { body, type: JSON_PATCH });
    await patch('replace', [{ op: 'replace', path: '/spec/size', value: 4 }]);
    await patch('add', [{ op: 'add', path: '/spec/parts/-', value: { name: 'y' } }]);
    await patch('remove', [{ op: 'remove', path: '/spec/parts/0' }]);
    await patch('test holds', [
      { op: 'test', path: '/spec/size', value: 4 },
      { op: 'replace', path: '/spec/size', value: 5 },
    ]);
    await patch('test fails', [{ op: 'test', path: '/spec/size', value: 1 }]);
    await patch('copy and move', [
      { op: 'add', path: '/metadata/labels', value: { a: '1' } },
      { op: 'copy', from: '/metadata/labels/a', path: '/metadata/labels/b' },
      { op: 'move', from: '/metadata/labels/a', path: '/metadata/labels/c~1d' },
    ]);
    await patch('missing path', [{ op: 'remove', path: '/spec/none' }]);
    await patch('missing parent', [{ op: 'add', path: '/spec/none/x', value: 1 }]);
    await patch('replace of nothing', [{ op: 'replace', path: '/spec/none', value: 1 }]);
    await patch('bad op', [{ op: 'frob', path: '/spec' }]);
    await patch('no list', { op: 'add' });
    await patch('empty', []);
    await patch('invalid', [{ op: 'replace', path: '/spec/size', value: 99 }]);
    await patch('beyond the end', [{ op: 'add', path: '/spec/parts/9', value: { name: 'z' } }]);
  },

  async 'other patches'({ call }, n, namespace) {
    await call('created', 'POST', n, { body: widget('a') });
    await call('strategic on a custom resource', 'PATCH', `${n}/a`, { body: {}, type: STRATEGIC });
    await call('no type', 'PATCH', `${n}/a`, { body: {} });
    await call('apply', 'PATCH', `${n}/a?fieldManager=me`, {
      body: JSON.stringify(widget('a', { size: 4 })),
      type: 'application/apply-patch+yaml',
    });
    await call('strategic on a namespace', 'PATCH', `/api/v1/namespaces/${namespace}`, {
      body: { metadata: { labels: { a: 'b' } } },
      type: STRATEGIC,
    });
    await call('strategic, null', 'PATCH', `/api/v1/namespaces/${namespace}`, {
      body: { metadata: { labels: { a: null } } },
      type: STRATEGIC,
    });
  },

  async delete({ call, watch }, n) {
    const { body: a } = await call('created', 'POST', n, { body: widget('a') });
    await call('b', 'POST', n, { body: widget('b', { size: 1 }, { finalizers: ['shop.example/hold'] }) });
    await call('c', 'POST', n, { body: widget('c') });
    const watching = await watch('events', `${n}?watch=1&resourceVersion=${a.metadata.resourceVersion}`);
    await call('dry', 'DELETE', `${n}/a?dryRun=All`);
    await call('wrong uid', 'DELETE', `${n}/a`, { body: { preconditions: { uid: 'x' } } });
    await call('wrong version', 'DELETE', `${n}/a`, { body: { preconditions: { resourceVersion: '1' } } });
    await call('deleted', 'DELETE', `${n}/a`, { body: { preconditions: { uid: a.metadata.uid } } });
    await call('gone', 'GET', `${n}/a`);
    await call('with a finalizer', 'DELETE', `${n}/b`);
    await call('again', 'DELETE', `${n}/b`);
    await call('still there', 'GET', `${n}/b`);
    await call('edited while it goes', 'PATCH', `${n}/b`, { body: { spec: { size: 2 } }, type: MERGE });
    await call('another finalizer', 'PATCH', `${n}/b`, {
      body: { metadata: { finalizers: ['shop.example/hold', 'shop.example/more'] } },
      type: MERGE,
    });
    await call('created while it goes', 'POST', n, { body: widget('b') });
    await call('finalizer off', 'PATCH', `${n}/b`, { body: { metadata: { finalizers: null } }, type: MERGE });
    await call('gone too', 'GET', `${n}/b`);
    await call('foreground', 'DELETE', `${n}/c?propagationPolicy=Orphan&dryRun=All`);
    await watching.until(6);
    await watching.done();
  },

  async 'delete a collection'({ call, until }, n) {
    for (const name of ['a', 'b', 'c']) {
      await call(name, 'POST', n, {
        body: widget(name, { size: 1 }, { labels: { odd: name === 'b' ? 'no' : 'yes' } }),
      });
    }
    await call('some, dry', 'DELETE', `${n}?labelSelector=odd=yes&dryRun=All`);
    await call('some', 'DELETE', `${n}?labelSelector=odd=yes`);
    await until(n, ({ body }) => body.items.length === 1);
    await call('left', 'GET', n);
    await call('all', 'DELETE', n);
    await call('none', 'GET', n);
  },

  async list({ call }, n) {
    for (const [index, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      const labels = { place: String(index), ...(index % 2 ? { odd: 'yes' } : {}) };
      await call(`make ${name}`, 'POST', n, {
        body: widget(name, { size: index + 1, colour: index > 2 ? 'blue' : 'red' }, { labels }),
      });
    }
    await call('all', 'GET', n);
    for (const selector of [
      'odd=yes',
      'odd!=yes',
      'odd',
      '!odd',
      'place in (1,2)',
      'place notin (1,2)',
      'place>2',
      'odd==yes,place=1',
      'none=x',
    ]) {
      await call(`labels ${selector}`, 'GET', `${n}?labelSelector=${encodeURIComponent(selector)}`);
    }
    for (const selector of ['metadata.name=a', 'metadata.name!=a', 'metadata.namespace=default', 'spec.colour=blue']) {
      await call(`fields ${selector}`, 'GET', `${n}?fieldSelector=${encodeURIComponent(selector)}`);
    }
    let next = '';
    for (let page = 1; page <= 3; page++) {
      const { body } = await call(`page ${page}`, 'GET', `${n}?limit=2${next}`);
      next = `&continue=${encodeURIComponent(body.metadata.continue)}`;
    }
    await call('page with selector', 'GET', `${n}?limit=1&labelSelector=odd`);
    await call('from the cache', 'GET', `${n}?resourceVersion=0`);
    await call('as a table', 'GET', n, { accept: TABLE });
    await call('as a table with objects', 'GET', `${n}?includeObject=Object&limit=1`, { accept: TABLE });
    await call('as a table without objects', 'GET', `${n}?includeObject=None&limit=1`, { accept: TABLE });
    await call('one as a table', 'GET', `${n}/a`, { accept: TABLE });
    await call('metadata only', 'GET', `${n}?limit=1`, { accept: PARTIAL_LIST });
    await call('metadata of one', 'GET', `${n}/a`, { accept: PARTIAL });
    await call('empty', 'GET', n.replace(/namespaces\/[^/]+/, 'namespaces/absent'));
    await call('empty as a table', 'GET', n.replace(/namespaces\/[^/]+/, 'namespaces/absent'), { accept: TABLE });
  },

  async watch({ call, ask, watch }, n) {
    const { body: a } = await call('a', 'POST', n, { body: widget('a', { size: 1 }, { labels: { seen: 'yes' } }) });
    const from = a.metadata.resourceVersion;
    const all = await watch('all', `${n}?watch=true&resourceVersion=${from}`);
    const seen = await watch('by label', `${n}?watch=true&resourceVersion=${from}&labelSelector=seen`);
    const fresh = await watch('from now', `${n}?watch=true`);
    const zero = await watch('from any', `${n}?watch=true&resourceVersion=0`);
    const blue = await watch('by field', `${n}?watch=true&resourceVersion=${from}&fieldSelector=spec.colour%3Dblue`);
    await fresh.until(1);
    await zero.until(1);
    await ask('PATCH', `${n}/a`, { body: { spec: { size: 2 } }, type: MERGE });
    await ask('PATCH', `${n}/a`, { body: { spec: { size: 2 } }, type: MERGE });
    await ask('PATCH', `${n}/a/status`, { body: { status: { observedGeneration: 2 } }, type: MERGE });
    await ask('PATCH', `${n}/a`, { body: { metadata: { labels: { seen: null } } }, type: MERGE });
    await ask('PATCH', `${n}/a`, { body: { metadata: { labels: { seen: 'again' } } }, type: MERGE });
    await ask('PATCH', `${n}/a`, { body: { spec: { colour: 'blue' } }, type: MERGE });
    await ask('POST', n, { body: widget('b') });
    await ask('PATCH', `${n}/a`, { body: { spec: { colour: 'green' } }, type: MERGE });
    await ask('DELETE', `${n}/a`);
    await all.until(8);
    await seen.until(7);
    await fresh.until(9);
    await zero.until(9);
    await blue.until(2);
    for (const each of [all, seen, fresh, zero, blue]) await each.done();
    const replay = await watch('again from there', `${n}?watch=true&resourceVersion=${from}`);
    await replay.until(8);
    await replay.done();
    const short = await watch(
      'ends by itself, with a bookmark',
      `${n}?watch=true&allowWatchBookmarks=true&timeoutSeconds=6&resourceVersion=${from}&labelSelector=none`,
    );
    await ask('POST', n, { body: widget('late') });
    await short.until(1_000);
    await short.done();
    const idle = await watch(
      'ends by itself, with nothing to tell',
      `${n}?watch=true&allowWatchBookmarks=true&timeoutSeconds=4&resourceVersion=${from}&labelSelector=none`,
    );
    await idle.until(1_000);
    await idle.done();
    const initial = await watch(
      'initial events',
      `${n}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1`,
    );
    await initial.until(2);
    await initial.done();
    const bad = await watch('from nonsense', `${n}?watch=true&resourceVersion=x`);
    await bad.until(1);
    await bad.done();
    const one = await watch('one by name', `${n}?watch=true&fieldSelector=metadata.name%3Db`);
    await one.until(1);
    await one.done();
    const table = await watch('none such', `${n.replace('widgets', 'gadgets')}?watch=true`);
    await table.until(1);
    await table.done();
  },

  /** Last of all it does is to forget: what others know of its past is gone then, too. */
  async 'what is forgotten'({ call, ask, watch, target, until }, n) {
    const { body: first } = await ask('POST', n, { body: widget('a') });
    for (const name of ['b', 'c']) await ask('POST', n, { body: widget(name) });
    const { body: page } = await call('first page', 'GET', `${n}?limit=1`);
    const token = encodeURIComponent(page.metadata.continue);
    const then = first.metadata.resourceVersion;
    await call('as it was', 'GET', `${n}?resourceVersion=${then}&resourceVersionMatch=Exact`);
    await ask('PATCH', `${n}/a`, { body: { spec: { size: 4 } }, type: MERGE });
    await call('second page, of then', 'GET', `${n}?limit=1&continue=${token}`);
    await target.forget();
    await until(n, ({ code }) => code === 200);
    const old = await watch('watch from then', `${n}?watch=true&resourceVersion=${then}`);
    await old.until(1);
    await old.done();
    await call('third page, too late', 'GET', `${n}?limit=1&continue=${token}`);
    await call('as it was, too late', 'GET', `${n}?resourceVersion=${then}&resourceVersionMatch=Exact`);
    await call('no older than then', 'GET', `${n}?resourceVersion=${then}&resourceVersionMatch=NotOlderThan`);
  },

  async 'validation of values'({ call }, n) {
    await call('default and pruning', 'POST', n, {
      body: { ...widget('a', { size: 1, more: 1, parts: [{ name: 'x', extra: true }] }), top: 1 },
    });
    await call('strict', 'POST', `${n}?fieldValidation=Strict`, {
      body: { ...widget('b', { size: 1, more: 1, parts: [{ name: 'x', extra: true }] }), top: 1 },
    });
    await call('warn', 'POST', `${n}?fieldValidation=Warn&dryRun=All`, { body: widget('b', { size: 1, more: 1 }) });
    await call('ignore', 'POST', `${n}?fieldValidation=Ignore&dryRun=All`, { body: widget('b', { size: 1, more: 1 }) });
    await call('twice, strictly', 'POST', `${n}?fieldValidation=Strict`, {
      body: '{"apiVersion":"shop.example/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"size":1,"size":2}}',
    });
    await call('twice, with a warning', 'POST', `${n}?dryRun=All`, {
      body: '{"apiVersion":"shop.example/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"size":1,"parts":[{"name":"x","name":"y"}],"size":2}}',
    });
    await call('twice, in a patch', 'PATCH', `${n}/a?fieldValidation=Strict`, {
      body: '{"spec":{"size":1,"size":2}}',
      type: MERGE,
    });
    await call('many things', 'POST', n, {
      body: widget('b', { size: 11, colour: 'x'.repeat(21), parts: [{ count: 'x' }, { name: 'far too long a name' }] }),
    });
    await call('rule', 'POST', n, { body: widget('b', { size: 1, colour: 'black' }) });
    await call('no spec', 'POST', n, { body: { ...widget('b'), spec: undefined } });
    await call('dry', 'POST', `${n}?dryRun=All`, { body: widget('b') });
    await call('dry left nothing', 'GET', `${n}/b`);
    await call('unknown metadata, strictly', 'POST', `${n}?fieldValidation=Strict`, {
      body: widget('b', { size: 1 }, { nonsense: 1 }),
    });
  },

  async 'AiTenant’s own rules'({ call }, _n, namespace) {
    const path = `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants?dryRun=All`;
    for (const { name, tenant: metadata, spec } of refusals) {
      await call(`refused: ${name}`, 'POST', path, { body: tenant(metadata, spec) });
    }
    for (const { name, tenant: metadata, spec } of accepted) {
      await call(`accepted: ${name}`, 'POST', path, { body: tenant(metadata, spec) });
    }
  },

  async CRDs({ call, until, ask }) {
    const gadgets = (over: object = {}) => ({
      ...widgetCrd,
      metadata: { name: 'gadgets.shop.example' },
      spec: {
        ...widgetCrd.spec,
        names: { plural: 'gadgets', kind: 'Gadget' },
        scope: 'Cluster',
        ...over,
      },
    });
    const established = ({ body }: { body: { status?: { conditions?: { type: string; status: string }[] } } }) =>
      body.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True') === true;
    await call('created', 'POST', CRD_PATH, { body: gadgets() });
    await call('again', 'POST', CRD_PATH, { body: gadgets() });
    await until(`${CRD_PATH}/gadgets.shop.example`, established);
    await until(`${GROUP}/gadgets`, ({ code }) => code === 200);
    await call('established', 'GET', `${CRD_PATH}/gadgets.shop.example`);
    await call('as a table', 'GET', `${CRD_PATH}/gadgets.shop.example`, { accept: TABLE });
    await call('its group', 'GET', GROUP);
    const gadget = { ...widget('g'), kind: 'Gadget' };
    await call('one of it', 'POST', `${GROUP}/gadgets`, { body: gadget });
    await call('in a namespace', 'POST', `${GROUP}/namespaces/default/gadgets`, { body: gadget });
    await call('kind is taken', 'POST', CRD_PATH, {
      body: {
        ...gadgets(),
        metadata: { name: 'things.shop.example' },
        spec: { ...gadgets().spec, names: { plural: 'things', kind: 'Gadget' } },
      },
    });
    await until(`${CRD_PATH}/things.shop.example`, ({ body }) => (body.status?.conditions ?? []).length > 0);
    await call('kind is taken, later', 'GET', `${CRD_PATH}/things.shop.example`);
    await ask('DELETE', `${CRD_PATH}/things.shop.example`);
    await call('scope changed', 'PATCH', `${CRD_PATH}/gadgets.shop.example`, {
      body: { spec: { scope: 'Namespaced' } },
      type: MERGE,
    });
    await call('dry', 'POST', `${CRD_PATH}?dryRun=All`, { body: { ...gadgets(), metadata: { name: 'no.match' } } });
    await call('a column more', 'PATCH', `${CRD_PATH}/gadgets.shop.example`, {
      body: { spec: { versions: [{ ...widgetCrd.spec.versions[0], additionalPrinterColumns: [] }] } },
      type: MERGE,
    });
    await until(`${GROUP}/gadgets`, ({ code }) => code === 200);
    await call('deleted', 'DELETE', `${CRD_PATH}/gadgets.shop.example`);
    await until(`${CRD_PATH}/gadgets.shop.example`, ({ code }) => code === 404);
    await until(`${GROUP}/gadgets`, ({ code }) => code === 404);
    await call('nothing left', 'GET', `${GROUP}/gadgets`);
  },

  async 'refused CRDs'({ call }) {
    for (const { name, ...entry } of recorded.crds) {
      const crd = crdOf(
        ('schema' in entry ? entry.schema : { type: 'object' }) as PlainObject,
        ('spec' in entry ? entry.spec : {}) as PlainObject,
      );
      if ('crdName' in entry) crd.metadata = { name: entry.crdName };
      await call(name, 'POST', `${CRD_PATH}?dryRun=All`, { body: crd });
    }
  },

  async 'values of every schema'({ call, ask, until }, _n, namespace) {
    const crd = crdOf(widgetSchema);
    await ask('POST', CRD_PATH, { body: crd });
    const path = `/apis/test.example.com/v1/namespaces/${namespace}/widgets`;
    await until(path, ({ code }) => code === 200);
    for (const { name, spec, widget: called, old } of recorded.objects as {
      name: string;
      spec: unknown;
      widget?: string;
      old?: unknown;
    }[]) {
      if (old === undefined) {
        await call(name, 'POST', `${path}?dryRun=All`, { body: widgetOf(spec, called ?? 'w') });
        continue;
      }
      const { body: made } = await ask('POST', path, { body: widgetOf(old, 'w') });
      const next = widgetOf(spec, 'w') as { metadata: object };
      await call(name, 'PUT', `${path}/w`, {
        body: { ...next, metadata: { ...next.metadata, resourceVersion: made.metadata.resourceVersion } },
      });
      await ask('DELETE', `${path}/w`);
    }
  },

  async namespaces({ call, ask }) {
    const path = '/api/v1/namespaces';
    const { body: made } = await call('created', 'POST', path, { body: { metadata: { name: 'conf-own' } } });
    await call('again', 'POST', path, { body: { metadata: { name: 'conf-own' } } });
    await call('bad name', 'POST', path, { body: { metadata: { name: 'a.b' } } });
    await call('read', 'GET', `${path}/conf-own`);
    await call('as a table', 'GET', `${path}/conf-own`, { accept: TABLE });
    await call('annotated', 'PATCH', `${path}/conf-own`, {
      body: { metadata: { annotations: { a: 'b' } } },
      type: MERGE,
    });
    await call('the name label', 'PATCH', `${path}/conf-own`, {
      body: { metadata: { labels: { 'kubernetes.io/metadata.name': 'x' } } },
      type: MERGE,
    });
    await call('wrong type', 'POST', path, { body: { metadata: { name: 3 } } });
    await call('spec of the wrong type', 'POST', path, { body: { metadata: { name: 'x' }, spec: 'x' } });
    await call('by name', 'GET', `${path}?fieldSelector=metadata.name=conf-own`);
    await call('by phase', 'GET', `${path}?fieldSelector=status.phase=Active,metadata.name=conf-own`);
    await call('unknown field, strictly', 'POST', `${path}?fieldValidation=Strict`, {
      body: { metadata: { name: 'x' }, spec: { a: 1 } },
    });
    await call('wrong uid', 'DELETE', `${path}/conf-own`, { body: { preconditions: { uid: 'x' } } });
    await call('kept', 'DELETE', `${path}/default?dryRun=All`);
    await call('deleted', 'DELETE', `${path}/conf-own`, { body: { preconditions: { uid: made.metadata.uid } } });
    await ask('GET', `${path}/conf-own`);
  },

  async events({ call }, n, namespace) {
    const path = `/api/v1/namespaces/${namespace}/events`;
    const { body: a } = await call('about', 'POST', n, { body: widget('a') });
    const event = (name: string, over: object = {}) => ({
      metadata: { name, namespace },
      involvedObject: { apiVersion: 'shop.example/v1', kind: 'Widget', namespace, name: 'a', uid: a.metadata.uid },
      reason: 'Made',
      message: 'It was made.',
      type: 'Normal',
      count: 1,
      firstTimestamp: '2030-01-01T00:00:00Z',
      lastTimestamp: '2030-01-01T00:00:00Z',
      source: { component: 'shop' },
      reportingComponent: 'shop',
      reportingInstance: 'one',
      ...over,
    });
    await call('created', 'POST', path, { body: event('a.1') });
    await call('again', 'POST', path, { body: event('a.1') });
    await call('counted', 'PATCH', `${path}/a.1`, { body: { count: 2 }, type: MERGE });
    await call('counted, strategically', 'PATCH', `${path}/a.1`, { body: { count: 3 }, type: STRATEGIC });
    await call('other namespace', 'POST', path, {
      body: event('a.2', { involvedObject: { kind: 'Widget', namespace: 'else', name: 'a' } }),
    });
    await call('bad type', 'POST', path, { body: event('a.3', { type: 'Odd' }) });
    await call('new style, incomplete', 'POST', path, {
      body: event('a.4', { eventTime: '2030-01-01T00:00:00.000000Z' }),
    });
    await call('by object', 'GET', `${path}?fieldSelector=involvedObject.name=a,involvedObject.kind=Widget`);
    await call('by reason', 'GET', `${path}?fieldSelector=reason=Made,type=Normal`);
    await call('in the other group', 'GET', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`);
    await call('wrong type of a field', 'POST', path, { body: event('a.5', { count: 'x' }) });
    await call('deleted', 'DELETE', `${path}/a.1`);
  },

  async leases({ call }, _n, namespace) {
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    const spec = {
      holderIdentity: 'me',
      leaseDurationSeconds: 15,
      acquireTime: '2030-01-01T00:00:00.000000Z',
      renewTime: '2030-01-01T00:00:00.000000Z',
      leaseTransitions: 0,
    };
    const { body: made } = await call('created', 'POST', path, { body: { metadata: { name: 'a' }, spec } });
    await call('again', 'POST', path, { body: { metadata: { name: 'a' }, spec } });
    await call('taken', 'PATCH', `${path}/a`, {
      body: {
        metadata: { resourceVersion: made.metadata.resourceVersion },
        spec: { holderIdentity: 'you', leaseTransitions: 1 },
      },
      type: MERGE,
    });
    await call('lost', 'PATCH', `${path}/a`, {
      body: { metadata: { resourceVersion: made.metadata.resourceVersion }, spec: { holderIdentity: 'me' } },
      type: MERGE,
    });
    await call('lost by put', 'PUT', `${path}/a`, { body: made });
    await call('given back', 'PATCH', `${path}/a`, {
      body: { spec: { holderIdentity: '', leaseDurationSeconds: 1 } },
      type: MERGE,
    });
    await call('no duration', 'PATCH', `${path}/a`, { body: { spec: { leaseDurationSeconds: 0 } }, type: MERGE });
    await call('negative transitions', 'PATCH', `${path}/a`, { body: { spec: { leaseTransitions: -1 } }, type: MERGE });
    await call('bad time', 'PATCH', `${path}/a`, { body: { spec: { renewTime: 'now' } }, type: MERGE });
    await call('fewer decimals', 'PATCH', `${path}/a`, {
      body: { spec: { renewTime: '2030-01-01T00:00:00Z' } },
      type: MERGE,
    });
    await call('as a table', 'GET', path, { accept: TABLE });
    await call('unknown field', 'PATCH', `${path}/a?fieldValidation=Strict`, { body: { spec: { x: 1 } }, type: MERGE });
    await call('created by put', 'PUT', `${path}/b`, { body: { metadata: { name: 'b' }, spec } });
    await call('deleted', 'DELETE', `${path}/a`);
  },
};
