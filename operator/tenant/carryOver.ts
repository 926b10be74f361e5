import type { Json, JsonObject } from '../../ports/json.ts';
import type { Context } from './context.ts';
import { layFields, type WantedField, wantedFields } from './fields/laid.ts';
import { MANUAL_INSTANCES } from './fields/serviceFields.ts';
import { entriesOfType } from './inventory.ts';
import { part, targetOf } from './names.ts';
import { ownerLabels } from './ownership.ts';
import { PUBLIC_MEMBERS, RUN_INVOKER, sameMember } from './policy.ts';
import type { AccessPlan } from './secretAccess.ts';
import { settingsFromRecord } from './serviceSettings.ts';
import { applyScaling, applyTemplate, inheritedTemplate, type WantedTemplate, wantedTemplate } from './template.ts';
import type {
  Change,
  InventoryEntry,
  InvokerEntry,
  Observed,
  ObservedService,
  Policy,
  PolicyAddition,
  TenantSpec,
} from './types.ts';

/**
 * The settings that a new service takes over: all that the spec does not name, so that the service is never more open than the
 * one that it replaces. In a move the operator copies them from the predecessor. If somebody has deleted the service, it takes
 * them from the status.
 */

/** The service whose settings a new one takes over. */
export interface Predecessor {
  service?: ObservedService;
  read?: Observed['services'][number];
  /** A service that could not be read and may be the predecessor. */
  unread?: Observed['services'][number];
  /** The predecessor was replaced before, and only waits for its deletion. */
  retires?: boolean;
}

/**
 * The request for a new service: the spec's fields over the predecessor's settings. `isAgain`: the service was on record
 * before, so it gets the settings in the status. `inherited`: the inventory entries of the predecessor and of the service itself.
 */
export function newService(
  { desired, status, settings }: Context,
  access: AccessPlan,
  { service: from, read }: Predecessor,
  inherited: InventoryEntry[],
  isAgain: boolean,
): { service: JsonObject; wanted: WantedTemplate; fields: WantedField[] } {
  const { spec } = desired;
  // The operator's own variables on the predecessor's template follow the spec. Other variables are copied.
  const ourVariables = entriesOfType('Variable', inherited).map(({ variable }) => variable);
  const wanted = wantedTemplate(spec, desired.account.email, access.variables, ourVariables);
  const image = spec.image ?? status.image ?? settings.defaultImage;
  const base = from ? withoutGooglesKeys(inheritedTemplate(from.template)) : { containers: [{ image }] };
  const fields = wantedFields(spec, inherited, desired, access.fieldKeys);
  const laid = layTemplate(base, wanted, fields).template;
  const scaling = from?.scaling ?? {};
  const scaled = layScaling(scaling, laid, spec);
  const carried = from ? carriedSettings(from.raw) : {};
  const invokers = entriesOfType('Invoker', inherited);
  const bindings = read?.invokers?.state === 'present' ? carriedBindings(read.invokers.value, invokers, true) : [];
  const byPolicy = from !== undefined && isPublicByPolicy(from, bindings);
  const service: JsonObject = {
    ...carried,
    ...((isAgain || !from) && settingsFromRecord(status.serviceSettings)),
    labels: { ...(carried.labels as JsonObject | undefined), ...ownerLabels(desired.owner) },
    template: scaled.template ?? laid,
    scaling: scaled.scaling ?? scaling,
    invokerIamDisabled: spec.access === 'Public' && !byPolicy,
  };
  return { wanted, fields, service: layFields('service', service, fields).json };
}

/** The template with the spec laid over it: the fields that every spec has, then the optional ones. */
export function layTemplate(
  current: JsonObject,
  wanted: WantedTemplate,
  all: WantedField[],
): { template: JsonObject; changes: Change[]; fields: WantedField[] } {
  const { template, changes } = applyTemplate(current, wanted);
  const { json, fields, changes: more } = layFields('template', template, all);
  return { template: json, changes: [...changes, ...more], fields };
}

/** With a fixed number of instances Cloud Run has no minimum and maximum, so none is written. */
export const layScaling = (
  scaling: JsonObject,
  template: JsonObject,
  spec: TenantSpec,
): ReturnType<typeof applyScaling> =>
  spec.fields?.[MANUAL_INSTANCES] === undefined
    ? applyScaling(scaling, template, spec.scaling.minInstances, spec.scaling.maxInstances)
    : { changes: [] };

/**
 * Fields of a Service that are not settings: its identity, fields that only the server writes, and the traffic, which names
 * revisions. All other fields are carried over, unknown ones too. Source: google/cloud/run/v2/service.proto.
 */
const NOT_CARRIED: ReadonlySet<string> = new Set([
  ...[
    'name',
    'uid',
    'etag',
    'generation',
    'observedGeneration',
    'createTime',
    'updateTime',
    'deleteTime',
    'expireTime',
  ],
  ...['creator', 'lastModifier', 'client', 'clientVersion', 'reconciling', 'terminalCondition', 'conditions'],
  ...['latestReadyRevision', 'latestCreatedRevision', 'traffic', 'trafficStatuses', 'uri', 'urls'],
  ...['satisfiesPzs', 'threatDetectionEnabled'],
]);

