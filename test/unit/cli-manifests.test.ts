import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { type Manifests, readManifests } from '../../operator/cli/manifests.ts';
import { AS_KUBECTL, contentOf } from '../../operator/kube/kubectlYaml.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifests-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function file(content: string | Buffer): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, content);
  return path;
}
const read = (content: string | Buffer): Manifests => readManifests([file(content)]);
const named = ({ tenants }: Manifests) =>
  tenants.map(({ object: { metadata } }) => `${metadata.namespace}/${metadata.name}`);

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const SPEC = 'spec: { region: asia-northeast1, keys: [{ name: k, secretRef: { external: s } }] }';
const tenant = (metadata: string, head = 'apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant') =>
  `${head}\nmetadata: ${metadata}\n${SPEC}\n`;

describe('an AiTenant that kubectl would refuse is a problem with its line', () => {
  test.each([
    [
      'a generateName',
      tenant('{ generateName: a- }'),
      /:3: AiTenant \(without a name\): metadata.generateName: kubectl apply/,
    ],
    ['no name', tenant('{ labels: { a: b } }'), /metadata.name: Required value/],
    ['a name that is a number', tenant('{ name: 123 }'), /metadata.name: json: cannot unmarshal number .*quotes/],
    ['a namespace that is a number', tenant('{ name: tenant-a, namespace: 1 }'), /metadata.namespace: json: cannot/],
    [
      'a label that is a boolean',
      tenant('{ name: tenant-a, labels: { a: yes } }'),
      /metadata.labels: json: cannot unmarshal bool/,
    ],
    [
      'a label that is too long',
      tenant(`{ name: tenant-a, labels: { a: ${'x'.repeat(64)} } }`),
      /metadata.labels: .*63/,
    ],
    [
      'a label with a bad key',
      tenant('{ name: tenant-a, labels: { "a b": c } }'),
      /metadata.labels: Invalid value: "a b"/,
    ],
    [
      'an annotation with a bad key',
      tenant('{ name: tenant-a, annotations: { "a/b/c": c } }'),
      /metadata.annotations: /,
    ],
    [
      'a namespace with a dot',
      tenant('{ name: tenant-a, namespace: a.b }'),
      /metadata.namespace: .*must not contain dots/,
    ],
    ['an upper-case name', tenant('{ name: Tenant-A }'), /metadata.name: .*Tenant-A does not fit: /],
    [
      'another group',
      tenant('{ name: tenant-a }', 'apiVersion: ai-platform.example/v1alpha1\nkind: AiTenant'),
      /:1: apiVersion must be ai-platform.dev\/v1alpha1/,
    ],
    [
      'another version',
      tenant('{ name: tenant-a }', 'apiVersion: ai-platform.dev/v1\nkind: AiTenant'),
      /:1: apiVersion must be/,
    ],
    ['no group', tenant('{ name: tenant-a }', 'apiVersion: v1\nkind: AiTenant'), /:1: apiVersion must be/],
    [
      'another spelling',
      tenant('{ name: tenant-a }', 'apiVersion: ai-platform.dev/v1alpha1\nkind: AITenant'),
      /:2: kind must be AiTenant, and not "AITenant"/,
    ],
    [
      'the plural',
      tenant('{ name: tenant-a }', 'apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenants'),
      /:2: kind must be AiTenant/,
    ],
    [
      'another kind of the group',
      tenant('{ name: tenant-a }', 'apiVersion: ai-platform.dev/v1alpha1\nkind: Tenant'),
      /:2: kind must be AiTenant/,
    ],
    ['no kind', tenant('{ name: tenant-a }', 'apiVersion: ai-platform.dev/v1alpha1'), /kind must be AiTenant/],
    ['neither kind nor apiVersion', tenant('{ name: tenant-a }', ''), /kind must be AiTenant/],
    ['no metadata', `apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant\n${SPEC}\n`, /metadata.name: Required value/],
  ])('%s', (_, content, message) => {
    const { tenants, problems } = read(content);
    expect(tenants).toEqual([]);
    expect(problems.join('\n')).toMatch(message);
  });

  test('a name is found wrong once, in the words that say what a name may be', () => {
    for (const name of ['Tenant_A', '12']) expect(read(tenant(`{ name: ${name} }`)).problems).toHaveLength(1);
  });

  test('the same namespace and name twice, in two files too', () => {
    const one = file(tenant('{ name: tenant-a }'));
    const two = file(`${tenant('{ name: tenant-b }')}---\n${tenant('{ name: tenant-a, namespace: default }')}`);
    expect(readManifests([one, two]).problems).toEqual([
      expect.stringMatching(`^${two}:\\d+: AiTenant default/tenant-a stands here and at ${one}:3: the later one`),
    ]);
    expect(readManifests([one, one, `${folder}/./${basename(one)}`]).problems).toEqual([]);
  });

  test('a file that is missing is named once', () => {
    const path = join(folder, 'none.yaml');
    expect(readManifests([path]).problems).toEqual([`${path}: there is no such file or folder`]);
  });
});

