import type { Json, JsonObject } from '../../ports/json.ts';
import { part } from './names.ts';
import { sameQuantity } from './quantity.ts';
import type { Change, TenantSpec } from './types.ts';

/**
 * The fields of a Cloud Run service's template that the operator writes, laid over the present template. Fields, variables,
 * labels and annotations that the spec never named survive. An unchanged template is not written, because every write makes a
 * new revision.
 */

/** A new value of this annotation makes a new revision of an unchanged template: the retry of a failed one. */
export const RETRY_ANNOTATION = 'ai-platform.dev/retry';

export interface WantedKey {
  /** The bare ID of a secret in the same project, else `projects/P/secrets/S`. */
  secret: string;
  /** Every project that a reference to the same secret may name: by ID, by number, or `''` for a bare ID. */
  projects: string[];
  version: string;
}

/** A variable of the container: a plain value, or a version of a secret. */
export type WantedVariable = { name: string; value: string } | { name: string; key: WantedKey };

/** A key that is mounted as a file. */
export interface WantedFile {
  path: string;
  key: WantedKey;
}

/** A key that a sidecar uses. `at`: the name of the variable, or the path of the file. */
export interface SidecarKey {
  sidecar: string;
  at: string;
  key: WantedKey;
}

/** The keys of the spec's optional fields, with the versions that the service is to use. */
export interface FieldKeys {
  files: WantedFile[];
  ofSidecars: SidecarKey[];
}

export interface WantedTemplate {
  serviceAccount: string;
  image?: string;
  cpu: string;
  memory: string;
  timeoutSeconds: number;
  concurrency: number;
  variables: WantedVariable[];
  /** Names of recorded variables that have left the spec. */
  dropVariables: string[];
}

/** Fields of the spec that are read elsewhere: see desired.ts, secretAccess.ts, invokers.ts, fields/laid.ts and the reconcile. */
type Elsewhere = 'region' | 'keys' | 'access' | 'invokers' | 'suspend' | 'fields';

export function wantedTemplate(
  spec: TenantSpec,
  serviceAccount: string,
  keyVariables: WantedVariable[],
  ourVariables: string[],
): WantedTemplate {
  const { image, env, resources, timeoutSeconds, scaling, ...elsewhere } = spec;
  // A field that is added to the spec is a type error here until it is read above or named in `Elsewhere`.
  elsewhere satisfies Record<Exclude<keyof typeof elsewhere, Elsewhere>, never>;
  const variables = [...keyVariables, ...env.map(({ name, value }) => ({ name, value }))];
  return {
    serviceAccount,
    image,
    cpu: resources.cpu,
    memory: resources.memory,
    timeoutSeconds,
    concurrency: scaling.concurrency,
    variables,
    dropVariables: ourVariables.filter(name => !variables.some(variable => variable.name === name)),
  };
}

const object = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
const objects = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? value.map(object) : []);
const scalar = (value: Json | undefined): string | undefined =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
/** A value that is not a number counts as 0, the default of proto3. */
const number = (value: Json | undefined): number => (Number.isFinite(Number(value)) ? Number(value) : 0);

/** Index of the container that receives the requests: the first one with ports, if there are several containers. */
function servingIndex(containers: JsonObject[]): number {
  return Math.max(
    0,
    containers.findIndex(container => objects(container.ports).length > 0),
  );
}

export const containersOf = (template: JsonObject): JsonObject[] => objects(template.containers);

export function servingContainer(template: JsonObject): JsonObject {
  const containers = containersOf(template);
  return containers[servingIndex(containers)] ?? {};
}

/** The containers that do not receive the requests. */
export function sidecarsOf(template: JsonObject): JsonObject[] {
  const containers = containersOf(template);
  const serving = servingIndex(containers);
  return containers.filter((_, at) => at !== serving);
}

/** The template with a change of the container that receives the requests. */
export function withServingContainer(template: JsonObject, edit: (container: JsonObject) => JsonObject): JsonObject {
  const containers = containersOf(template);
  const index = servingIndex(containers);
  return { ...template, containers: containers.map((container, at) => (at === index ? edit(container) : container)) };
}

export const imageOf = (template: JsonObject): string | undefined => scalar(servingContainer(template).image);

