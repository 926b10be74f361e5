import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { sameQuantity } from '../quantity.ts';
import { fieldsOf, jsonObject, jsonObjects, jsonTexts, listOf, scalarText, text } from '../specValues.ts';
import {
  containersOf,
  sameSecret,
  servingContainer,
  sidecarsOf,
  type WantedKey,
  withServingContainer,
} from '../template.ts';
import type { Change } from '../types.ts';
import { type Field, without } from './field.ts';
import { probeAt, readProbe, writtenProbe } from './probes.ts';
import { isSidecarName, parseSidecars, SIDECAR_LIMITS, SIDECARS, sparse } from './sidecarSpec.ts';

/**
 * The containers beside the one that receives the requests. Each is found by its name. A sidecar that the spec names is the operator's
 * as a whole: what the spec does not say of it has Google's default. Containers of other names are not the operator's.
 *
 * The value of a sidecar has these members: `image`, `command`, `args`, `env` by name, `keys` by the variable's name or the file's path,
 * `cpu`, `memory`, `port`, `dependsOn`, and the probes `startup` and `liveness`.
 */

const sidecarOf = (template: JsonObject, name: string): JsonObject | undefined =>
  sidecarsOf(template).find(container => container.name === name);

// ------------------------------------------------------------------------------------------------------------- read

/** Cloud Run gives PORT to the container that receives the requests only, so another one has it as a plain variable. */
const PORT = 'PORT';

function read(template: JsonObject, name: string): Json | undefined {
  const container = sidecarOf(template, name);
  if (!container) return undefined;
  const variables = jsonObjects(container.env);
  const port = variables.find(variable => variable.name === PORT && isPort(variable.value));
  const number = port && Number(port.value);
  const plain = variables.filter(variable => variable !== port && keyOf(variable) === undefined);
  const keys = variables.flatMap(variable => {
    const key = keyOf(variable);
    return key ? [[String(variable.name), key] as const] : [];
  });
  const limits = jsonObject(jsonObject(container.resources).limits);
  const probe = (place: 'startupProbe' | 'livenessProbe') => readProbe(jsonObject(container[place]), number ?? 0);
  return sparse({
    image: container.image,
    command: jsonTexts(container.command),
    args: jsonTexts(container.args),
    env: Object.fromEntries(
      plain.map(variable => [String(variable.name), scalarText(variable.value) ?? '']),
    ) as JsonObject,
    keys: Object.fromEntries([...keys, ...filesOf(template, container).map(({ path, key }) => [path, key])]) as Json,
    cpu: scalarText(limits.cpu) ?? SIDECAR_LIMITS.cpu,
    memory: scalarText(limits.memory) ?? SIDECAR_LIMITS.memory,
    port: number,
    dependsOn: jsonTexts(container.dependsOn).toSorted(),
    startup: probe('startupProbe'),
    liveness: probe('livenessProbe'),
  });
}

const isPort = (value: Json | undefined): boolean =>
  typeof value === 'string' && /^[1-9]\d{0,4}$/.test(value) && Number(value) < 65536;

/** The secret and version of a variable. Undefined: it has a plain value. */
function keyOf(variable: JsonObject): JsonObject | undefined {
  const { secret, version } = jsonObject(jsonObject(variable.valueSource).secretKeyRef);
  return secret === undefined ? undefined : { secret, version: version || 'latest' };
}

/** Every file of a secret that is mounted into the container. */
function filesOf(
  template: JsonObject,
  { volumeMounts }: JsonObject,
): { path: string; key: JsonObject; volume: string; mountPath: string }[] {
  return jsonObjects(volumeMounts).flatMap(({ name, mountPath, subPath }) => {
    const volume = jsonObjects(template.volumes).find(one => one.name === name);
    if (volume?.secret === undefined) return [];
    const { secret, items } = jsonObject(volume.secret);
    // Without items the directory has the latest version under the secret's name. That is no file of the spec, like a part of a volume.
    const found = jsonObjects(items);
    const listed = found.length > 0 ? found : [{ path: '', version: 'latest' } as JsonObject];
    return listed.map(({ path, version }) => ({
      path: `${mountPath}/${path}${subPath ? ` in ${subPath}` : ''}`,
      key: { secret: secret ?? '', version: version || 'latest' },
      volume: String(name),
      mountPath: String(mountPath),
    }));
  });
}

// ------------------------------------------------------------------------------------------------------------ write