describe('an AiTenant is found', () => {
  test('in an AiTenantList, whose items may leave out their kind, and in lists in lists', () => {
    const item = `  - metadata: { name: tenant-a }\n    ${SPEC}\n`;
    expect(named(read(`apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenantList\nitems:\n${item}`))).toEqual([
      'default/tenant-a',
    ]);
    const inner = {
      apiVersion: 'ai-platform.dev/v1alpha1',
      kind: 'AiTenantList',
      items: [{ metadata: { name: 'tenant-a' } }],
    };
    const { problems } = read(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [inner] }));
    expect(problems.join('\n')).toContain('AiTenant tenant-a: spec: ');
  });

  test('in UTF-16 with its mark, as kubectl does; without the mark it is a problem', () => {
    const text = tenant('{ name: tenant-a }');
    const little = Buffer.from(`\ufeff${text}`, 'utf16le');
    expect(named(read(little))).toEqual(['default/tenant-a']);
    expect(named(read(Buffer.from(little).swap16()))).toEqual(['default/tenant-a']);
    expect(named(read(Buffer.from(`\ufeff${text}`)))).toEqual(['default/tenant-a']);
    expect(read(Buffer.from(text, 'utf16le')).problems.join()).toContain('NUL characters');
    expect(read(Buffer.from([0x61, 0xff, 0x3a])).problems.join()).toContain('save it as UTF-8');
  });
});

const JSON_A = '{"apiVersion":"ai-platform.dev/v1alpha1","kind":"AiTenant","metadata":{"name":"tenant-a"}';
const KEYS = '"spec":{"region":"asia-northeast1","keys":[{"name":"k","secretRef":{"external":"s"}}]}}';
const A = tenant('{ name: tenant-a }');
const B = tenant('{ name: tenant-b }');
const [JA, JB] = [`${JSON_A},${KEYS}`, `${JSON_A},${KEYS}`.replace('tenant-a', 'tenant-b')];

/** Files, with the names of the tenants that kubectl reads, or with the message of the problem. */
const FILES: [what: string, content: string | Buffer, read: string[] | RegExp][] = [
  ['a comment after ---', `${A}--- # b\n${B}`, ['tenant-a', 'tenant-b']],
  ['blanks and a carriage return after ---', `${A}--- \t\r\n${B}`, ['tenant-a', 'tenant-b']],
  ['a byte order mark in each of two joined files', `\ufeff${A}---\n\ufeff${B}`, ['tenant-a', 'tenant-b']],
  ['a value after ---', `${A}--- !!map\n${B}`, /:5: kubectl takes nothing but a comment after ---/],
  ['a text block with ---', `${A}  # x\nd: |\n  a\n---\n  b\n`, /:6: AiTenant tenant-a: d: unknown field$/],
  ['... between two', `${A}...\n${B}`, /:6: kubectl passes over what follows "\.\.\."/],
  ['%YAML', `# x\n%YAML 1.1\n---\n${A}`, /:2: kubectl takes no line that begins with %/],
  ['an anchor of another document', `a: &a { b: 1 }\n---\nx: *a\n${A}`, /:3: no anchor &a stands before \*a/],
  ['an anchor that contains itself', 'a: &a\n  b:\n  - *a\n', /:3: the anchor &a contains itself/],
  ['two values in a JSON file', `${JA}\n${JB}`, ['tenant-a', 'tenant-b']],
  ['JSON after YAML', `${A}---\n${JB}`, ['tenant-a', 'tenant-b']],
  ['a comma too many in JSON', JA.replace('}]}}', '}],\n}}'), /:2: .*kubectl reads it as JSON: /],
  ['{ and then no JSON', `{ a: 1 }\n---\n${A}`, /:1: .*kubectl reads it as JSON: /],
  ['YAML after JSON', `${JA}\n---\n${B}`, /:2: .*put what is YAML into a file of its own/],
];

