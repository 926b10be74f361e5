import type { Json, JsonObject } from '../../ports/json.ts';
import { part } from './names.ts';
import { type PolicyAddition, PUBLIC_MEMBERS, RUN_INVOKER, sameMember } from './policy.ts';
import type { InvokerEntry, ObservedService, Policy, ServiceSettings } from './types.ts';

/**
 * What a moved or re-created service takes along: every setting that the spec does not name, so that it is never more open
 * than what it replaces. A moved one copies its predecessor; one that somebody deleted gets what the status has on record.
 */

/**
 * Fields of a Service that are no settings: its identity, what only the server writes, and the traffic, which names revisions.
 * All others go along, also those that this version does not know. Source: google/cloud/run/v2/service.proto.
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

/** Labels and annotations of these domains are Google's own, and refused from a client. Source: the same, `labels`. */
const GOOGLES_DOMAINS = [
  'run.googleapis.com',
  'cloud.googleapis.com',
  'serving.knative.dev',
  'autoscaling.knative.dev',
];

const object = (value: Json | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
const text = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** The settings of `raw`, a service as Google Cloud answered it, that a new service may be created with. */
export function carriedSettings(raw: JsonObject): JsonObject {
  return withoutGooglesKeys(Object.fromEntries(Object.entries(raw).filter(([field]) => !NOT_CARRIED.has(field))));
}

/** A service or template without the labels and annotations that are Google's own. */
export function withoutGooglesKeys(from: JsonObject): JsonObject {
  const kept = { ...from };
  for (const field of ['labels', 'annotations']) {
    if (from[field] === undefined) continue;
    const entries = Object.entries(object(from[field])).filter(([key]) => {
      const domain = key.includes('/') ? (key.split('/')[0] ?? '') : '';
      return !GOOGLES_DOMAINS.some(googles => domain === googles || domain.endsWith(`.${googles}`));
    });
    kept[field] = Object.fromEntries(entries);
  }
  return kept;
}

// ---------------------------------------------------------------------------------------------------- on record

/** Bounds of what is kept in the status (crds/aitenants.yaml); what is longer is left out, never cut. */
const LONGEST = { enum: 64, audiences: 50, audience: 512, policy: 512 };

/**
 * What limits access to a service or what it may run, as the status keeps it. Undefined: it has no such setting. What a newer
 * version of the operator has on record besides stays.
 */
export function settingsOnRecord(raw: JsonObject, before: ServiceSettings = {}): ServiceSettings | undefined {
  // Google always says the ingress: an answer without it is not whole, and says nothing of the other settings either.
  if (text(raw.ingress) === undefined) return Object.keys(before).length > 0 ? before : undefined;
  const {
    ingress: _1,
    iapEnabled: _2,
    defaultUriDisabled: _3,
    customAudiences: _4,
    binaryAuthorization: _5,
    ...newer
  } = before;
  const fits = (value: Json | undefined, most: number) => {
    const found = text(value);
    return found !== undefined && found.length <= most ? found : undefined;
  };
  const given = Array.isArray(raw.customAudiences) ? raw.customAudiences : [];
  const audiences = given.flatMap(audience => fits(audience, LONGEST.audience) ?? []).slice(0, LONGEST.audiences);
  const authorization = object(raw.binaryAuthorization);
  const policy = fits(authorization.policy, LONGEST.policy);
  const ingress = fits(raw.ingress, LONGEST.enum);
  const settings: ServiceSettings = {
    ...newer,
    ...(ingress !== undefined && { ingress }),
    ...(raw.iapEnabled === true && { iapEnabled: true }),
    ...(raw.defaultUriDisabled === true && { defaultUriDisabled: true }),
    ...(audiences.length > 0 && { customAudiences: audiences }),
    // A justification to break the glass is of one deployment.
    ...(authorization.useDefault === true && { binaryAuthorization: { useDefault: true } }),
    ...(policy !== undefined && { binaryAuthorization: { policy } }),
  };
  return Object.keys(settings).length > 0 ? settings : undefined;
}

/** What of the record a service is made with; fields of a newer version's record are not understood and stay there. */
export function settingsFromRecord(record: ServiceSettings = {}): JsonObject {
  const { ingress, iapEnabled, defaultUriDisabled, customAudiences, binaryAuthorization } = record;
  return JSON.parse(JSON.stringify({ ingress, iapEnabled, defaultUriDisabled, customAudiences, binaryAuthorization }));
}

// ----------------------------------------------------------------------------------------------------- regional

export interface RegionalSetting {
  /** Where it stands on the service. */
  field: string;
  value: string;
  /** The option of `gcloud run services update` that takes it off. */
  clear: string;
}

/** Settings of a template that belong to the service's own region: in another one they name nothing, or something else. */
export function regionalSettings(template: JsonObject): RegionalSetting[] {
  const found: RegionalSetting[] = [];
  const add = (field: string, value: Json | undefined, clear: string) => {
    const name = text(value);
    if (name !== undefined) found.push({ field: `template.${field}`, value: name, clear });
  };
  const access = object(template.vpcAccess);
  add('vpcAccess.connector', access.connector, '--clear-vpc-connector');
  const interfaces = Array.isArray(access.networkInterfaces) ? access.networkInterfaces : [];
  for (const one of interfaces) {
    add('vpcAccess.networkInterfaces.subnetwork', object(one).subnetwork, '--clear-network');
  }
  const key = text(template.encryptionKey);
  // Keys of `global` and of multi-regions, whose names have no number, belong to no single region.
  const location = part(key ?? '', 'locations');
  if (location === '' || /\d/.test(location)) add('encryptionKey', key, '--clear-key');
  return found;
}

// ------------------------------------------------------------------------------------------------------- policy

/**
 * What others have in the predecessor's policy. Not ours, whose members the spec names; no deleted members, which cannot be
 * written; and nobody who makes it public unless the spec says so.
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

/** Whether everybody may call although callers are checked: who made it public so keeps the switch as it is. */
export const isPublicByPolicy = (service: ObservedService, bindings: PolicyAddition[]): boolean =>
  !service.invokerIamDisabled &&
  bindings.some(({ role, member, condition }) => role === RUN_INVOKER && member === 'allUsers' && !condition);
