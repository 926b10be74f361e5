import type { Json, JsonObject } from '../../../ports/json.ts';
import { fieldsOf, jsonObject, listOf, text, wholeNumber, word } from '../specValues.ts';
import { type Field, worded } from './field.ts';

/** The fields of a Cloud Run service outside its template. Changing one makes no revision (service.proto, `template`). */

// ----------------------------------------------------------------------------------------------- labels, annotations

/** Labels that decide who owns a resource, that other tools use as marks, or that Google sets (resource-manager docs, `goog-`). */
const RESERVED_LABEL = /^(?:ai-tenant-|goog-|managed-by-cnrm$)/;
/** Cloud Run refuses some of these domains (service.proto, `annotations`); the others hold marks of this operator or of Google. */
const RESERVED_DOMAIN = /(?:^|\.)(?:googleapis\.com|knative\.dev|cloud\.google\.com|ai-platform\.dev)$/;

const isReserved: Record<'labels' | 'annotations', (key: string) => boolean> = {
  labels: key => RESERVED_LABEL.test(key) || key.includes('/') || key.includes('.'),
  annotations: key =>
    key.startsWith('ai-tenant-') || (key.includes('/') && RESERVED_DOMAIN.test(key.split('/')[0] ?? '')),
};

/** A map of which only the named keys are the operator's. The CRD refuses reserved keys; they are left out here too. */
function map(place: 'labels' | 'annotations', source: string): Field {
  const allowed = (value: unknown) =>
    Object.entries(fieldsOf(value)).filter(([key, one]) => typeof one === 'string' && !isReserved[place](key));
  return {
    path: place,
    keyed: { allows: key => !isReserved[place](key), keysOf: json => allowed(json[place]).map(([key]) => key) },
    level: 'service',
    places: [place],
    parse: value => Object.fromEntries(allowed(value)) as JsonObject,
    read: (json, key) => jsonObject(json[place])[key],
    write(json, value, key) {
      const { [key]: _, ...others } = jsonObject(json[place]);
      return { ...json, [place]: value === undefined ? others : { ...others, [key]: value } };
    },
    source,
    leaves: 'default',
  };
}

// --------------------------------------------------------------------------------------------------------- who may call

/** From the narrowest to the widest. `NONE` is a value that only Google sets (ingress.proto). */
const INGRESS: (Json | undefined)[] = ['INGRESS_TRAFFIC_NONE', 'Internal', 'InternalAndLoadBalancer', 'All'];
const INGRESS_WORDS = {
  All: 'INGRESS_TRAFFIC_ALL',
  Internal: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
  InternalAndLoadBalancer: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
};
const URL_WORDS = { Enabled: false, Disabled: true };
const IAP_WORDS = { Enabled: true, Disabled: false };

/** The CRD's bounds of the recorded settings. A longer value is left out, not cut. */
const LONGEST = { enum: 64, audiences: 50, audience: 512, policy: 512 };
const fits = (value: unknown, most: number): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= most ? value : undefined;
const whenTrue = (value: unknown): true | undefined => (value === true ? true : undefined);

function recordedAudiences(value: unknown): Json | undefined {
  const given: unknown[] = Array.isArray(value) ? value : [];
  const audiences = given.flatMap(audience => fits(audience, LONGEST.audience) ?? []).slice(0, LONGEST.audiences);
  return audiences.length > 0 ? audiences : undefined;
}

/** `breakglassJustification` belongs to one deployment, so it is not recorded. */
function recordedAuthorization(value: unknown): Json | undefined {
  const { useDefault, policy } = fieldsOf(value);
  const named = fits(policy, LONGEST.policy);
  if (named !== undefined) return { policy: named };
  return useDefault === true ? { useDefault } : undefined;
}

const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** The order of audiences has no meaning. */
const sorted = (value: Json | undefined): string => JSON.stringify(list(value).map(String).sort());

// ---------------------------------------------------------------------------------------------------- what may run

const AUTHORIZATION = { Default: { useDefault: true } };