/** Every secret reference of the template's containers and volumes, as it is written there. */
export function secretReferences(template: JsonObject): string[] {
  const variables = objects(template.containers).flatMap(container => objects(container.env));
  return [
    ...variables.map(variable => object(object(variable.valueSource).secretKeyRef).secret),
    ...objects(template.volumes).map(volume => object(volume.secret).secret),
  ].flatMap(reference => scalar(reference) || []);
}

/** Whether the template mounts the secret as files. Files are read when they are opened, variables when an instance starts. */
export const mountsSecret = (template: JsonObject, secretId: string): boolean =>
  objects(template.volumes).some(volume => secretIdOf(scalar(object(volume.secret).secret) ?? '') === secretId);

/** Whether any container or volume of the template reads a secret of this ID, in whatever project. */
export const readsSecret = (template: JsonObject, secretId: string): boolean =>
  secretReferences(template).some(reference => secretIdOf(reference) === secretId);

/** The plain value of a variable of the container that takes the requests. */
export const variableOf = (template: JsonObject, name: string): string | undefined =>
  scalar(objects(servingContainer(template).env).find(variable => variable.name === name)?.value);

/**
 * Every secret and version that variables of the serving container, variables of these sidecars or files of the template name. Other
 * sidecars are not the operator's.
 */
export function pinnedVersions(template: JsonObject, sidecars: string[] = []): { secret: string; version: string }[] {
  const own = sidecarsOf(template).filter(({ name }) => sidecars.includes(scalar(name) ?? ''));
  const refs = [
    ...[servingContainer(template), ...own]
      .flatMap(({ env }) => objects(env))
      .filter(variable => scalar(variable.name))
      .map(variable => object(object(variable.valueSource).secretKeyRef)),
    ...objects(template.volumes).flatMap(({ secret }) =>
      objects(object(secret).items).map(({ version }) => ({ secret: object(secret).secret, version })),
    ),
  ];
  return refs.flatMap(({ secret: reference, version }) => {
    const secret = scalar(reference);
    return secret ? [{ secret, version: scalar(version) || 'latest' }] : [];
  });
}

export const retryCount = (template: JsonObject): number => {
  const count = Number(scalar(object(template.annotations)[RETRY_ANNOTATION]) ?? 0);
  return Number.isInteger(count) && count > 0 ? count : 0;
};

export function withRetry(template: JsonObject, count: number): JsonObject {
  const { revision: _named, ...rest } = template;
  return { ...rest, annotations: { ...object(template.annotations), [RETRY_ANNOTATION]: String(count) } };
}

/**
 * The template without the retry annotation. A change of another field makes a new revision, so the count of retries starts
 * again.
 */
export function withoutRetry(template: JsonObject): JsonObject {
  const { [RETRY_ANNOTATION]: retry, ...annotations } = object(template.annotations);
  return retry === undefined ? template : { ...template, annotations };
}

/** The predecessor's template without the name of its revision and without the retry annotation. */
export function inheritedTemplate(template: JsonObject): JsonObject {
  const { revision: _named, ...rest } = template;
  return withoutRetry(rest);
}

/** CPU only during requests, and a faster start: the defaults of the console and of gcloud. */
const NEW_RESOURCES = { cpuIdle: true, startupCpuBoost: true };

/**
 * Lays `wanted` over `current`. If `changes` is empty the template must not be written: it has the same meaning, perhaps in
 * another form.
 */