function write(template: JsonObject, value: Json | undefined, name: string): JsonObject {
  const before = sidecarOf(template, name);
  if (value === undefined) return before ? removed(template, before) : template;
  const wanted = jsonObject(value);
  const { container, volumes } = written(template, before ?? { name }, wanted);
  const next = before
    ? containersOf(template).map(one => (one === before ? container : one))
    : [...containersOf(withPort(template)), container];
  return withoutUnused({ ...template, containers: next, volumes }, before);
}

/** Cloud Run gives a port by default to a single container only. With several, the one with a port receives the requests. */
const withPort = (template: JsonObject): JsonObject =>
  withServingContainer(template, container =>
    jsonObjects(container.ports).length > 0
      ? container
      : { ...container, ports: [{ name: 'http1', containerPort: 8080 }] },
  );

/** The template without the sidecar. Cloud Run refuses a container that waits for one that does not exist. */
function removed(template: JsonObject, sidecar: JsonObject): JsonObject {
  const others = containersOf(template).filter(one => one !== sidecar);
  const containers = others.map(container => {
    const waits = jsonTexts(container.dependsOn).filter(name => name !== sidecar.name);
    return waits.length > 0 ? { ...container, dependsOn: waits } : without(container, 'dependsOn');
  });
  return withoutUnused({ ...template, containers }, sidecar);
}

/** Removes the volumes that the sidecar had mounted and that no container mounts now. Cloud Run reads the secrets of all volumes. */
function withoutUnused(template: JsonObject, before: JsonObject | undefined): JsonObject {
  const had = jsonObjects(before?.volumeMounts).map(({ name }) => name);
  const used = containersOf(template).flatMap(({ volumeMounts }) => jsonObjects(volumeMounts).map(({ name }) => name));
  const volumes = jsonObjects(template.volumes).filter(({ name }) => !had.includes(name) || used.includes(name));
  return volumes.length > 0 ? { ...template, volumes } : without(template, 'volumes');
}

/** The sidecar, and the volumes of the template. Fields that the operator does not know survive. */
function written(
  template: JsonObject,
  before: JsonObject,
  value: JsonObject,
): { container: JsonObject; volumes: JsonObject[] } {
  const { image, command, args, cpu, memory, dependsOn, startup, liveness } = value;
  const { mounts, volumes } = writtenFiles(template, before, wantedKeys(value));
  const resources = jsonObject(before.resources);
  const { cpuIdle } = jsonObject(servingContainer(template).resources);
  const members: { [name: string]: Json | undefined } = {
    image,
    command,
    args,
    env: writtenVariables(jsonObjects(before.env), value),
    resources: {
      ...resources,
      // The CPU of an instance is that of all its containers.
      ...(cpuIdle !== undefined && { cpuIdle }),
      limits: { ...jsonObject(resources.limits), cpu, memory } as JsonObject,
    },
    dependsOn,
    startupProbe: startup && writtenProbe(jsonObject(before.startupProbe), jsonObject(startup)),
    livenessProbe: liveness && writtenProbe(jsonObject(before.livenessProbe), jsonObject(liveness)),
    volumeMounts: mounts,
  };
  const others = Object.entries(before).filter(([member]) => !Object.hasOwn(members, member));
  return { container: { ...(Object.fromEntries(others) as JsonObject), ...sparse(members) }, volumes };
}

const wantedKeys = ({ keys }: JsonObject): [at: string, key: WantedKey][] =>
  Object.entries(fieldsOf(keys)) as unknown as [string, WantedKey][];
const isFile = (at: string): boolean => at.startsWith('/');
const directoryOf = (file: string): string => file.slice(0, file.lastIndexOf('/'));

function writtenVariables(before: JsonObject[], value: JsonObject): JsonObject[] {
  const { env, port } = value;
  const plain = Object.entries(fieldsOf(env)).map(([name, text]): JsonObject => ({ name, value: text as string }));
  const keys = wantedKeys(value).filter(([at]) => !isFile(at));
  const references = keys.map(([name, wanted]): JsonObject => {
    const found = before.find(variable => variable.name === name);
    const known = found && keyOf(found);
    // A reference to the same secret in other words stays as it is.
    if (found && known && sameKey(known, wanted)) return found;
    const { secret, version } = wanted;
    return { name, valueSource: { secretKeyRef: { secret, version } } };
  });
  return [...(port === undefined ? [] : [{ name: PORT, value: String(port) }]), ...plain, ...references];
}

const sameKey = (found: JsonObject, wanted: WantedKey): boolean =>
  sameSecret(String(found.secret), wanted) && found.version === wanted.version;

