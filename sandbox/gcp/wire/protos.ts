import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import protobuf from 'protobufjs/light.js';
import { iamProtos } from '../iam/iamProtos.ts';
import { resourceManagerProtos, resourceManagerV1Protos } from '../projects/resourceManager.ts';
import { serviceUsageProtos } from '../projects/serviceUsage.ts';
import { newerRunProtos } from '../run/newerProtos.ts';
import { discoveredMethods } from './discoveredMethods.ts';
import type { HttpBinding, Method } from './method.ts';
import type { TypeLookup } from './protoJson.ts';

/**
 * Every method of the APIs and its REST routes, read from the `google.api.http` annotations of the protos that the client
 * packages ship. Loaded once a process.
 */

export interface Registry {
  methods: ReadonlyMap<string, Method>;
  lookup: TypeLookup;
}

/** The services that exist here; others in the same protos (jobs, builds, v1beta2) are unknown methods. */
const SERVICES: Record<string, Method['api']> = {
  'google.cloud.run.v2.Services': 'run',
  'google.cloud.run.v2.Revisions': 'run',
  'google.longrunning.Operations': 'run',
  'google.cloud.secretmanager.v1.SecretManagerService': 'secretmanager',
  'google.iam.admin.v1.IAM': 'iam',
  'google.iam.v2.Policies': 'denypolicies',
  'google.cloud.resourcemanager.v3.Projects': 'cloudresourcemanager',
  'google.cloudresourcemanager.v1.Projects': 'cloudresourcemanager',
  'google.api.serviceusage.v1.ServiceUsage': 'serviceusage',
};

/** APIs that have no published protos, by their trimmed discovery documents. */
const DISCOVERED: [path: string, api: Method['api']][] = [
  ['../run/v1/discovery.json', 'run'],
  ['../logging/discovery.json', 'logging'],
];

/** The APIs' own routes for the mixed-in google.longrunning.Operations (as their packages pass them to google-gax). */
const OPERATION_ROUTES: Record<string, HttpRule> = {
  GetOperation: {
    get: '/v2/{name=projects/*/locations/*/operations/*}',
    additional_bindings: { get: '/v2/{name=policies/*/*/*/operations/*}' },
  },
  ListOperations: { get: '/v2/{name=projects/*/locations/*}/operations' },
  DeleteOperation: { delete: '/v2/{name=projects/*/locations/*/operations/*}' },
  WaitOperation: { post: '/v2/{name=projects/*/locations/*/operations/*}:wait', body: '*' },
};

/** A namespace, message, enum or oneof as protobufjs writes it: what is in both of two of them is merged, lists are joined. */
interface Described {
  [key: string]: unknown;
}

function merge(into: Described, from: Described): Described {
  const merged = { ...from, ...into };
  for (const [key, more] of Object.entries(from)) {
    const own = into[key];
    if (Array.isArray(own) && Array.isArray(more)) merged[key] = [...own, ...more];
    else if (isDescribed(own) && isDescribed(more)) merged[key] = merge(own, more);
  }
  return merged;
}

const isDescribed = (value: unknown): value is Described =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function load(): Registry {
  const require = createRequire(import.meta.url);
  const shipped = (pkg: string): Described =>
    JSON.parse(readFileSync(require.resolve(`${pkg}/build/protos/protos.json`), 'utf8'));
  const below = (path: string, protos: object): Described =>
    path.split('.').reduceRight<Described>((inner, name) => ({ nested: { [name]: inner } }), { ...protos });
  const root = protobuf.Root.fromJSON(
    [
      shipped('@google-cloud/run'),
      shipped('@google-cloud/secret-manager'),
      shipped('@google-cloud/iam'),
      below('google.iam.admin.v1', iamProtos),
      below('google.cloud.run.v2', newerRunProtos),
      below('google.cloud.resourcemanager.v3', resourceManagerProtos),
      below('google.cloudresourcemanager.v1', resourceManagerV1Protos),
      below('google.api.serviceusage.v1', serviceUsageProtos),
    ].reduce(merge),
  ).resolveAll();
  // "Input only" in the protos, and answered all the same by the real service, as gcloud shows it.
  delete root.lookupType('google.cloud.secretmanager.v1.Rotation').fields.rotationPeriod?.options;

  const methods = new Map<string, Method>();
  for (const [service, api] of Object.entries(SERVICES)) {
    for (const method of root.lookupService(service).methodsArray) {
      const routes = service === 'google.longrunning.Operations' ? [OPERATION_ROUTES[method.name]] : httpOption(method);
      const bindings = routes.flatMap(route => (route ? bindingsOf(route) : []));
      if (bindings.length === 0) continue;
      const name = `${service}.${method.name}`;
      methods.set(name, {
        name,
        api,
        kind: kindOf(method.name, bindings),
        request: method.parent?.lookupType(method.requestType) as protobuf.Type,
        response: method.parent?.lookupType(method.responseType) as protobuf.Type,
        bindings,
        routeFields: new Set(bindings.flatMap(({ template }) => variablesOf(template))),
      });
    }
  }
  for (const [path, api] of DISCOVERED) {
    for (const method of discoveredMethods(new URL(path, import.meta.url), api)) methods.set(method.name, method);
  }
  const lookup: TypeLookup = typeName => {
    const found = root.lookup(typeName, [protobuf.Type]);
    return found instanceof protobuf.Type ? found : undefined;
  };
  return { methods, lookup };
}

interface HttpRule {
  [key: string]: string | HttpRule | HttpRule[] | undefined;
  additional_bindings?: HttpRule | HttpRule[];
}

function httpOption(method: protobuf.Method): HttpRule[] {
  const options = (method.parsedOptions ?? []) as unknown as Record<string, HttpRule | undefined>[];
  return options.map(option => option['(google.api.http)']).filter(rule => rule !== undefined);
}

function bindingsOf(rule: HttpRule): HttpBinding[] {
  const bindings: HttpBinding[] = [];
  for (const verb of ['get', 'put', 'post', 'delete', 'patch']) {
    const path = rule[verb];
    if (typeof path !== 'string') continue;
    const [, template = path, customVerb] = path.match(/^(.*?)(?::([a-zA-Z]+))?$/) ?? [];
    bindings.push({
      verb: verb.toUpperCase(),
      template,
      ...(customVerb && { customVerb }),
      ...(typeof rule.body === 'string' && { body: camel(rule.body) }),
    });
  }
  const more = rule.additional_bindings ?? [];
  return [...bindings, ...(Array.isArray(more) ? more : [more]).flatMap(bindingsOf)];
}

/** The variables of a path template, as JSON paths. */
export function variablesOf(template: string): string[] {
  return [...template.matchAll(/\{([^=}]+)/g)].map(match => camel(match[1] ?? ''));
}

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

function kindOf(name: string, bindings: HttpBinding[]): Method['kind'] {
  if (name === 'AccessSecretVersion') return 'access';
  const isRead = bindings.every(({ verb }) => verb === 'GET') || /^(Get|List|Test|Wait)/.test(name);
  return isRead ? 'read' : 'write';
}

let registry: Registry | undefined;

/** The methods and types of the local Google Cloud. */
export function protoRegistry(): Registry {
  registry ??= load();
  return registry;
}
