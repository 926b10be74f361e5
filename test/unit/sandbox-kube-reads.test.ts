import { describe, expect, it } from 'vitest';
import { MERGE, shop, TABLE, WIDGET_PATH, widget } from './sandbox-kube.support.ts';

type Shop = Awaited<ReturnType<typeof shop>>;
const names = async ({ ask }: Shop, query: string) =>
  (await ask('GET', `${WIDGET_PATH}${query}`)).body.items?.map(item => item.metadata.name);

async function stocked(options = {}) {
  const it = await shop(options);
  await it.ask('POST', WIDGET_PATH, widget('a', { size: 1 }, { labels: { shelf: 'x', tier: '1' } }));
  await it.ask('POST', WIDGET_PATH, widget('b', { size: 2, colour: 'blue' }, { labels: { shelf: 'y' } }));
  await it.ask('POST', WIDGET_PATH, widget('c', { size: 3 }));
  return it;
}

describe('lists', () => {
  it.each([
    ['shelf=x', ['a']],
    ['shelf==x', ['a']],
    ['shelf!=x', ['b', 'c']],
    ['shelf in (x,y)', ['a', 'b']],
    ['shelf notin (x)', ['b', 'c']],
    ['shelf', ['a', 'b']],
    ['!shelf', ['c']],
    ['shelf=x,tier=1', ['a']],
    ['tier>0', ['a']],
  ])('label selector %s', async (selector, expected) => {
    expect(await names(await stocked(), `?labelSelector=${encodeURIComponent(selector)}`)).toEqual(expected);
  });

  it.each([
    ['metadata.name=b', ['b']],
    ['metadata.name!=b', ['a', 'c']],
    ['metadata.namespace=default,metadata.name=c', ['c']],
    ['spec.colour=blue', ['b']],
  ])('field selector %s', async (selector, expected) => {
    expect(await names(await stocked(), `?fieldSelector=${encodeURIComponent(selector)}`)).toEqual(expected);
  });

  it('refuses selectors that it does not know', async () => {
    const { ask } = await stocked();
    const field = await ask('GET', `${WIDGET_PATH}?fieldSelector=spec.size%3D1`);
    expect([field.code, field.body.message]).toEqual([400, 'field label not supported: spec.size']);
    expect((await ask('GET', `${WIDGET_PATH}?labelSelector=${encodeURIComponent('a b')}`)).code).toBe(400);
  });

  it('pages through one revision, whatever is written meanwhile', async () => {
    const it = await stocked();
    const first = await it.ask('GET', `${WIDGET_PATH}?limit=2`);
    const {
      continue: token,
      remainingItemCount,
      resourceVersion,
    } = first.body.metadata as never as Record<string, unknown>;
    expect(remainingItemCount).toBe(1);
    await it.ask('DELETE', `${WIDGET_PATH}/c`);
    await it.ask('POST', WIDGET_PATH, widget('d'));
    const second = await it.ask('GET', `${WIDGET_PATH}?limit=2&continue=${token}`);
    expect(second.body.items?.map(item => item.metadata.name)).toEqual(['c']);
    expect(second.body.metadata).toEqual({ resourceVersion, continue: '' });
  });

  it('answers 410 to a forgotten page, with a token to go on from', async () => {
    const it = await stocked();
    const first = await it.ask('GET', `${WIDGET_PATH}?limit=1`);
    await it.ask('POST', WIDGET_PATH, widget('d'));
    it.core.compact();
    const token = (first.body.metadata as { continue?: string }).continue;
    const gone = await it.ask('GET', `${WIDGET_PATH}?limit=1&continue=${token}`);
    expect([gone.code, gone.body.reason]).toEqual([410, 'Expired']);
    const next = (gone.body.metadata as { continue?: string }).continue;
    expect(await names(it, `?limit=1&continue=${next}`)).toEqual(['b']);
  });

  it('answers 504 to a resourceVersion that is not there yet', async () => {
    const { ask } = await stocked();
    const { code, body } = await ask('GET', `${WIDGET_PATH}?resourceVersion=999999`);
    expect([code, body.details?.causes?.[0]?.reason]).toEqual([504, 'ResourceVersionTooLarge']);
  });

  it('prints a Table with the printer columns', async () => {
    const it = await stocked();
    const status = { status: { conditions: [{ type: 'Ready', status: 'True' }] } };
    await it.ask('PATCH', `${WIDGET_PATH}/a/status`, status, { 'content-type': MERGE });
    it.tick(200_000);
    const { body } = await it.ask('GET', `${WIDGET_PATH}?labelSelector=shelf`, undefined, { accept: TABLE });
    expect(body.columnDefinitions?.map(({ name, type, priority }) => [name, type, priority])).toEqual([
      ['Name', 'string', 0],
      ['Size', 'integer', 0],
      ['Ready', 'string', 0],
      ['Colour', 'string', 1],
      ['Age', 'date', 0],
    ]);
    expect(body.rows?.map(row => row.cells)).toEqual([
      ['a', 1, 'True', 'red', '3m20s'],
      ['b', 2, null, 'blue', '3m20s'],
    ]);
    expect(body.rows?.[0]?.object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'a' } });
    const whole = await it.ask('GET', `${WIDGET_PATH}?includeObject=Object`, undefined, { accept: TABLE });
    expect(whole.body.rows?.[0]?.object).toMatchObject({ kind: 'Widget', spec: { size: 1 } });
    const none = await it.ask('GET', `${WIDGET_PATH}?includeObject=None`, undefined, { accept: TABLE });
    expect(none.body.rows?.[0]?.object).toBeNull();
  });

  it('shows one event in the words of both its APIs', async () => {
    const it = await stocked();
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'e' },
      regarding: { kind: 'Widget', name: 'a', namespace: 'default' },
      reason: 'Made',
      note: 'it is made',
      type: 'Normal',
      action: 'Make',
      eventTime: '2030-01-01T00:00:00.000000Z',
      reportingController: 'shop.example/maker',
      reportingInstance: 'maker-1',
    };
    expect((await it.ask('POST', '/apis/events.k8s.io/v1/namespaces/default/events', event)).code).toBe(201);
    const selected = '/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Da%2Creason%3DMade';
    const { body } = await it.ask('GET', selected);
    expect(body.items?.[0]).toMatchObject({ message: 'it is made', involvedObject: { kind: 'Widget' } });
    const { body: table } = await it.ask('GET', selected, undefined, { accept: TABLE });
    expect(table.rows?.[0]?.cells.slice(0, 4)).toEqual(['0s', 'Normal', 'Made', 'widget/a']);
    const lax = { ...event, metadata: { name: 'f' }, eventTime: undefined, type: 'Odd' };
    const refused = await it.ask('POST', '/apis/events.k8s.io/v1/namespaces/default/events', lax);
    expect(refused.body.message).toMatch(/eventTime: Required value, type: Invalid value/);
  });
});

