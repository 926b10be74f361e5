import { describe, expect, test } from 'vitest';
import { mountedFiles, sidecarMounting } from '../../operator/tenant/fields/volumeFields.ts';
import type { JsonObject } from '../../ports/json.ts';
import { imported, lay, onRecord, specOf, template } from './support/laidFields.ts';

/** What is mounted into the container that receives the requests: keys as files, and empty directories. */

const mount = (name: string, mountPath: string, more: object = {}) => ({ name, mountPath, ...more });
const secretVolume = (name: string, path: string, version: string, secret: string | undefined = 'openai-key') => ({
  name,
  secret: { secret, items: [{ path, version }] },
});
/** The template with these mounts of the only container, and these volumes. */
const withMounts = (volumeMounts: object[], volumes: object[], sidecars: object[] = []): JsonObject => {
  const [app] = template({ volumeMounts }).containers as JsonObject[];
  return template({}, { containers: [app, ...sidecars], volumes });
};
const mountsOf = (json: JsonObject) => (json.containers as JsonObject[])[0]?.volumeMounts;
const MADE = expect.stringMatching(/^key-[0-9a-f]{12}$/);

describe('a key as a file', () => {
  const FILE = '/secrets/openai/key';
  const keys = (version = '3', path = FILE) => ({
    files: [{ path, key: { secret: 'openai-key', projects: ['', 'tenants-1', '123456'], version } }],
  });
  const laid = (json: JsonObject, version?: string, path?: string) =>
    lay('template', json, { keys: keys(version, path) });
  const change = (from: string | undefined, to: string | undefined) => ({ field: `files.${FILE}`, from, to });

  test('has a volume and a directory of its own', () => {
    const { json, changes } = laid(template());
    expect(json).toEqual(
      template(
        { volumeMounts: [mount(MADE, '/secrets/openai')] },
        { volumes: [{ name: MADE, secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }] } }] },
      ),
    );
    expect(changes).toEqual([change(undefined, 'openai-key:3')]);
    expect(laid(json).changes).toEqual([]);
  });

  test('two files have different volumes', () => {
    const { json } = laid(laid(template()).json, '1', '/secrets/other/key');
    const names = (json.volumes as JsonObject[]).map(({ name }) => name);
    expect(names).toEqual([MADE, MADE]);
    expect(new Set(names).size).toBe(2);
    expect(mountsOf(json)).toEqual([
      mount(String(names[0]), '/secrets/openai'),
      mount(String(names[1]), '/secrets/other'),
    ]);
  });

  test('is changed in its place; modes and other volumes stay', () => {
    const item = { path: 'key', version: '2', mode: 292 };
    const volumes = [
      { name: 'a', emptyDir: {} },
      { name: 'theirs', secret: { secret: 'openai-key', items: [item], defaultMode: 256 } },
      { name: 'z', gcs: {} },
    ];
    const now = withMounts([mount('a', '/a'), mount('theirs', '/secrets/openai'), mount('z', '/z')], volumes);
    const { json, changes } = laid(now);
    expect(changes).toEqual([change('openai-key:2', 'openai-key:3')]);
    expect(json.volumes).toEqual([
      volumes[0],
      { name: 'theirs', secret: { secret: 'openai-key', items: [{ ...item, version: '3' }], defaultMode: 256 } },
      volumes[2],
    ]);
    expect(mountsOf(json)).toEqual([mount('a', '/a'), mount('z', '/z'), mount('theirs', '/secrets/openai')]);
  });

  test.each([
    ['the secret by the project’s number', '3', 'projects/123456/secrets/openai-key', true],
    ['the secret by the project’s ID', '3', 'projects/tenants-1/secrets/openai-key', true],
    ['a secret of another project', '3', 'projects/other/secrets/openai-key', false],
    ['another secret', '3', 'other-key', false],
    ['another version', '4', 'openai-key', false],
    ['no version, which is the latest', '', 'openai-key', false],
  ])('is compared by what it means: %s', (_what, version, secret, isSame) => {
    const now = withMounts([mount('v', '/secrets/openai')], [secretVolume('v', 'key', version, secret)]);
    const { json, changes } = laid(now);
    expect(changes).toEqual(isSame ? [] : [change(`${secret}:${version || 'latest'}`, 'openai-key:3')]);
    if (!isSame) expect(json).toEqual(withMounts([mount('v', '/secrets/openai')], [secretVolume('v', 'key', '3')]));
    expect(lay('template', now, { keys: keys('latest') }).changes.length).toBe(version === '' ? 0 : 1);
  });

  test.each([
    ['a part of a volume', [mount('v', '/secrets/openai', { subPath: 's' })], secretVolume('v', 'key', '3')],
    ['a file of another name', [mount('v', '/secrets/openai')], secretVolume('v', 'other', '3')],
    ['a volume of another kind', [mount('v', '/secrets/openai')], { name: 'v', emptyDir: {} }],
    [
      'a volume with a second file',
      [mount('v', '/secrets/openai')],
      { name: 'v', secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }, { path: 'b' }] } },
    ],
    ['a whole secret', [mount('v', '/secrets/openai')], { name: 'v', secret: { secret: 'openai-key' } }],
    ['a mount without a volume', [mount('w', '/secrets/openai')], undefined],
  ])('%s in its directory is not the file, and is replaced', (_what, mounts, volume) => {
    const now = withMounts(mounts, volume ? [volume] : []);
    const { json, changes } = laid(now);
    expect(changes).toEqual([change(undefined, 'openai-key:3')]);
    expect(json).toEqual(withMounts([mount(MADE, '/secrets/openai')], [secretVolume(MADE, 'key', '3')]));
    // While the spec has not named it, such a mount is nobody's record.
    expect(lay('template', now, { recorded: onRecord(`files.${FILE}`) })).toEqual({ json: now, changes: [] });
    expect(mountedFiles(now).map(({ file }) => file)).not.toContain(FILE);
  });

  test('that has left the spec goes with its volume; one that a sidecar mounts stays for the sidecar', () => {
    const volumes = [{ name: 'a', emptyDir: {} }, secretVolume('v', 'key', '3')];
    const mounts = [mount('a', '/a'), mount('v', '/secrets/openai')];
    const recorded = onRecord(`files.${FILE}`);
    expect(lay('template', withMounts(mounts, volumes), { recorded })).toEqual({
      json: withMounts([mount('a', '/a')], volumes.slice(0, 1)),
      changes: [change('openai-key:3', undefined)],
    });
    const alone = withMounts(mounts.slice(1), volumes.slice(1));
    expect(lay('template', alone, { recorded }).json).toEqual(template());
    const sidecar = { name: 's', volumeMounts: [mount('v', '/x')] };
    expect(lay('template', withMounts(mounts, volumes, [sidecar]), { recorded }).json).toEqual(
      withMounts([mount('a', '/a')], volumes, [sidecar]),
    );
  });

  test.each(['/a/b', '/a/b/c', '/a/.b', '/A_-9.x/y-', '/_/_', '/devs/a', '/secrets/dev/key', '/process/x'])(
    '%s can be a file of a spec: it is imported, and removed by its record',
    file => {
      const [directory, name] = [file.slice(0, file.lastIndexOf('/')), file.slice(file.lastIndexOf('/') + 1)];
      const now = withMounts([mount('v', directory)], [secretVolume('v', name, '7')]);
      expect(mountedFiles(now)).toEqual([{ file, secret: 'openai-key', version: '7', volume: 'v' }]);
      expect(lay('template', now, { recorded: onRecord(`files.${file}`) }).json).toEqual(template());
    },
  );

  test.each([
    '/a',
    'a/b',
    'x/a/b',
    '/a/',
    '/a/b.',
    '/a/b c',
    '/a b/c',
    '/.a/b',
    '//b',
    '/a//b',
    '/dev/a',
    '/proc/a',
    '/sys/a',
    '/cloudsql/a',
    '/a/ä',
    '/a/b\n',
  ])('%j cannot: it is not imported, and its record removes nothing', file => {
    const [directory, name] = [file.slice(0, file.lastIndexOf('/')), file.slice(file.lastIndexOf('/') + 1)];
    const now = withMounts([mount('v', directory)], [secretVolume('v', name, '7')]);
    expect(mountedFiles(now)).toEqual([]);
    expect(lay('template', now, { recorded: onRecord(`files.${file}`) })).toEqual({ json: now, changes: [] });
  });

  test('is imported without a version as the latest, and as the first of its directory only', () => {
    const volumes = [secretVolume('v', 'a', ''), { name: 'n', emptyDir: {} }, secretVolume('w', 'b', '1')];
    const now = withMounts([mount('v', '/k'), mount('n', '/n'), mount('w', '/k')], volumes);
    expect(mountedFiles(now)).toEqual([{ file: '/k/a', secret: 'openai-key', version: 'latest', volume: 'v' }]);
    expect(imported({ template: now }, 'files')).toEqual([]);
  });
});

