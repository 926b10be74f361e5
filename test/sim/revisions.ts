import { dirname } from 'node:path/posix';
import { isDeepStrictEqual } from 'node:util';
import type { Template } from '../../sandbox/gcp/run/messages.ts';
import type { ServiceState } from '../../sandbox/gcp/run/serviceState.ts';
import { canonicalSecret, type Facts, type OwnerMark, type Variable, variablesOf } from './cloudFacts.ts';
import { amount, plainOf, referenceOf, type Spec, sidecarOf, usesOfKey } from './oracle.ts';

/**
 * Every revision that the operator makes has to be one that a spec asked for: each field that it changes becomes what a
 * spec of late says, and nothing else changes. The same template once more is a retry, of a revision that has failed.
 */

export interface Asking {
  facts: Facts;
  owner: OwnerMark;
  /** The tenant's specs of the last minutes; the newest last. */
  specs: Spec[];
  /** The highest version that was live of each key, as the status has it. */
  floors: { name: string; version?: string; secret?: string }[];
  /** Names of variables that were the tenant's, as the status has it. */
  variables: string[];
  /** Paths of optional fields that the operator has set, as the status has it. */
  fields: string[];
  touched(resource: string): boolean;
}

const RETRY = 'ai-platform.dev/retry';

export interface Before {
  template: Template;
  /** Of the last revision that came up: what that used was live. */
  live?: Template;
  failed: boolean;
  revisions: number;
}

export const beforeUpdate = (service: ServiceState): Before => ({
  template: structuredClone(service.desired.template ?? {}),
  live: service.latestReady?.template,
  // The service itself is being reconciled again after a change of anything else, a label say.
  failed: service.terminalCondition.state === 'CONDITION_FAILED' || service.latestCreated?.state === 'failed',
  revisions: service.templateGeneration,
});

/** What is wrong with the revision that an update has made, if it has made one. */
export function checkRevision(ask: Asking, service: ServiceState, before: Before): string[] {
  if (service.templateGeneration === before.revisions) return [];
  const now = service.desired.template ?? {};
  const older = olderVersions(ask, service, before.live, now);
  const changed = changes(service, before.template, now);
  if (changed.length === 0) {
    const retry = (template: Template) => template.annotations?.[RETRY];
    const isRetry = retry(now) !== undefined && retry(now) !== retry(before.template);
    return isRetry && before.failed
      ? older
      : [...older, `a revision of ${service.id} that nobody asked for: the same again`];
  }
  const unasked = changed.filter(change => !ask.specs.some(spec => asks(ask, service, spec, change)));
  return [
    ...older,
    ...unasked.map(
      ({ field, from, to }) =>
        `a revision of ${service.id} that no spec asked for: ${field} from ${JSON.stringify(from)} to ${JSON.stringify(to)}`,
    ),
  ];
}

interface Change {
  field: string;
  from: unknown;
  to: unknown;
}

function changes(service: ServiceState, was: Template, is: Template): Change[] {
  const [from, to] = [flat(service, was), flat(service, is)];
  return [...new Set([...Object.keys(from), ...Object.keys(to)])]
    .map(field => ({ field, from: from[field], to: to[field] }))
    .filter(({ from, to }) => !isDeepStrictEqual(from, to));
}

/** By a field of the template or of its container: the paths of the spec that set it. Google's startup probe follows the port. */
const SETTINGS: Record<string, string[]> = {
  command: ['container.command'],
  args: ['container.args'],
  ports: ['container.port', 'container.protocol'],
  startupProbe: ['probes.startup', 'container.port'],
  livenessProbe: ['probes.liveness'],
  cpuIdle: ['resources.cpuAlways'],
  startupCpuBoost: ['resources.startupBoost'],
  executionEnvironment: ['executionEnvironment'],
  sessionAffinity: ['sessionAffinity'],
  vpcAccess: ['network'],
  dependsOn: ['container.dependsOn', 'sidecars', 'sidecars.proxy'],
  // A container that waits for another one needs a name.
  name: ['container.dependsOn'],
  sidecars: ['sidecars', 'sidecars.proxy', 'resources.cpuAlways'],
  // Those of keys are compared as variables are.
  volumes: ['volumes', 'keys'],
  volumeMounts: ['volumes', 'keys'],
};

const valueAt = (spec: Spec, path: string): unknown =>
  path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], spec);

/** The object without the fields of `SETTINGS`, which it answers apart. */
function split(object: object): [rest: object, settings: object] {
  const parts = Object.entries(object);
  return [
    Object.fromEntries(parts.filter(([name]) => !(name in SETTINGS))),
    Object.fromEntries(parts.filter(([name]) => name in SETTINGS)),
  ];
}