/** Cloud Run refuses labels and annotations of these domains from a client. Source: service.proto, `labels`. */
const GOOGLES_DOMAINS = [
  'run.googleapis.com',
  'cloud.googleapis.com',
  'serving.knative.dev',
  'autoscaling.knative.dev',
];

const object = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
const nonEmpty = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** The settings of a service that a new service may be created with. `raw`: the service as Google Cloud answered it. */
export function carriedSettings(raw: JsonObject): JsonObject {
  return withoutGooglesKeys(Object.fromEntries(Object.entries(raw).filter(([field]) => !NOT_CARRIED.has(field))));
}

/** The service or template without the labels and annotations that only Google may write. */
export function withoutGooglesKeys(from: JsonObject): JsonObject {
  const kept = { ...from };
  for (const field of ['labels', 'annotations']) {
    if (from[field] === undefined) continue;
    const entries = Object.entries(object(from[field])).filter(([key]) => {
      const domain = key.includes('/') ? (key.split('/')[0] ?? '') : '';
      return !GOOGLES_DOMAINS.some(other => domain === other || domain.endsWith(`.${other}`));
    });
    kept[field] = Object.fromEntries(entries);
  }
  return kept;
}

// ----------------------------------------------------------------------------------------------------- regional

/**
 * The message that stops a move, because a setting of the former region's service names a resource of that region. Undefined:
 * there is none.
 */
export function regionalConflict({ desired }: Context, from: ObservedService): string | undefined {
  // A setting that the spec names does not come from the former service.
  const found = regionalSettings(from.template).filter(({ spec }) => desired.spec.fields?.[spec] === undefined);
  if (found.length === 0) return undefined;
  const { project, region, serviceId } = desired;
  const named = found.map(({ field, value }) => `${field} (${value})`).join(', ');
  const clear = [...new Set(found.map(setting => setting.clear))].join(' ');
  const specs = [...new Set(found.map(({ spec }) => `spec.${spec}`))].join(' and ');
  return (
    `The move to ${region} stops before anything is made: ${targetOf(from.name)} has ${named} of its own region, and nothing says ` +
    `what takes its place in ${region}. The service in ${from.region} goes on. Write ${specs}, or take it off there ` +
    `(\`gcloud run services update ${serviceId} --region=${from.region} --project=${project} ${clear}\`), or put spec.region back to ` +
    `${from.region}.`
  );
}

export interface RegionalSetting {
  /** The field's path on the service. */
  field: string;
  value: string;
  /** The field of the spec that names it. */
  spec: 'network' | 'encryptionKey';
  /** The option of `gcloud run services update` that removes the setting. */
  clear: string;
}

/**
 * Settings of a template that name a resource of the service's region. In another region that resource does not exist, or is
 * another one.
 */
export function regionalSettings(template: JsonObject): RegionalSetting[] {
  const found: RegionalSetting[] = [];
  const add = (field: string, value: Json | undefined, clear: string) => {
    const name = nonEmpty(value);
    const spec = field === 'encryptionKey' ? field : 'network';
    if (name !== undefined) found.push({ field: `template.${field}`, value: name, spec, clear });
  };
  const access = object(template.vpcAccess);
  add('vpcAccess.connector', access.connector, '--clear-vpc-connector');
  const interfaces = Array.isArray(access.networkInterfaces) ? access.networkInterfaces : [];
  for (const one of interfaces) {
    add('vpcAccess.networkInterfaces.subnetwork', object(one).subnetwork, '--clear-network');
  }
  const key = nonEmpty(template.encryptionKey);
  // Keys of `global` and of multi-regions have no number in their location, and belong to no single region.
  const location = part(key ?? '', 'locations');
  if (location === '' || /\d/.test(location)) add('encryptionKey', key, '--clear-key');
  return found;
}

// ------------------------------------------------------------------------------------------------------- policy

/**
 * The members of the predecessor's policy that others added. Three kinds are left out: the operator's own members, which the spec
 * names; deleted members, which IAM refuses in a write; and public members, unless the spec makes the service public.
 */
export function carriedBindings(policy: Policy, ours: InvokerEntry[], isPublic: boolean): PolicyAddition[] {
  return policy.bindings.flatMap(({ role, members, condition }) =>
    members.flatMap((member): PolicyAddition[] => {
      const isInvoker = role === RUN_INVOKER && condition === undefined;
      if (member.startsWith('deleted:')) return [];
      if (PUBLIC_MEMBERS.includes(member) && !(isPublic && isInvoker)) return [];
      if (isInvoker && ours.some(entry => sameMember(entry.member, member))) return [];
      return [{ role, member, ...(condition && { condition }) }];
    }),
  );
}

/** Whether the service is public because of its IAM policy. Then the operator does not disable the invoker check. */
export const isPublicByPolicy = (service: ObservedService, bindings: PolicyAddition[]): boolean =>
  !service.invokerIamDisabled &&
  bindings.some(({ role, member, condition }) => role === RUN_INVOKER && member === 'allUsers' && !condition);
