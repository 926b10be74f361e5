import type { Json, JsonObject } from '../../ports/json.ts';
import { part } from './names.ts';
import { sameQuantity } from './quantity.ts';
import type { Change, TenantSpec } from './types.ts';

/**
 * The part of a Cloud Run service's template that is ours, laid over what is there: fields, variables, labels and
 * annotations that the spec never named survive.
 */

/** Makes a new revision of an unchanged template when a failed one is tried again. */
export const RETRY_ANNOTATION = 'ai-platform.dev/retry';

export interface WantedKey {
  /** As Cloud Run wants it: the bare id in the same project, else `projects/P/secrets/S`. */
  secret: string;
  /** Every project that a reference to the same secret may be written with: ids, numbers, and `''` for a bare id. */
  projects: string[];
  version: string;
}

/** A variable of the container: a plain value, or a secret's version. */
export interface WantedVariable {
  name: string;
  value?: string;
  key?: WantedKey;
}

export interface WantedTemplate {
  serviceAccount: string;
  image?: string;
  cpu: string;
  memory: string;
  timeoutSeconds: number;
  concurrency: number;
  variables: WantedVariable[];
  /** Names of variables that were ours and have left the spec. */
  dropVariables: string[];
}

export function wantedTemplate(
  spec: TenantSpec,
  serviceAccount: string,
  keyVariables: WantedVariable[],
  ourVariables: string[],
): WantedTemplate {
  const variables = [...keyVariables, ...spec.env.map(({ name, value }) => ({ name, value }))];
  return {
    serviceAccount,
    image: spec.image,
    cpu: spec.resources.cpu,
    memory: spec.resources.memory,
    timeoutSeconds: spec.timeoutSeconds,
    concurrency: spec.scaling.concurrency,
    variables,
    dropVariables: ourVariables.filter(name => !variables.some(variable => variable.name === name)),
  };
}

const object = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
const objects = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? value.map(object) : []);
const text = (value: Json | undefined): string | undefined =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
/** 0, proto3's default, for what is no number. */
const number = (value: Json | undefined): number => (Number.isFinite(Number(value)) ? Number(value) : 0);

/** The container that takes the requests: the one with ports where there are several. */
function servingIndex(containers: JsonObject[]): number {
  return Math.max(
    0,
    containers.findIndex(container => objects(container.ports).length > 0),
  );
}

export function servingContainer(template: JsonObject): JsonObject {
  const containers = objects(template.containers);
  return containers[servingIndex(containers)] ?? {};
}

export const imageOf = (template: JsonObject): string | undefined => text(servingContainer(template).image);

/** Every secret that a container or volume of the template reads, as it is written there. */
export function secretReferences(template: JsonObject): string[] {
  const variables = objects(template.containers).flatMap(container => objects(container.env));
  return [
    ...variables.map(variable => object(object(variable.valueSource).secretKeyRef).secret),
    ...objects(template.volumes).map(volume => object(volume.secret).secret),
  ].flatMap(reference => text(reference) || []);
}

/** Whether the template mounts the secret as files: those are read when they are opened, not when an instance starts. */
export const mountsSecret = (template: JsonObject, secretId: string): boolean =>
  objects(template.volumes).some(volume => secretIdOf(text(object(volume.secret).secret) ?? '') === secretId);

/** Whether any container or volume of the template reads the secret (by id, whatever project it is written with). */
export const readsSecret = (template: JsonObject, secretId: string): boolean =>
  secretReferences(template).some(reference => secretIdOf(reference) === secretId);

/** The version of each secret-backed variable as it stands on the template. */
export function pinnedVersions(template: JsonObject): Map<string, { secret: string; version: string }> {
  const pinned = new Map<string, { secret: string; version: string }>();
  for (const variable of objects(servingContainer(template).env)) {
    const ref = object(object(variable.valueSource).secretKeyRef);
    const [name, secret] = [text(variable.name), text(ref.secret)];
    if (name && secret) pinned.set(name, { secret, version: text(ref.version) || 'latest' });
  }
  return pinned;
}

export const retryCount = (template: JsonObject): number => {
  const count = Number(text(object(template.annotations)[RETRY_ANNOTATION]) ?? 0);
  return Number.isInteger(count) && count > 0 ? count : 0;
};

export function withRetry(template: JsonObject, count: number): JsonObject {
  const { revision: _named, ...rest } = template;
  return { ...rest, annotations: { ...object(template.annotations), [RETRY_ANNOTATION]: String(count) } };
}

/** A template that changes anyway needs nothing to tell it from the one that failed. */
export function withoutRetry(template: JsonObject): JsonObject {
  const { [RETRY_ANNOTATION]: retry, ...annotations } = object(template.annotations);
  return retry === undefined ? template : { ...template, annotations };
}

/** What a new service starts from: its predecessor's template, less what belonged to that service's own revisions. */
export function inheritedTemplate(template: JsonObject): JsonObject {
  const { revision: _named, ...rest } = template;
  return withoutRetry(rest);
}

/** CPU only during requests and a faster start: what the console and gcloud set, and what the manual's service has. */
const NEW_RESOURCES = { cpuIdle: true, startupCpuBoost: true };