describe('a file is split as kubectl does it', () => {
  test.each(FILES)('%s', (_, content, expected) => {
    const { tenants, problems } = read(content);
    if (Array.isArray(expected)) {
      expect(problems).toEqual([]);
      expect(tenants.map(({ object }) => object.metadata.name)).toEqual(expected);
    } else {
      expect(problems).toEqual([expect.stringMatching(expected)]);
    }
  });

  test.skipIf(!hasKubectl)(
    'the kubectl of this machine reads the same tenants, or refuses the file or a part of it',
    () => {
      for (const [what, content, expected] of FILES) {
        const { status, stdout } = spawnSync('kubectl', ['label', '--local', '-f', file(content), 'a=b', '-o', 'name']);
        const names = stdout.toString().match(/tenant-[ab]/g) ?? [];
        if (Array.isArray(expected)) expect([what, status, names]).toEqual([what, 0, expected]);
        else expect([what, status !== 0 || names.length < 2]).toEqual([what, true]);
      }
    },
  );
});

test('other kinds, and files of other tools, are passed over', () => {
  const others = 'apiVersion: v1\nkind: Pod\nmetadata: { name: 7 }\n---\nreplicas: 2\n---\n- a\n---\ntext\n';
  expect(read(others)).toMatchObject({ tenants: [], problems: [] });
});

const parse = (yaml: string): unknown => contentOf(parseDocument(yaml, AS_KUBECTL));

describe('merge keys and equal keys', () => {
  test('count by their place', () => {
    expect(parse('a: &a { p: 1, q: 2 }\nb: { p: 9, <<: *a }\nc: { <<: *a, p: 9 }\n')).toMatchObject({
      b: { p: 1, q: 2 },
      c: { p: 9, q: 2 },
    });
    expect(() => parse('a: { <<: 3 }')).toThrow('map merge requires');
  });

  test.skipIf(!hasKubectl)('are what kubectl makes of them', () => {
    const name = fc.constantFrom('p', 'q', 'r');
    const pair = fc.tuple(name, fc.integer({ min: 0, max: 9 })).map(([key, value]) => `${key}: ${value}`);
    const source = fc.constantFrom('*x', '*y', '{ p: 7 }');
    const merge = fc.oneof(
      source.map(one => `<<: ${one}`),
      fc.array(source, { minLength: 1, maxLength: 3 }).map(many => `<<: [${many.join(', ')}]`),
    );
    const map = fc.array(fc.oneof(pair, merge), { minLength: 1, maxLength: 5 }).map(parts => `{ ${parts.join(', ')} }`);
    const maps = fc.sample(map, 200);
    const spec = `  x: &x { p: 1, q: 2 }\n  "y": &y { q: 3, r: 4 }\n${maps.map((one, at) => `  m${at}: ${one}\n`).join('')}`;
    const path = file(`apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant\nmetadata: { name: a }\nspec:\n${spec}`);
    const out = execFileSync('kubectl', ['label', '--local', '-f', path, 'a=b', '-o', 'json'], { encoding: 'utf8' });
    expect(parse(`spec:\n${spec}`)).toEqual({ spec: (JSON.parse(out) as { spec: unknown }).spec });
  });
});