/** The mounts of the sidecar and the volumes of the template. Mounts of volumes that have no secret are not the operator's. */
function writtenFiles(template: JsonObject, before: JsonObject, keys: [at: string, key: WantedKey][]) {
  const found = filesOf(template, before);
  const secrets = found.map(({ volume }) => volume);
  const files = keys.filter(([at]) => isFile(at));
  const directories = files.map(([file]) => directoryOf(file));
  // A directory has one mount, so that of a file takes the place of another one, as in the container that receives the requests.
  const mounts = jsonObjects(before.volumeMounts).filter(
    ({ name, mountPath }) => !secrets.includes(String(name)) && !directories.includes(String(mountPath)),
  );
  let volumes = jsonObjects(template.volumes);
  for (const [file, wanted] of files) {
    const [directory, path] = [directoryOf(file), file.slice(file.lastIndexOf('/') + 1)];
    // An item may have directories in its path (`a/key`). The volume is then mounted above the directory of the file, and is replaced.
    const there = found.find(one => one.path === file && one.mountPath === directory && sameKey(one.key, wanted));
    const isAlone = there && found.filter(({ volume }) => volume === there.volume).length === 1;
    const name = isAlone ? there.volume : `key-${hash('sha256', `${before.name}:${file}`).slice(0, 12)}`;
    mounts.push({ name, mountPath: directory });
    if (isAlone) continue;
    const { secret, version } = wanted;
    const volume: JsonObject = { name, secret: { secret, items: [{ path, version }] } };
    const isThere = volumes.some(one => one.name === name);
    volumes = isThere ? volumes.map(one => (one.name === name ? volume : one)) : [...volumes, volume];
  }
  return { mounts, volumes };
}

// ---------------------------------------------------------------------------------------------------------- compare

function same(a: Json | undefined, b: Json | undefined): boolean {
  return changes('', a, b).length === 0;
}

/** What differs, by the paths of the spec. Words and values may hold a key, so they are not shown. */
function changes(path: string, a: Json | undefined, b: Json | undefined): Change[] {
  if (a === undefined && b === undefined) return [];
  const [from, to] = [jsonObject(a), jsonObject(b)];
  if (a === undefined || b === undefined)
    return [{ field: path, from: scalarText(from.image), to: scalarText(to.image) }];
  const member = (name: string, shown: (value: Json | undefined) => string | undefined, below = ''): Change[] =>
    isDeepStrictEqual(from[name], to[name])
      ? []
      : [{ field: `${path}.${below}${name}`, from: shown(from[name]), to: shown(to[name]) }];
  const count = (value: Json | undefined) => (Array.isArray(value) ? `(${value.length} words)` : undefined);
  const json = (value: Json | undefined) => (value === undefined ? undefined : JSON.stringify(value));
  const limit = (name: 'cpu' | 'memory'): Change[] =>
    sameQuantity(scalarText(from[name]), String(to[name]))
      ? []
      : [{ field: `${path}.resources.${name}`, from: scalarText(from[name]), to: scalarText(to[name]) }];
  return [
    ...member('image', scalarText),
    ...member('command', count),
    ...member('args', count),
    ...variableChanges(path, from, to),
    ...limit('cpu'),
    ...limit('memory'),
    ...member('port', scalarText),
    ...member('dependsOn', value => jsonTexts(value).join(', ') || undefined),
    ...member('startup', json, 'probes.'),
    ...member('liveness', json, 'probes.'),
  ];
}

function variableChanges(path: string, from: JsonObject, to: JsonObject): Change[] {
  const [plain, wanted] = [fieldsOf(from.env), fieldsOf(to.env)];
  const names = [...new Set([...Object.keys(plain), ...Object.keys(wanted)])];
  const value = (of: Record<string, unknown>, name: string) => (Object.hasOwn(of, name) ? '(value)' : undefined);
  const ofEnv = names
    .filter(name => plain[name] !== wanted[name])
    .map(name => ({ field: `${path}.env.${name}`, from: value(plain, name), to: value(wanted, name) }));
  const [keys, wantedOnes] = [fieldsOf(from.keys), fieldsOf(to.keys)];
  const places = [...new Set([...Object.keys(keys), ...Object.keys(wantedOnes)])];
  const shown = (key: unknown) => (key === undefined ? undefined : `${fieldsOf(key).secret}:${fieldsOf(key).version}`);
  const ofKeys = places.flatMap((at): Change[] => {
    const [one, other] = [keys[at] as JsonObject | undefined, wantedOnes[at] as WantedKey | undefined];
    if (one && other && sameKey(one, other)) return [];
    return [{ field: sidecarKeyPath(path, at), from: shown(one), to: shown(other) }];
  });
  return [...ofEnv, ...ofKeys];
}