export function applyTemplate(
  current: JsonObject,
  wanted: WantedTemplate,
): { template: JsonObject; changes: Change[] } {
  const changes: Change[] = [];
  const { revision: _named, ...template } = current;
  const containers = objects(current.containers);
  const index = servingIndex(containers);
  const container: JsonObject = { ...containers[index] };

  const set = (field: string, from: string | undefined, to: string, apply: () => void) => {
    changes.push({ field, from, to });
    apply();
  };

  if (template.serviceAccount !== wanted.serviceAccount) {
    set('serviceAccount', scalar(template.serviceAccount), wanted.serviceAccount, () => {
      template.serviceAccount = wanted.serviceAccount;
    });
  }
  if (seconds(template.timeout) !== wanted.timeoutSeconds) {
    set('timeoutSeconds', scalar(template.timeout), `${wanted.timeoutSeconds}s`, () => {
      template.timeout = `${wanted.timeoutSeconds}s`;
    });
  }
  if (number(template.maxInstanceRequestConcurrency) !== wanted.concurrency) {
    set('scaling.concurrency', scalar(template.maxInstanceRequestConcurrency), String(wanted.concurrency), () => {
      template.maxInstanceRequestConcurrency = wanted.concurrency;
    });
  }
  if (wanted.image !== undefined && container.image !== wanted.image) {
    set('image', scalar(container.image), wanted.image, () => {
      container.image = wanted.image;
    });
  }
  const resources: JsonObject =
    container.resources === undefined ? { ...NEW_RESOURCES } : { ...object(container.resources) };
  const limits = { ...object(resources.limits) };
  for (const [name, value] of Object.entries({ cpu: wanted.cpu, memory: wanted.memory })) {
    if (!sameQuantity(scalar(limits[name]), value)) {
      set(`resources.${name}`, scalar(limits[name]), value, () => {
        limits[name] = value;
        container.resources = { ...resources, limits };
      });
    }
  }
  const env = applyVariables(objects(container.env), wanted);
  if (env.changes.length > 0) {
    changes.push(...env.changes);
    container.env = env.variables;
  }
  const nextContainers =
    containers.length === 0 ? [container] : containers.map((c, i) => (i === index ? container : c));
  return { template: { ...template, containers: nextContainers }, changes };
}

function applyVariables(current: JsonObject[], wanted: WantedTemplate): { variables: JsonObject[]; changes: Change[] } {
  const changes: Change[] = [];
  const variables: JsonObject[] = [];
  for (const variable of current) {
    const name = scalar(variable.name) ?? '';
    if (wanted.dropVariables.includes(name)) {
      changes.push({ field: `env.${name}`, from: shownVariable(variable), to: undefined });
      continue;
    }
    const want = wanted.variables.find(other => other.name === name);
    if (want === undefined || sameVariable(variable, want)) variables.push(variable);
    else {
      const next = writtenVariable(want, variable);
      changes.push({ field: `env.${name}`, from: shownVariable(variable), to: shownVariable(next) });
      variables.push(next);
    }
  }
  for (const want of wanted.variables) {
    if (current.some(variable => variable.name === want.name)) continue;
    const next = writtenVariable(want);
    changes.push({ field: `env.${want.name}`, from: undefined, to: shownVariable(next) });
    variables.push(next);
  }
  return { variables, changes };
}

/**
 * The variable to write. Fields of `before` that the operator does not know stay. Those of the secret reference stay only if
 * the new value is a secret reference too.
 */
function writtenVariable(want: WantedVariable, before: JsonObject = {}): JsonObject {
  const { value: _value, valueSource, ...others } = before;
  if (!('key' in want)) return { ...others, name: want.name, value: want.value };
  const { secret, version } = want.key;
  const ref = object(object(valueSource).secretKeyRef);
  const source = ref.secret === undefined ? {} : object(valueSource);
  return { ...others, name: want.name, valueSource: { ...source, secretKeyRef: { ...ref, secret, version } } };
}

function sameVariable(variable: JsonObject, want: WantedVariable): boolean {
  const ref = object(object(variable.valueSource).secretKeyRef);
  if (!('key' in want)) return ref.secret === undefined && (scalar(variable.value) ?? '') === want.value;
  return sameSecret(scalar(ref.secret) ?? '', want.key) && (scalar(ref.version) || 'latest') === want.key.version;
}

/**
 * The variable as a change shows it. A plain value may be confidential and is never shown; a secret's name and version are
 * not.
 */
export function shownVariable(variable: JsonObject): string {
  const ref = object(object(variable.valueSource).secretKeyRef);
  const secret = scalar(ref.secret);
  return secret === undefined ? '(value)' : `${secret}:${scalar(ref.version) || 'latest'}`;
}

export const secretIdOf = (reference: string): string =>
  reference.startsWith('projects/') ? part(reference, 'secrets') : reference;

/** Whether both name the same secret. A reference may be a bare ID, or name the project by ID or number. */
export function sameSecret(reference: string, wanted: WantedKey): boolean {
  return secretIdOf(reference) === secretIdOf(wanted.secret) && wanted.projects.includes(part(reference, 'projects'));
}

