import { hash } from 'node:crypto';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { sameQuantity } from '../quantity.ts';
import { fieldsOf, jsonObject, jsonObjects, scalarText, text } from '../specValues.ts';
import { sameSecret, servingContainer, sidecarsOf, type WantedKey, withServingContainer } from '../template.ts';
import { type Field, without } from './field.ts';

/**
 * What is mounted into the container that receives the requests: keys as files, and empty directories. A mount is found by its
 * directory or by the volume's name. A volume that no container mounts any more is removed with its mount.
 */

const volumesOf = (template: JsonObject): JsonObject[] => jsonObjects(template.volumes);
const mountsOf = (template: JsonObject): JsonObject[] => jsonObjects(servingContainer(template).volumeMounts);

/** The template with another list; an empty one is left out, as Cloud Run answers it. */
const withList = (object: JsonObject, name: string, list: JsonObject[]): JsonObject =>
  list.length > 0 ? { ...object, [name]: list } : without(object, name);

/**
 * Mounts the volume, in the place of what has the same directory or the same name. A volume that loses its last mount by this is removed:
 * Cloud Run reads the secrets of all volumes, so one that nobody mounts could keep a revision from starting.
 */
function mounted(given: JsonObject, volume: JsonObject, mount: JsonObject): JsonObject {
  const isIt = ({ name }: JsonObject) => name === volume.name;
  const template = unmounted(given, other => other.mountPath === mount.mountPath && other.name !== mount.name);
  const volumes = volumesOf(template);
  const next = volumes.some(isIt) ? volumes.map(one => (isIt(one) ? volume : one)) : [...volumes, volume];
  return withServingContainer({ ...template, volumes: next }, container => {
    const others = jsonObjects(container.volumeMounts).filter(({ name }) => name !== mount.name);
    return { ...container, volumeMounts: [...others, mount] };
  });
}

/** Takes the mounts off that fit, and their volumes unless another container mounts them. */
function unmounted(template: JsonObject, fits: (mount: JsonObject) => boolean): JsonObject {
  const had = mountsOf(template).map(({ name }) => name);
  const next = withServingContainer(template, container =>
    withList(
      container,
      'volumeMounts',
      jsonObjects(container.volumeMounts).filter(mount => !fits(mount)),
    ),
  );
  const used = jsonObjects(next.containers).flatMap(container =>
    jsonObjects(container.volumeMounts).map(({ name }) => name),
  );
  const volumes = volumesOf(next).filter(({ name }) => !had.includes(name) || used.includes(name));
  return withList(next, 'volumes', volumes);
}

/** The first sidecar that mounts the volume of this name. */
export const sidecarMounting = (template: JsonObject, volume: Json | undefined): JsonObject | undefined =>
  sidecarsOf(template).find(({ volumeMounts }) => jsonObjects(volumeMounts).some(({ name }) => name === volume));

// ---------------------------------------------------------------------------------------------------- keys as files

const directoryOf = (file: string): string => file.slice(0, file.lastIndexOf('/'));
const nameOf = (file: string): string => file.slice(file.lastIndexOf('/') + 1);

/** The rule of the CRD for the path of a file. */
const isFile = (path: string): boolean =>
  /^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+\/[A-Za-z0-9_.-]*[A-Za-z0-9_-]$/.test(path) &&
  !/^\/(?:dev|proc|sys|cloudsql)\//.test(path);

/** A secret volume with one file at this path. */
function fileAt(template: JsonObject, file: string): { secret: JsonObject; name: Json } | undefined {
  const mount = mountsOf(template).find(({ mountPath, subPath }) => mountPath === directoryOf(file) && !subPath);
  const volume = mount && volumesOf(template).find(({ name }) => name === mount.name);
  if (volume?.secret === undefined) return undefined;
  const secret = jsonObject(volume.secret);
  const [item, ...more] = jsonObjects(secret.items);
  return item?.path === nameOf(file) && more.length === 0 ? { secret, name: volume.name ?? '' } : undefined;
}

/** The files of the container that receives the requests of which each has a secret and a directory to itself. */
export function mountedFiles(template: JsonObject): { file: string; secret: string; version: string; volume: Json }[] {
  return mountsOf(template).flatMap(({ name, mountPath }) => {
    const volume = volumesOf(template).find(one => one.name === name);
    const [item] = jsonObjects(jsonObject(volume?.secret).items);
    const file = `${mountPath}/${item?.path}`;
    const found = fileAt(template, file);
    if (!found || !isFile(file)) return [];
    return { file, secret: String(found.secret.secret), version: String(versionOf(found.secret)), volume: found.name };
  });
}

const versionOf = (secret: JsonObject): Json => jsonObjects(secret.items)[0]?.version || 'latest';