test('the sidecar that mounts a volume is found by the volume’s name', () => {
  const sidecars = [{ name: 's' }, { name: 't', volumeMounts: [mount('w', '/w'), mount('v', '/x')] }];
  const now = withMounts([mount('own', '/own')], [], sidecars);
  expect(sidecarMounting(now, 'v')).toMatchObject({ name: 't' });
  expect(sidecarMounting(now, 'own')).toBeUndefined();
});

describe('an empty directory', () => {
  const spec = (mountPath = '/cache', emptyDir: object = {}) => ({ volumes: [{ name: 'cache', mountPath, emptyDir }] });
  const laid = (json: JsonObject, given: object = spec()) => lay('template', json, { spec: given });
  const cache = (emptyDir: object = {}) => ({ name: 'cache', emptyDir });
  const now = (mountPath = '/cache', emptyDir: object = { medium: 'MEMORY' }) =>
    withMounts([mount('cache', mountPath)], [cache(emptyDir)]);
  const field = 'volumes.cache';

  test('is a volume in memory and a mount', () => {
    expect(laid(template())).toEqual({
      json: now(),
      changes: [{ field, from: undefined, to: '{"mountPath":"/cache"}' }],
    });
    const sized = laid(template(), spec('/cache', { sizeLimit: '64Mi' }));
    expect(sized).toEqual({
      json: now('/cache', { medium: 'MEMORY', sizeLimit: '64Mi' }),
      changes: [{ field, from: undefined, to: '{"mountPath":"/cache","sizeLimit":"64Mi"}' }],
    });
  });

  test.each([
    ['as it is', now('/cache', {}), spec(), true],
    ['without a limit, as Cloud Run answers it', now('/cache', { sizeLimit: '' }), spec(), true],
    ['a limit in other words', now('/cache', { sizeLimit: '1Gi' }), spec('/cache', { sizeLimit: '1024Mi' }), true],
    ['another limit', now('/cache', { sizeLimit: '1Gi' }), spec('/cache', { sizeLimit: '1Mi' }), false],
    ['a limit for none', now(), spec('/cache', { sizeLimit: '1Mi' }), false],
    ['none for a limit', now('/cache', { sizeLimit: '1Gi' }), spec(), false],
    ['another directory', now('/other'), spec(), false],
    ['a volume that is not mounted', withMounts([], [cache()]), spec(), false],
    ['a mount without a volume', withMounts([mount('cache', '/cache')], []), spec(), false],
    ['a volume of another kind', withMounts([mount('cache', '/cache')], [{ name: 'cache', gcs: {} }]), spec(), false],
  ])('is compared by what it means: %s', (_what, json, given, isSame) => {
    const { json: next, changes } = laid(json, given);
    expect(changes.length).toBe(isSame ? 0 : 1);
    expect(laid(next, given).changes).toEqual([]);
    if (!isSame) expect(mountsOf(next)).toEqual([mount('cache', '/cache')]);
  });

  test('keeps its medium and what the operator does not know, and its place in the list', () => {
    const first = { name: 'first', emptyDir: { medium: 'MEMORY', sizeLimit: '9Gi' } };
    const volumes = [first, cache({ medium: 'DISK', sizeLimit: '1Gi', tomorrow: 1 }), { name: 'z', gcs: {} }];
    const before = withMounts([mount('cache', '/old'), mount('z', '/z')], volumes);
    expect(laid(before)).toEqual({
      json: withMounts(
        [mount('z', '/z'), mount('cache', '/cache')],
        [first, cache({ medium: 'DISK', tomorrow: 1 }), { name: 'z', gcs: {} }],
      ),
      changes: [{ field, from: '{"mountPath":"/old","sizeLimit":"1Gi"}', to: '{"mountPath":"/cache"}' }],
    });
  });

  test('takes the place of what is mounted in its directory, whose volume goes unless a sidecar mounts it', () => {
    const volumes = [
      { name: 'old', gcs: {} },
      { name: 'loose', gcs: {} },
    ];
    const there = (sidecars: object[]) => withMounts([mount('old', '/cache')], volumes, sidecars);
    const made = cache({ medium: 'MEMORY' });
    expect(laid(there([])).json).toEqual(withMounts([mount('cache', '/cache')], [{ name: 'loose', gcs: {} }, made]));
    const sidecar = { name: 's', volumeMounts: [mount('old', '/x')] };
    expect(laid(there([sidecar])).json).toEqual(withMounts([mount('cache', '/cache')], [...volumes, made], [sidecar]));
  });

  test('that has left the spec goes with its volume, unless a sidecar mounts that', () => {
    const recorded = onRecord(field);
    expect(lay('template', now('/cache', { sizeLimit: '1Gi' }), { recorded })).toEqual({
      json: template(),
      changes: [{ field, from: '{"mountPath":"/cache","sizeLimit":"1Gi"}', to: undefined }],
    });
    const sidecar = { name: 's', volumeMounts: [mount('cache', '/x')] };
    const shared = withMounts([mount('cache', '/cache'), mount('z', '/z')], [cache()], [sidecar]);
    expect(lay('template', shared, { recorded }).json).toEqual(withMounts([mount('z', '/z')], [cache()], [sidecar]));
    expect(lay('template', template(), { recorded }).changes).toEqual([]);
  });

  const named = (name: string) => withMounts([mount(name, '/x')], [{ name, emptyDir: { sizeLimit: '1Gi' } }]);
  test.each(['a', '0', 'cloudsql-1', 'mycloudsql', 'keys', 'a-b', `a${'b'.repeat(62)}`])('%s may be its name', name => {
    expect(imported({ template: named(name) }, 'volumes')).toEqual([
      { name, mountPath: '/x', emptyDir: { sizeLimit: '1Gi' } },
    ]);
    expect(lay('template', named(name), { recorded: onRecord(`volumes.${name}`) }).json).toEqual(template());
    expect(
      laid(template(), { volumes: [{ name, mountPath: '/x', emptyDir: { sizeLimit: '1Gi' } }] }).changes.length,
    ).toBe(1);
  });

  test.each(['', 'cloudsql', 'key-a', '-a', 'a-', 'A', 'a.b', 'a b', `a${'b'.repeat(63)}`])('%j may not', name => {
    expect(imported({ template: named(name) }, 'volumes')).toEqual([]);
    expect(lay('template', named(name), { recorded: onRecord(`volumes.${name}`) }).changes).toEqual([]);
    expect(laid(template(), { volumes: [{ name, mountPath: '/x', emptyDir: {} }] }).changes).toEqual([]);
  });

  test('is imported if it is mounted; volumes of other kinds are not', () => {
    const volumes = [cache(), { name: 'loose', emptyDir: {} }, { name: 'bucket', gcs: {} }, { name: 7, emptyDir: {} }];
    const json = withMounts([mount('bucket', '/b'), mount('cache', '/c')], volumes);
    expect(imported({ template: json }, 'volumes')).toEqual([{ name: 'cache', mountPath: '/c', emptyDir: {} }]);
  });

  test('of the wrong type counts as absent', () => {
    for (const volumes of [
      'cache',
      { cache: { mountPath: '/c' } },
      [{ name: 'cache' }],
      [{ name: 'cache', mountPath: 7 }],
      [],
    ])
      expect(specOf({ volumes }).fields).toBeUndefined();
    expect(specOf({ volumes: [{ name: 'cache', mountPath: '/c', emptyDir: { sizeLimit: 64 } }] }).fields).toEqual({
      [field]: { mountPath: '/c' },
    });
  });
});