/** Lays `wanted` over `current`. No changes: the template is to be left alone, whatever it is written like. */
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
    set('serviceAccount', text(template.serviceAccount), wanted.serviceAccount, () => {
      template.serviceAccount = wanted.serviceAccount;
    });
  }
  if (seconds(template.timeout) !== wanted.timeoutSeconds) {
    set('timeoutSeconds', text(template.timeout), `${wanted.timeoutSeconds}s`, () => {
      template.timeout = `${wanted.timeoutSeconds}s`;
    });
  }
  if (number(template.maxInstanceRequestConcurrency) !== wanted.concurrency) {
    set('scaling.concurrency', text(template.maxInstanceRequestConcurrency), String(wanted.concurrency), () => {
      template.maxInstanceRequestConcurrency = wanted.concurrency;
    });
  }
  if (wanted.image !== undefined && container.image !== wanted.image) {
    set('image', text(container.image), wanted.image, () => {
      container.image = wanted.image;
    });
  }
  const resources: JsonObject =
    container.resources === undefined ? { ...NEW_RESOURCES } : { ...object(container.resources) };
  const limits = { ...object(resources.limits) };
  for (const [name, value] of Object.entries({ cpu: wanted.cpu, memory: wanted.memory })) {
    if (!sameQuantity(text(limits[name]), value)) {
      set(`resources.${name}`, text(limits[name]), value, () => {
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
    const name = text(variable.name) ?? '';
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

/** The variable as it is wanted; fields of `before` that nobody here knows stay where a value of the same kind stood. */
function writtenVariable(want: WantedVariable, before: JsonObject = {}): JsonObject {
  const { value: _value, valueSource, ...others } = before;
  if (want.key === undefined) return { ...others, name: want.name, value: want.value ?? '' };
  const { secret, version } = want.key;
  const ref = object(object(valueSource).secretKeyRef);
  const source = ref.secret === undefined ? {} : object(valueSource);
  return { ...others, name: want.name, valueSource: { ...source, secretKeyRef: { ...ref, secret, version } } };
}

function sameVariable(variable: JsonObject, want: WantedVariable): boolean {
  const ref = object(object(variable.valueSource).secretKeyRef);
  if (want.key === undefined) return ref.secret === undefined && (text(variable.value) ?? '') === (want.value ?? '');
  return sameSecret(text(ref.secret) ?? '', want.key) && (text(ref.version) || 'latest') === want.key.version;
}

/** Plain values may be anything somebody typed, so none is shown; a secret's name and version are no secret. */
export function shownVariable(variable: JsonObject): string {
  const ref = object(object(variable.valueSource).secretKeyRef);
  const secret = text(ref.secret);
  return secret === undefined ? '(value)' : `${secret}:${text(ref.version) || 'latest'}`;
}

export const secretIdOf = (reference: string): string =>
  reference.startsWith('projects/') ? part(reference, 'secrets') : reference;

/** One secret can be written as a bare id, or with its project's id or number: compared by parts. */
function sameSecret(reference: string, wanted: WantedKey): boolean {
  return secretIdOf(reference) === secretIdOf(wanted.secret) && wanted.projects.includes(part(reference, 'projects'));
}

function seconds(duration: Json | undefined): number | undefined {
  const match = /^(\d+(?:\.\d+)?)s$/.exec(text(duration) ?? '');
  return match ? Number(match[1]) : undefined;
}

// --------------------------------------------------------------------------------------------------------- scaling

/**
 * The instances in force. Cloud Run keeps minimum and maximum on the service and on the template: the higher minimum and
 * the lower maximum count. Source: Cloud Run documentation, "Minimum instances" and "Maximum instances".
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
 * The template's maximum that Cloud Run fills in where none is sent; less where the project's quota is small (20 and 5 are
 * reported). Source: Cloud Run documentation, "Maximum instances"; reports of client projects for the smaller ones.
 */
const SERVER_MAXIMUM = 100;

/**
 * What to write so that `min` and `max` are in force: on the service, which makes no revision; on the template only
 * where what stands there, or what Cloud Run fills in there, is in the way. A maximum in the way is raised and never
 * cleared, because Cloud Run would fill in its default again, which may be lower still.
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

/** Undefined: all traffic goes to the latest ready revision already. Tags without traffic survive. */
export function applyTraffic(traffic: JsonObject[]): JsonObject[] | undefined {
  const share = (target: JsonObject) => number(target.percent);
  const latest = traffic.filter(target => target.type === LATEST).reduce((sum, target) => sum + share(target), 0);
  if (traffic.length === 0 || latest === 100) return undefined;
  const tags = traffic.filter(target => text(target.tag)).map(({ percent: _percent, ...target }) => target);
  return [{ type: LATEST, percent: 100 }, ...tags];
}

export function shownTraffic(traffic: JsonObject[]): string {
  return traffic
    .filter(target => number(target.percent) > 0)
    .map(target => `${target.type === LATEST ? 'latest' : (text(target.revision) ?? '?')}=${number(target.percent)}%`)
    .join(', ');
}

/** Whether every serving revision is the latest one. An answer that names none that serves does not say so. */
export function onlyLatestServes(trafficStatuses: JsonObject[], latestCreated: string): boolean {
  const short = (name: string) => name.split('/').at(-1);
  const serving = trafficStatuses.filter(target => number(target.percent) > 0);
  return (
    serving.length > 0 &&
    serving.every(target => target.type === LATEST || short(text(target.revision) ?? '') === short(latestCreated))
  );
}