/**
 * By the file's path. The plan of the keys says which files there are and which version each has (`secretAccess.ts`), so this row reads
 * nothing from the spec.
 */
export const FILES = 'files';

const files: Field = {
  path: FILES,
  keyed: { allows: isFile, keysOf: () => [] },
  level: 'template',
  places: ['volumes[].secret', 'containers[].volumeMounts'],
  parse: () => undefined,
  read(template, file) {
    const found = fileAt(template, file);
    return found && { secret: found.secret.secret ?? '', version: versionOf(found.secret) };
  },
  write(template, value, file) {
    const isThere = ({ mountPath }: JsonObject) => mountPath === directoryOf(file);
    if (value === undefined) return unmounted(template, isThere);
    const { secret, version } = jsonObject(value);
    const found = fileAt(template, file);
    // A volume that a sidecar mounts too stays as it is for the sidecar.
    const isAlone = found && !sidecarMounting(template, found.name);
    const name = isAlone ? found.name : `key-${hash('sha256', file).slice(0, 12)}`;
    const item = { ...jsonObjects(found?.secret.items)[0], path: nameOf(file), version };
    const volume = { name, secret: { ...found?.secret, secret, items: [item] } };
    return mounted(template, volume as JsonObject, { name, mountPath: directoryOf(file) });
  },
  same(found, wanted) {
    if (wanted === undefined) return found === undefined;
    const { secret, version } = jsonObject(found);
    return (
      sameSecret(String(secret), fieldsOf(wanted) as unknown as WantedKey) && version === jsonObject(wanted).version
    );
  },
  shown: value => (value === undefined ? undefined : `${jsonObject(value).secret}:${jsonObject(value).version}`),
  source: 'docs.cloud.google.com/run/docs/configuring/services/secrets: none',
  leaves: 'default',
};

// -------------------------------------------------------------------------------------------------- empty directories

const NAME = /^(?!key-|cloudsql$)[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

export const VOLUMES = 'volumes';

const volumes: Field = {
  path: VOLUMES,
  keyed: {
    allows: name => NAME.test(name),
    keysOf: template => volumesOf(template).flatMap(({ name }) => (NAME.test(String(name)) ? String(name) : [])),
    item(name, value) {
      const { mountPath, sizeLimit } = jsonObject(value);
      return { name, mountPath, emptyDir: sizeLimit === undefined ? {} : { sizeLimit } } as JsonObject;
    },
  },
  level: 'template',
  places: ['volumes[].emptyDir', 'containers[].volumeMounts'],
  fromSpec: spec => {
    const given = fieldsOf(spec).volumes;
    return Array.isArray(given) ? Object.fromEntries(given.map(one => [fieldsOf(one).name, one])) : undefined;
  },
  parse(value, path, unknownValues) {
    const named = Object.entries(fieldsOf(value)).flatMap(([name, volume]) => {
      const { mountPath, emptyDir } = fieldsOf(volume);
      const at = text(mountPath, path, unknownValues);
      const { sizeLimit } = fieldsOf(emptyDir);
      const size = text(sizeLimit, path, unknownValues);
      if (!NAME.test(name) || at === undefined) return [];
      return [[name, { mountPath: at, ...(size !== undefined && { sizeLimit: size }) }] as const];
    });
    return Object.fromEntries(named) as JsonObject;
  },
  read(template, name) {
    const volume = volumesOf(template).find(one => one.name === name);
    const mount = mountsOf(template).find(one => one.name === name);
    if (volume?.emptyDir === undefined || mount === undefined) return undefined;
    const { sizeLimit } = jsonObject(volume.emptyDir);
    return { mountPath: mount.mountPath ?? '', ...(sizeLimit !== undefined && sizeLimit !== '' && { sizeLimit }) };
  },
  write(template, value, name) {
    if (value === undefined) return unmounted(template, mount => mount.name === name);
    const { mountPath, sizeLimit } = jsonObject(value);
    const before = without(jsonObject(volumesOf(template).find(one => one.name === name)?.emptyDir), 'sizeLimit');
    const emptyDir = { medium: 'MEMORY', ...before, ...(sizeLimit !== undefined && { sizeLimit }) };
    return mounted(template, { name, emptyDir } as JsonObject, { name, mountPath } as JsonObject);
  },
  same(a, b) {
    const [found, wanted] = [jsonObject(a), jsonObject(b)];
    return (
      found.mountPath === wanted.mountPath && sameQuantity(scalarText(found.sizeLimit), scalarText(wanted.sizeLimit))
    );
  },
  source: 'docs.cloud.google.com/run/docs/configuring/services/in-memory-volume-mounts: none',
  leaves: 'default',
};

export const VOLUME_FIELDS: readonly Field[] = [files, volumes];