/** The path of a key in changes. `at`: the variable's name or the file's path. */
export const sidecarKeyPath = (path: string, at: string): string => `${path}.${isFile(at) ? 'files' : 'env'}.${at}`;

// ------------------------------------------------------------------------------------------------------------- rows

const sidecars: Field = {
  path: SIDECARS,
  keyed: {
    allows: isSidecarName,
    keysOf: template => inOrder(sidecarsOf(template).filter(({ name }) => isSidecarName(String(name ?? '')))),
    item: (name, value) => itemOf(name, jsonObject(value)),
  },
  level: 'template',
  places: ['containers[]', 'volumes[].secret'],
  parse: parseSidecars,
  // A probe without a port goes to that of the sidecar.
  inJson(value) {
    const { port = 0, ...sidecar } = jsonObject(value);
    const probe = (one: Json | undefined) => one && probeAt(one, port);
    return sparse({
      ...jsonObject(value),
      startup: probe(sidecar.startup),
      liveness: probe(sidecar.liveness),
      dependsOn: sidecar.dependsOn,
    });
  },
  read,
  write,
  same,
  changes,
  source: 'docs.cloud.google.com/run/docs/deploying#sidecars: none',
  leaves: 'default',
};

/** The names of the sidecars, each after those that it waits for. In a circle, which Cloud Run refuses, the order is as it was. */
function inOrder(containers: JsonObject[]): string[] {
  const names: string[] = [];
  const add = (container: JsonObject, path: JsonObject[]) => {
    if (path.includes(container) || names.includes(String(container.name))) return;
    for (const name of jsonTexts(container.dependsOn)) {
      const other = containers.find(one => one.name === name);
      if (other) add(other, [...path, container]);
    }
    names.push(String(container.name));
  };
  for (const container of containers) add(container, []);
  return names;
}

/** The item of the spec's list. Its keys have the names of their secrets, and `import` gives them those of the manifest's keys. */
function itemOf(name: string, value: JsonObject): JsonObject {
  const { image, command, args, env, keys, cpu, memory, port, dependsOn, startup, liveness } = value;
  const uses = Object.entries(fieldsOf(keys)).map(([at, key]) => ({
    ...fieldsOf(key),
    ...(isFile(at) ? { file: at } : { env: at }),
  }));
  const differs = (limit: Json | undefined, usual: string) => !sameQuantity(scalarText(limit), usual);
  return sparse({
    name,
    image,
    command,
    args,
    env: Object.entries(fieldsOf(env)).map(([variable, text]) => ({ name: variable, value: text }) as JsonObject),
    keys: uses as unknown as Json,
    resources: sparse({
      cpu: differs(cpu, SIDECAR_LIMITS.cpu) ? cpu : undefined,
      memory: differs(memory, SIDECAR_LIMITS.memory) ? memory : undefined,
    }),
    port,
    dependsOn,
    probes: sparse({ startup, liveness }),
  });
}

/** A container without a name cannot wait for another one (hashicorp/terraform-provider-google, issue 21035). */
function named(template: JsonObject, container: JsonObject): JsonObject {
  if (container.name !== undefined && container.name !== '') return container;
  const taken = containersOf(template).map(({ name }) => name);
  return {
    ...container,
    name: ['main', ...taken.map((_, at) => `main-${at + 1}`)].find(one => !taken.includes(one)) ?? 'main',
  };
}

const dependsOn: Field = {
  path: 'container.dependsOn',
  level: 'template',
  places: ['containers[].dependsOn'],
  parse: listOf(text),
  read: template => jsonTexts(servingContainer(template).dependsOn),
  write: (template, value) =>
    withServingContainer(template, container =>
      jsonTexts(value).length > 0
        ? { ...named(template, container), dependsOn: jsonTexts(value) }
        : without(container, 'dependsOn'),
    ),
  same: (a, b) => isDeepStrictEqual(jsonTexts(a).toSorted(), jsonTexts(b).toSorted()),
  standard: [],
  source: 'k8s.min.proto, depends_on: all containers start at once',
  leaves: 'default',
};

/** The sidecars stand before the names of those that the container waits for. */
export const SIDECAR_FIELDS: readonly Field[] = [sidecars, dependsOn];