describe('a file that is no manifest is one problem in plain words', () => {
  const problemsOf = (content: string | Buffer) => {
    const path = file(content);
    return readManifests([path]).problems.map(problem => problem.replace(path, 'FILE'));
  };

  test.each([
    ['a tab', 'a: 1\n\tb: 2\n', 'FILE:2: Tabs are not allowed as indentation'],
    ['two mistakes', 'a: "x\nb: [\nc: }\n', /^FILE:\d+: [^\n]*(?<!:)$/],
    ['lists that are nested too deeply', `a: ${'['.repeat(100_000)}`, /^FILE:1: .*nested too deeply/],
    [
      'maps that are nested too deeply',
      `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
      /^FILE:1: .*nested too deeply/,
    ],
    ['aliases without end', `a: &a [x]\n${'b: [*a,*a]\n'.repeat(10_000)}`, /^FILE:1: .*aliases/],
    ['a template', 'metadata:\n  name: {{ .Values.name }}\n', /^FILE:2: .*template.*helm template/],
    ['a list of AiTenants', '- { apiVersion: ai-platform.dev/v1alpha1, kind: AiTenant }\n', /^FILE:1: .*list.*--- /],
  ])('%s', (_, content, expected) => {
    const problems = problemsOf(content);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected);
  });

  test('nothing but problems is written: the YAML package is not allowed to warn', () => {
    const warnings: unknown[] = [];
    const listen = (warning: unknown) => warnings.push(warning);
    process.on('warning', listen);
    problemsOf('{ a: b }: c\n');
    process.off('warning', listen);
    expect(
      spawnSync(process.execPath, ['operator/cli/aitenant.ts', 'plan', '-f', file('{ a: b }: c\n')]).stderr.toString(),
    ).not.toMatch(/Warning|trace-warnings/);
    expect(warnings).toEqual([]);
  });

  test.skipIf(process.platform === 'win32')('one that never ends, or is far too large, is not read to its end', () => {
    expect(readManifests(['/dev/zero']).problems).toEqual([
      '/dev/zero: it is larger than 16 MiB, so it is not the file that was meant',
    ]);
    const large = file(Buffer.alloc(16 * 1024 * 1024 + 1, '# x\n'));
    expect(readManifests([large]).problems).toHaveLength(1);
  });

  test.skipIf(process.platform === 'win32')('a pipe is waited for, but not if no program writes into it', () => {
    const pipe = join(folder, 'pipe');
    const none = join(folder, 'no-writer');
    for (const path of [pipe, none]) expect(spawnSync('mkfifo', [path]).status).toBe(0);
    const writer = spawn('sh', ['-c', 'sleep 0.2; printf "kind: AiTenant\n" > "$0"', pipe]);
    expect(readManifests([pipe]).problems).toEqual([expect.stringMatching(/^.*pipe:1: apiVersion must be/)]);
    writer.kill();
    expect(readManifests([none]).problems).toEqual([
      `${none}: this is a pipe, and no program has written into it for 3 s`,
    ]);
  });

  test('an address, which kubectl would fetch', () => {
    expect(readManifests(['https://example.com/a.yaml']).problems).toEqual([
      expect.stringMatching(
        /^https:\/\/example\.com\/a\.yaml: only kubectl reads an address\. .*curl -fsSL ADDRESS \| … -f -$/,
      ),
    ]);
  });

  test('a name that leads nowhere', () => {
    const path = file('a: 1\n');
    const loop = join(folder, 'loop');
    symlinkSync(loop, loop);
    expect(readManifests(['', join(path, 'x'), loop]).problems).toEqual([
      '-f has an empty name: give the path of a file or folder, or - for standard input',
      `${path}/x: a part of this path is a file, not a folder`,
      `${loop}: its symbolic links lead in a circle`,
    ]);
  });

  test('what the API server says about rules that it did not check is left out beside what is wrong', () => {
    const problems = problemsOf(
      'apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant\nmetadata: { name: tenant-a }\nspec:\n',
    );
    expect(problems).toEqual(['FILE:4: AiTenant tenant-a: spec: Required value']);
  });
});
