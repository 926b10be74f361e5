import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs/light.js';
import type { Api } from '../quotas.ts';
import type { HttpBinding, Method } from './method.ts';

/**
 * Methods of an API that has a discovery document and no published protos, in the form of those that are read from protos: the
 * document's schemas become messages, so that requests and answers are checked in the same way. The documents in this tree are
 * trimmed to the methods that are needed, and say their revision; PyPI's google-api-python-client carries the whole ones.
 */

/** A field or parameter, as a discovery document describes it. */
interface Described {
  $ref?: string;
  type?: string;
  format?: string;
  items?: Described;
  additionalProperties?: Described;
  /** Of parameters. */
  location?: string;
  pattern?: string;
  repeated?: boolean;
}

interface DiscoveredMethod {
  httpMethod: string;
  /** Such as `v1/{+name}`. */
  path: string;
  parameters: Record<string, Described>;
  request?: string;
  response: string;
}

interface Discovery {
  revision: string;
  methods: Record<string, DiscoveredMethod>;
  schemas: Record<string, { properties: Record<string, Described> }>;
}

/** The field of a request message that holds the body, such as `service` for a body of the schema `Service`. */
const bodyField = (schema: string): string => schema.charAt(0).toLowerCase() + schema.slice(1);

const FORMATS: Record<string, string> = {
  'google-datetime': 'google.protobuf.Timestamp',
  'google-duration': 'google.protobuf.Duration',
  'google-fieldmask': 'google.protobuf.FieldMask',
  byte: 'bytes',
};

function typeOf({ $ref, type, format }: Described): string {
  if ($ref) return $ref;
  if (type === 'boolean') return 'bool';
  if (type === 'any' || type === 'object') return 'google.protobuf.Struct';
  if (type === 'string') return FORMATS[format ?? ''] ?? format ?? 'string';
  return format ?? (type === 'integer' ? 'int32' : 'double');
}

/** Field numbers are not Google's: only JSON is spoken here. */
function messageOf(properties: Record<string, Described>): { fields: Record<string, object> } {
  const fields = Object.entries(properties).map(([name, field], index) => {
    const id = index + 1;
    const values = field.additionalProperties;
    if (values && values.type !== 'any') return [name, { keyType: 'string', type: typeOf(values), id }];
    if (field.items) return [name, { rule: 'repeated', type: typeOf(field.items), id }];
    return [name, { ...(field.repeated && { rule: 'repeated' }), type: typeOf(field), id }];
  });
  return { fields: Object.fromEntries(fields) };
}

/** A method's request: its parameters, a dotted one (`options.x`) in a message of its own, and its body. */
function requestOf({ parameters, request }: DiscoveredMethod): object {
  const nested: Record<string, object> = {};
  const fields: Record<string, Described> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    const [outer = '', inner] = name.split('.');
    if (inner === undefined) fields[name] = parameter;
    else {
      nested[`${outer}Message`] = messageOf({ [inner]: parameter });
      fields[outer] = { $ref: `${outer}Message` };
    }
  }
  if (request) fields[bodyField(request)] = { $ref: request };
  return { ...messageOf(fields), nested };
}

function bindingOf({ httpMethod, path, parameters, request }: DiscoveredMethod): HttpBinding {
  const bound = path.replaceAll(/\{\+?([^}]+)\}/g, (_, name: string) => {
    const pattern = parameters[name]?.pattern ?? '*';
    return `{${name}=${pattern.replaceAll('[^/]+', '*').replaceAll(/[$^]/g, '')}}`;
  });
  const [, template = bound, customVerb] = bound.match(/^(.*?)(?::([a-zA-Z]+))?$/) ?? [];
  return {
    verb: httpMethod,
    template: `/${template}`,
    ...(customVerb && { customVerb }),
    ...(request && { body: bodyField(request) }),
  };
}

/** The methods of a trimmed discovery document, by their ids, such as `run.namespaces.services.get`. */
export function discoveredMethods(file: URL, api: Api): Method[] {
  const { methods, schemas }: Discovery = JSON.parse(readFileSync(file, 'utf8'));
  const messages = Object.entries(schemas).map(([name, { properties }]) => [name, messageOf(properties)]);
  const requests = Object.entries(methods).map(([id, method]) => [requestName(id), requestOf(method)]);
  const wellKnown = ['Timestamp', 'Duration', 'FieldMask', 'Struct'].map(name => [name, { fields: {} }]);
  const root = protobuf.Root.fromJSON({
    nested: {
      google: { nested: { protobuf: { nested: Object.fromEntries(wellKnown) } } },
      [api]: { nested: Object.fromEntries([...messages, ...requests]) },
    },
  }).resolveAll();
  return Object.entries(methods).map(([id, method]) => ({
    name: id,
    api,
    kind: /\.(get|list|test)\w*$/.test(id) ? 'read' : 'write',
    request: root.lookupType(`${api}.${requestName(id)}`),
    response: root.lookupType(`${api}.${method.response}`),
    bindings: [bindingOf(method)],
    routeFields: new Set(),
  }));
}

const requestName = (id: string): string => `${id.replaceAll('.', '_')}_request`;