/** A template as a list of fields: those that the spec names by its words, all others as they are. */
function flat(service: ServiceState, template: Template): Record<string, unknown> {
  const { revision: _, annotations, containers = [], scaling, serviceAccount, timeout, ...rest } = template;
  const [container = {}, ...beside] = containers;
  // The CPU between requests is that of all containers.
  const others = beside
    .filter(({ name }) => name !== 'proxy')
    .map(other => ({ ...other, resources: { ...other.resources, cpuIdle: undefined } }));
  const sidecars = beside
    .filter(({ name }) => name === 'proxy')
    .map(({ env: _env, volumeMounts: _mounts, ...sidecar }) => sidecar);
  const { image, env: __, resources, ...other } = container;
  const { limits, ...besides } = resources ?? {};
  const { [RETRY]: ___, ...annotated } = annotations ?? {};
  const { maxInstanceRequestConcurrency: concurrency, ...more } = rest;
  const [[unnamed, ofTemplate], [foreign, ofContainer], [billed, ofResources]] = [
    split(more),
    split(other),
    split(besides),
  ];
  return {
    image,
    serviceAccount,
    timeout,
    concurrency,
    cpu: amount(limits?.cpu),
    memory: amount(limits?.memory),
    min: scaling?.minInstanceCount ?? 0,
    max: scaling?.maxInstanceCount ?? 0,
    rest: { ...unnamed, annotated, others, other: foreign, besides: billed },
    sidecars,
    ...ofTemplate,
    ...ofContainer,
    ...ofResources,
    ...Object.fromEntries(variablesOf(service, template).map(variable => [`env ${variable.name}`, variable])),
  };
}

function asks(ask: Asking, service: ServiceState, spec: Spec, { field, from, to }: Change): boolean {
  switch (field) {
    case 'image':
      return to === spec.image;
    case 'serviceAccount':
      return String(to).startsWith(`sa-${ask.owner.name}@`);
    case 'timeout':
      return to === `${spec.timeoutSeconds}s`;
    case 'concurrency':
      return to === spec.scaling.concurrency;
    case 'cpu':
      return to === amount(spec.resources.cpu);
    case 'memory':
      return to === amount(spec.resources.memory);
    // On the template a minimum in the way of the service's own goes, and a maximum in its way is raised.
    case 'min':
      return to === 0;
    case 'max':
      return to === spec.scaling.maxInstances && Number(to) > Number(from);
    default: {
      const paths = SETTINGS[field];
      // What the value must be, the oracle says at the end.
      if (paths) return paths.some(path => valueAt(spec, path) !== undefined || ask.fields.includes(path));
      return field.startsWith('env ') && asksFor(ask, service, spec, field.slice(4), to as Variable | undefined);
    }
  }
}

function asksFor(ask: Asking, service: ServiceState, spec: Spec, name: string, to: Variable | undefined): boolean {
  const plain = plainOf(spec).find(other => other.name === name);
  const key = spec.keys.find(one => usesOfKey(spec, one).includes(name));
  const isKnown = ask.variables.includes(name) || ask.fields.includes(`sidecars.${sidecarOf(name)}`);
  // The directory of a key's file holds this file alone, so a file that is not on record goes too (docs/settings.md).
  const isTaken = name.startsWith('/') && spec.keys.some(({ file }) => file && dirname(file) === dirname(name));
  if (!to) return !plain && !key && (isKnown || isTaken);
  if (plain) return to.value === plain.value;
  if (!key || to.secret !== canonicalSecret(referenceOf(key), service.project.id)) return false;
  if (key.version !== undefined && key.version !== 'latest') return to.version === String(key.version);
  if (key.rollout === 'OnRestart') return to.version === 'latest';
  const secret = ask.facts.secret(to.secret);
  // Deleted between the read and this call: which versions it had is no longer known.
  if (!secret && ask.touched(to.secret)) return /^\d+$/.test(to.version ?? '');
  const versions = secret?.versions ?? [];
  const enabled = versions.filter(({ state }) => state === 'ENABLED').map(({ sequence }) => sequence);
  return ask.touched(to.secret)
    ? versions.some(({ sequence }) => String(sequence) === to.version)
    : to.version === String(Math.max(...enabled));
}

/** Versions of keys that went back although no spec names them (rule 6). */
export function olderVersions(ask: Asking, service: ServiceState, was: Template | undefined, is: Template): string[] {
  const before = variablesOf(service, was);
  return variablesOf(service, is).flatMap(({ name, secret, version }) => {
    if (!secret || !/^\d+$/.test(version ?? '')) return [];
    const keys = ask.specs.flatMap(spec => spec.keys.filter(key => usesOfKey(spec, key).includes(name)));
    if (keys.some(key => String(key.version) === version)) return [];
    const old = before.find(other => other.name === name && other.secret === secret)?.version;
    const pinnedLately = keys.some(key => key.version !== undefined && key.version !== 'latest');
    const floors = ask.floors.filter(floor => keys.some(key => key.name === floor.name) && floor.secret === secret);
    const highest = Math.max(
      0,
      Number(pinnedLately ? 0 : old) || 0,
      ...floors.map(({ version = '0' }) => Number(version)),
    );
    return Number(version) < highest
      ? [`rule 6: ${name} of ${service.id} went back from version ${highest} to ${version}`]
      : [];
  });
}