function seconds(duration: Json | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)s$/.exec(scalar(duration) ?? '');
  return match ? Number(match[1]) : undefined;
}

// --------------------------------------------------------------------------------------------------------- scaling

/**
 * The numbers of instances in effect. Cloud Run has a minimum and a maximum on the service and on the template; the higher
 * minimum and the lower maximum count. Source: Cloud Run documentation, "Minimum instances" and "Maximum instances".
 */
export function scalingInForce(scaling: JsonObject, template: JsonObject): { min: number; max?: number } {
  const own = object(template.scaling);
  const maxima = [number(scaling.maxInstanceCount), number(own.maxInstanceCount)].filter(max => max > 0);
  return {
    min: Math.max(number(scaling.minInstanceCount), number(own.minInstanceCount)),
    max: maxima.length > 0 ? Math.min(...maxima) : undefined,
  };
}

/**
 * The maximum that Cloud Run sets on a template without one. It is lower where the project's quota is small (20 and 5 are
 * reported).
 * Source: Cloud Run documentation, "Maximum instances"; reports of client projects for the lower ones.
 */
const SERVER_MAXIMUM = 100;

/**
 * The writes after which `min` and `max` are in effect. They go on the service, which makes no revision. The template is written
 * only if its own numbers, or Cloud Run's defaults for them, prevent that. Its maximum is then raised and not removed, because
 * Cloud Run would set its default again, which may be lower.
 */
export function applyScaling(
  scaling: JsonObject,
  template: JsonObject,
  min: number,
  max: number,
): { scaling?: JsonObject; template?: JsonObject; changes: Change[] } {
  const inForce = scalingInForce(scaling, template);
  const manual = scaling.scalingMode === 'MANUAL';
  const changes: Change[] = [];
  if (inForce.min !== min) {
    changes.push({ field: 'scaling.minInstances', from: String(inForce.min), to: String(min) });
  }
  if (inForce.max !== max) {
    changes.push({ field: 'scaling.maxInstances', from: inForce.max?.toString(), to: String(max) });
  }
  if (manual) changes.push({ field: 'scaling.mode', from: 'MANUAL', to: 'AUTOMATIC' });
  if (changes.length === 0) return { changes };

  const { manualInstanceCount: _count, scalingMode: _mode, ...rest } = scaling;
  const wanted: JsonObject = { ...rest, minInstanceCount: min, maxInstanceCount: max };
  if (manual) wanted.scalingMode = 'AUTOMATIC';
  const own = { ...object(template.scaling) };
  const tooMany = number(own.minInstanceCount) > min;
  const tooFew = (number(own.maxInstanceCount) || SERVER_MAXIMUM) < max;
  if (tooMany) delete own.minInstanceCount;
  if (tooFew) own.maxInstanceCount = max;
  return { scaling: wanted, template: tooMany || tooFew ? { ...template, scaling: own } : undefined, changes };
}

// --------------------------------------------------------------------------------------------------------- traffic

const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';

/** The traffic with 100 % for the latest ready revision. Undefined: the service has that already. Tags stay, without traffic. */
export function applyTraffic(traffic: JsonObject[]): JsonObject[] | undefined {
  const share = (target: JsonObject) => number(target.percent);
  const latest = traffic.filter(target => target.type === LATEST).reduce((sum, target) => sum + share(target), 0);
  if (traffic.length === 0 || latest === 100) return undefined;
  const tags = traffic.filter(target => scalar(target.tag)).map(({ percent: _percent, ...target }) => target);
  return [{ type: LATEST, percent: 100 }, ...tags];
}

export function shownTraffic(traffic: JsonObject[]): string {
  return traffic
    .filter(target => number(target.percent) > 0)
    .map(target => `${target.type === LATEST ? 'latest' : (scalar(target.revision) ?? '?')}=${number(target.percent)}%`)
    .join(', ');
}

/** Whether every serving revision is the latest one. False for an answer that names no serving revision. */
export function onlyLatestServes(trafficStatuses: JsonObject[], latestCreated: string): boolean {
  const short = (name: string) => name.split('/').at(-1);
  const serving = trafficStatuses.filter(target => number(target.percent) > 0);
  return (
    serving.length > 0 &&
    serving.every(target => target.type === LATEST || short(scalar(target.revision) ?? '') === short(latestCreated))
  );
}