const binaryAuthorization: Field = {
  path: 'binaryAuthorization',
  level: 'service',
  places: ['binaryAuthorization'],
  parse: word(AUTHORIZATION),
  read(json) {
    const { useDefault, policy } = jsonObject(json.binaryAuthorization);
    if (useDefault === true) return 'Default';
    return typeof policy === 'string' && policy !== '' ? policy : undefined;
  },
  // `breakglassJustification` belongs to the deployment of another image, so it does not survive.
  write(json, value) {
    const { binaryAuthorization: _, ...rest } = json;
    return value === undefined ? rest : { ...rest, binaryAuthorization: { ...AUTHORIZATION.Default } };
  },
  source: 'docs.cloud.google.com/binary-authorization/docs/run/enabling-binauthz-cloud-run: off unless enabled',
  leaves: 'stays',
  opens: 'to turn it off, run `gcloud run services update` with --clear-binary-authorization',
  narrows: (from, to) => from === undefined && to !== undefined,
  recorded: recordedAuthorization,
};

// ---------------------------------------------------------------------------------------------------------- scaling

export const MANUAL_INSTANCES = 'scaling.manualInstances';

/** The number of instances with manual scaling. Cloud Run then has no minimum and maximum on the service. */
const manualInstances: Field = {
  path: MANUAL_INSTANCES,
  level: 'service',
  places: ['scaling'],
  parse: wholeNumber,
  read(json) {
    const { scalingMode, manualInstanceCount } = jsonObject(json.scaling);
    return scalingMode === 'MANUAL' ? manualInstanceCount || undefined : undefined;
  },
  write(json, value) {
    const { manualInstanceCount: _count, ...scaling } = jsonObject(json.scaling);
    if (value === undefined) return { ...json, scaling: { ...scaling, scalingMode: 'AUTOMATIC' } };
    const { minInstanceCount: _min, maxInstanceCount: _max, ...others } = scaling;
    return { ...json, scaling: { ...others, scalingMode: 'MANUAL', manualInstanceCount: value } };
  },
  source: 'docs.cloud.google.com/run/docs/configuring/services/manual-scaling: automatic unless set',
  leaves: 'default',
};

export const SERVICE_FIELDS: readonly Field[] = [
  map('labels', 'service.proto, labels: none'),
  map('annotations', 'service.proto, annotations: none'),
  {
    path: 'description',
    level: 'service',
    places: ['description'],
    parse: text,
    read: json => json.description ?? '',
    write: (json, value = '') => ({ ...json, description: value }),
    standard: '',
    source: 'service.proto, description: empty',
    leaves: 'default',
  },
  {
    path: 'ingress',
    level: 'service',
    ...worded('ingress', INGRESS_WORDS, 'All'),
    parse: word(INGRESS_WORDS),
    source: 'docs.cloud.google.com/run/docs/securing/ingress: all unless set',
    leaves: 'stays',
    opens: 'to open it, write ingress: All',
    narrows: (from, to) => INGRESS.includes(from) && INGRESS.indexOf(to) < INGRESS.indexOf(from),
    recorded: value => fits(value, LONGEST.enum),
  },
  {
    path: 'defaultUrl',
    level: 'service',
    ...worded('defaultUriDisabled', URL_WORDS, 'Enabled'),
    parse: word(URL_WORDS),
    source: 'docs.cloud.google.com/run/docs/securing/ingress, default URL: enabled unless disabled',
    leaves: 'stays',
    opens: 'to open it, write defaultUrl: Enabled',
    narrows: (_from, to) => to === 'Disabled',
    recorded: whenTrue,
  },
  {
    path: 'customAudiences',
    level: 'service',
    places: ['customAudiences'],
    parse: listOf(text),
    read: json => list(json.customAudiences),
    write: (json, value = []) => ({ ...json, customAudiences: value }),
    standard: [],
    source: 'service.proto, custom_audiences: none',
    leaves: 'default',
    same: (a, b) => sorted(a) === sorted(b),
    narrows: (from, to) => list(to).every(audience => list(from).includes(audience)),
    recorded: recordedAudiences,
  },
  {
    path: 'iap',
    level: 'service',
    ...worded('iapEnabled', IAP_WORDS, 'Disabled'),
    parse: word(IAP_WORDS),
    source: 'docs.cloud.google.com/run/docs/securing/identity-aware-proxy-cloud-run: off unless enabled',
    leaves: 'stays',
    opens: 'to turn it off, write iap: Disabled',
    narrows: (_from, to) => to === 'Enabled',
    recorded: whenTrue,
  },
  binaryAuthorization,
  manualInstances,
];
