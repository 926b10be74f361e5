import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { realRuntime } from '../../ports/runtime.ts';
import { createKubeCore, type KubeServer, startKubeServer, writeKubeconfig } from '../../sandbox/kube/index.ts';
import { MERGE, WIDGET_PATH, widget, widgetCrd } from '../unit/sandbox-kube.support.ts';

/** The Google Cloud CLI ships these beside gcloud. */
const VERSIONS = ['1.27', '1.30', '1.33'];
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/lib/google-cloud-sdk/bin'];

function find(name: string): string | undefined {
  return FOLDERS.map(folder => join(folder, name)).find(path => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const found = VERSIONS.map(version => ({ version, path: find(`kubectl.${version}`) }));
const here = found.flatMap(({ version, path }) => (path ? [{ version, path }] : []));
const absent = found.filter(({ path }) => !path).map(({ version }) => version);
console.log(
  `kubectl on the local Kubernetes API: ${here.map(({ version }) => version).join(', ') || 'none found'}` +
    (absent.length ? `; not on this machine, NOT tested: ${absent.join(', ')}` : ''),
);

if (here.length === 0) {
  it('kubectl is not on this machine: nothing of it was tested', () => {
    expect(absent).toEqual(VERSIONS);
  });
}

describe.each(here)('kubectl $version', ({ path }) => {
  const folder = mkdtempSync(join(tmpdir(), 'kubectl-'));
  const core = createKubeCore({ runtime: realRuntime });
  let server: KubeServer;

  function kubectl(
    args: string,
    { env = {}, fails = false } = {},
  ): Promise<{ out: string; err: string; code: number }> {
    // Arguments are split at blanks; `%20` stands for one within an argument.
    const words = args.split(' ').map(word => word.replaceAll('%20', ' '));
    return new Promise((resolve, reject) => {
      execFile(
        path,
        words,
        {
          cwd: folder,
          timeout: 20_000,
          env: { PATH: process.env.PATH, HOME: folder, KUBECONFIG: join(folder, 'config'), ...env },
        },
        (error, out, err) => {
          const code = error ? Number(error.code) : 0;
          if (Boolean(error) === fails) resolve({ out, err, code });
          else reject(new Error(`kubectl ${args}: exit ${code}\n${out}${err}`));
        },
      );
    });
  }
  const file = (name: string, ...objects: object[]) =>
    writeFileSync(join(folder, name), objects.map(object => stringify(object)).join('---\n'));
  const change = async (url: string, body: object) => {
    const answer = await core.handle({
      method: 'PATCH',
      url,
      headers: { 'content-type': MERGE },
      body: JSON.stringify(body),
    });
    if (!('code' in answer) || answer.code !== 200) throw new Error(`PATCH ${url}: ${JSON.stringify(answer)}`);
  };

  beforeAll(async () => {
    server = await startKubeServer({ core });
    await writeKubeconfig(join(folder, 'config'), server.url);
    file('crd.yaml', widgetCrd);
    file(
      'one.yaml',
      widget('one', { size: 3, parts: [{ name: 'lid', count: 1 }] }, { labels: { shelf: 'x' }, finalizers: ['a.b/c'] }),
    );
    file('bad.yaml', widget('bad', { size: 1, colour: 'black' }));
    file('typo.yaml', widget('typo', { size: 1, color: 'red' }));
    file('space.yaml', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team' } });
    await kubectl('apply -f crd.yaml -f space.yaml');
    await kubectl('wait --for=condition=Established crd/widgets.shop.example --timeout=5s');
    expect((await kubectl('apply -f one.yaml')).out).toBe('widget.shop.example/one created\n');
  });

  afterAll(async () => {
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('applies again, diffs and dry-runs', async () => {
    expect((await kubectl('apply -f one.yaml')).out).toBe('widget.shop.example/one unchanged\n');
    expect((await kubectl('diff -f one.yaml')).out).toBe('');
    file(
      'two.yaml',
      widget('one', { size: 4, parts: [{ name: 'lid', count: 1 }] }, { labels: { shelf: 'x' }, finalizers: ['a.b/c'] }),
    );
    const dry = await kubectl('apply -f two.yaml --dry-run=server -o jsonpath={.spec.size}');
    expect(dry.out).toBe('4');
    const diff = await kubectl('diff -f two.yaml', { fails: true });
    expect([diff.code, diff.out]).toEqual([1, expect.stringMatching(/-\s+size: 3\n\+\s+size: 4/)]);
    expect((await kubectl('get wd one -o jsonpath={.spec.size}')).out).toBe('3');
  });

  it('refuses bad manifests in the words of the CRD', async () => {
    const bad = await kubectl('apply -f bad.yaml', { fails: true });
    expect(bad.err).toContain('black is sold out; choose another colour');
    const typo = await kubectl('apply -f typo.yaml', { fails: true });
    expect(typo.err).toContain('strict decoding error: unknown field "spec.color"');
    const dry = await kubectl('apply -f bad.yaml --dry-run=server', { fails: true });
    expect(dry.err).toContain('black is sold out');
  });

  it('gets, in all formats and scopes', async () => {
    await change(`${WIDGET_PATH}/one/status`, { status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    expect((await kubectl('get widgets')).out).toMatch(/^NAME +SIZE +READY +AGE\none +3 +True +\d+s\n$/);
    expect((await kubectl('get wd -o wide')).out).toMatch(
      /^NAME +SIZE +READY +COLOUR +AGE\none +3 +True +red +\d+s\n$/,
    );
    expect((await kubectl('get wd -A')).out).toMatch(/^NAMESPACE +NAME +.*\ndefault +one +/);
    expect((await kubectl('get wd -l shelf=x -o name')).out).toBe('widget.shop.example/one\n');
    expect((await kubectl('get wd -l shelf!=x -o name')).out).toBe('');
    expect((await kubectl('get wd -o jsonpath={.items[*].spec.parts[0].count}')).out).toBe('1');
    expect((await kubectl('get wd one -o yaml')).out).toMatch(/apiVersion: shop.example\/v1\nkind: Widget\n/);
    expect(JSON.parse((await kubectl('get wd -o json')).out)).toMatchObject({
      kind: 'List',
      items: [{ kind: 'Widget' }],
    });
    const missing = await kubectl('get wd nope', { fails: true });
    expect(missing.err).toBe('Error from server (NotFound): widgets.shop.example "nope" not found\n');
  });

  it('watches', async () => {
    const watching = kubectl('get wd -w --request-timeout=2s --output-watch-events', { fails: false }).catch(
      (error: Error) => ({
        out: error.message,
      }),
    );
    // kubectl lists first: what follows its watch request is told by it.
    await expect.poll(() => core.openWatches('widgets'), { timeout: 5000 }).toBe(1);
    await change(`${WIDGET_PATH}/one`, { spec: { size: 7 } });
    const { out } = await watching;
    expect(out).toMatch(/ADDED +one +3/);
    expect(out).toMatch(/MODIFIED +one +7/);
  });

  it('describes, with events', async () => {
    const involvedObject = { apiVersion: 'shop.example/v1', kind: 'Widget', name: 'one', namespace: 'default' };
    const { out: uid } = await kubectl('get wd one -o jsonpath={.metadata.uid}');
    file('event.yaml', {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'one.1' },
      involvedObject: { ...involvedObject, uid },
      reason: 'Made',
      message: 'the widget is made',
      type: 'Normal',
      count: 1,
      firstTimestamp: '2030-01-01T00:00:00Z',
      lastTimestamp: '2030-01-01T00:00:00Z',
      source: { component: 'maker' },
    });
    await kubectl('create -f event.yaml');
    expect((await kubectl('describe wd one')).out).toMatch(
      /Kind: +Widget[\s\S]*Colour: +red[\s\S]*Made[\s\S]*the widget is made/,
    );
    expect((await kubectl('get events')).out).toMatch(
      /LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n.*Normal +Made +widget\/one +the widget is made/,
    );
  });

  it('explains', async () => {
    const { out } = await kubectl('explain widget.spec --recursive');
    expect(out).toMatch(
      /KIND: +Widget[\s\S]*What the widget should be\.[\s\S]*parts\s+<\[\]Object>[\s\S]*count\s+<integer>/,
    );
    expect((await kubectl('explain wd.spec.parts.name')).out).toContain("The part's name.");
    expect((await kubectl('explain wd.metadata.labels')).out).toContain('Map of string keys and values');
    expect((await kubectl('api-resources --api-group=shop.example')).out).toMatch(
      /widgets +wd +shop.example\/v1 +true +Widget/,
    );
  });

  it('looks around: get all, cluster-info, what one may do and who one is', async () => {
    expect((await kubectl('get all')).err).toBe('No resources found in default namespace.\n');
    expect((await kubectl('cluster-info')).out).toContain('127.0.0.1');
    expect((await kubectl('auth can-i create widgets')).out).toBe('yes\n');
    expect((await kubectl('auth can-i --list')).out).toMatch(/^\*\.\* +\[\] +\[\] +\[\*\]$/m);
  });

  it('changes: patch, annotate, label, edit', async () => {
    await kubectl('patch wd one --type=merge -p {"spec":{"size":5}}');
    await kubectl('patch wd one --type=json -p [{"op":"replace","path":"/spec/colour","value":"blue"}]');
    await kubectl('annotate wd one note=hello');
    await kubectl('label wd one tier=1');
    await kubectl('label wd one shelf-');
    await kubectl('edit wd one', { env: { EDITOR: 'sed -i s/size:.5/size:\\ 6/' } });
    const { out } = await kubectl('get wd one -o json');
    expect(JSON.parse(out)).toMatchObject({
      metadata: { annotations: { note: 'hello' }, labels: { tier: '1' } },
      spec: { size: 6, colour: 'blue' },
    });
    const bad = await kubectl('patch wd one --type=merge -p {"spec":{"size":50}}', { fails: true });
    expect(bad.err).toContain('spec.size: Invalid value: 50');
  });

  it('makes and changes built-ins', async () => {
    await kubectl('create configmap settings --from-literal=a=1 -n team');
    await kubectl('create secret generic key --from-literal=k=v -n team');
    await kubectl('create serviceaccount worker -n team');
    await kubectl('patch configmap settings -n team -p {"data":{"b":"2"}}');
    expect((await kubectl('get configmap settings -n team -o jsonpath={.data}')).out).toBe('{"a":"1","b":"2"}');
    expect((await kubectl('get secret key -n team -o jsonpath={.data.k}')).out).toBe('dg==');
    expect((await kubectl('create namespace other')).out).toBe('namespace/other created\n');
    expect((await kubectl('auth can-i delete widgets')).out.trim()).toBe('yes');
    expect((await kubectl('get ns team -o jsonpath={.status.phase}')).out).toBe('Active');
    expect((await kubectl('delete ns team')).out).toBe('namespace "team" deleted\n');
  });

  it('waits, also for a deletion that a finalizer holds back', async () => {
    await kubectl('wait wd/one --for=condition=Ready --timeout=5s');
    const deleting = kubectl('delete wd one');
    await expect
      .poll(async () => (await kubectl('get wd one -o jsonpath={.metadata.deletionTimestamp}')).out, { timeout: 5000 })
      .not.toBe('');
    await change(`${WIDGET_PATH}/one`, { metadata: { finalizers: null } });
    expect((await deleting).out).toMatch(/^widget.shop.example "one" deleted/);
    expect((await kubectl('get wd')).err).toBe('No resources found in default namespace.\n');
  });

  it('deletes the CRD', async () => {
    await kubectl('delete crd widgets.shop.example');
    // Its discovery is cached, so kubectl may still ask for them.
    const { err } = await kubectl('get wd', { fails: true });
    expect(err).toMatch(/could not find the requested resource|doesn't have a resource type "wd"/);
  });
});