describe('watches', () => {
  it('tell what is there, then what changes', async () => {
    const it = await stocked();
    const watch = await it.watch(`${WIDGET_PATH}?watch=1`);
    it.tick();
    await it.ask('PATCH', `${WIDGET_PATH}/b`, { spec: { size: 9 } }, { 'content-type': MERGE });
    await it.ask('DELETE', `${WIDGET_PATH}/a`);
    it.tick();
    expect(watch.told()).toEqual(['ADDED a', 'ADDED b', 'ADDED c', 'MODIFIED b', 'DELETED a']);
    expect(watch.events.at(-1)?.object.metadata.resourceVersion).toBe(String(it.core.revision()));
  });

  it('tell a deletion with the object as it was last stored', async () => {
    const it = await shop();
    await it.ask('POST', WIDGET_PATH, widget('one', { size: 1 }, { finalizers: ['a.b/c'] }));
    const watch = await it.watch(`${WIDGET_PATH}?watch=1&resourceVersion=${it.core.revision()}`);
    await it.ask('DELETE', `${WIDGET_PATH}/one`);
    await it.ask('PATCH', `${WIDGET_PATH}/one`, { metadata: { finalizers: null } }, { 'content-type': MERGE });
    it.tick();
    expect(watch.told()).toEqual(['MODIFIED one', 'DELETED one']);
    expect(watch.events[1]?.object.metadata).toMatchObject({ finalizers: ['a.b/c'], generation: 2 });
  });

  it('begin after a resourceVersion, and follow a selector', async () => {
    const it = await stocked();
    const since = it.core.revision();
    const watch = await it.watch(`${WIDGET_PATH}?watch=true&resourceVersion=${since}&labelSelector=shelf%3Dx`);
    const label = (name: string, shelf: string) =>
      it.ask('PATCH', `${WIDGET_PATH}/${name}`, { metadata: { labels: { shelf } } }, { 'content-type': MERGE });
    await label('b', 'x');
    await label('a', 'z');
    await it.ask('PATCH', `${WIDGET_PATH}/c`, { spec: { size: 9 } }, { 'content-type': MERGE });
    it.tick();
    expect(watch.told()).toEqual(['ADDED b', 'DELETED a']);
  });

  it('tell 410 of a forgotten resourceVersion, as an event, and end', async () => {
    const it = await stocked();
    const since = it.core.revision() - 1;
    it.core.compact();
    const watch = await it.watch(`${WIDGET_PATH}?watch=1&resourceVersion=${since}`);
    it.tick();
    expect(watch.events).toMatchObject([{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }]);
    expect(watch.ended).toBe(true);
  });

  it('forget by themselves what is older than the history limit', async () => {
    const it = await stocked({ historyLimit: 10 });
    const since = it.core.revision();
    for (let size = 1; size < 20; size += 1) {
      await it.ask('PATCH', `${WIDGET_PATH}/c`, { spec: { size: (size % 9) + 1 } }, { 'content-type': MERGE });
    }
    const watch = await it.watch(`${WIDGET_PATH}?watch=1&resourceVersion=${since}`);
    it.tick();
    expect(watch.events[0]).toMatchObject({ type: 'ERROR', object: { code: 410 } });
  });

  it('send bookmarks if asked, and end after timeoutSeconds', async () => {
    const it = await stocked();
    const query = `?watch=1&resourceVersion=${it.core.revision()}&timeoutSeconds=90&allowWatchBookmarks=true`;
    const idle = await it.watch(WIDGET_PATH + query);
    it.tick(90_000);
    expect(idle).toMatchObject({ events: [], ended: true });
    const watch = await it.watch(`${WIDGET_PATH}${query}&labelSelector=none`);
    await it.ask('POST', WIDGET_PATH, widget('another'));
    it.tick(61_000);
    expect(watch.events).toMatchObject([
      { type: 'BOOKMARK', object: { kind: 'Widget', metadata: { resourceVersion: String(it.core.revision()) } } },
    ]);
    it.tick(30_000);
    expect(watch.told()).toEqual(['BOOKMARK', 'BOOKMARK']);
    expect(watch.ended).toBe(true);
    expect(it.core.openWatches()).toBe(0);
  });

  it('stream a list with sendInitialEvents', async () => {
    const it = await stocked();
    const forgot = await it.ask('GET', `${WIDGET_PATH}?watch=1&sendInitialEvents=true`);
    expect(forgot.code).toBe(422);
    const query = '?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const watch = await it.watch(WIDGET_PATH + query);
    it.tick();
    expect(watch.told()).toEqual(['ADDED a', 'ADDED b', 'ADDED c', 'BOOKMARK']);
    expect(watch.events.at(-1)?.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
  });

  it('come as Tables too, with the columns once', async () => {
    const it = await stocked();
    const watch = await it.watch(`${WIDGET_PATH}?watch=1`, { accept: TABLE });
    it.tick();
    const tables = watch.events.map(event => event.object as { kind?: string; columnDefinitions?: unknown[] | null });
    expect(tables.map(table => [table.kind, table.columnDefinitions?.length ?? null])).toEqual([
      ['Table', 5],
      ['Table', null],
      ['Table', null],
    ]);
  });
});
