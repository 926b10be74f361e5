import type { Json, JsonObject } from '../../../ports/json.ts';
import { invalid } from '../errors.ts';
import type { HttpBinding, Method } from './method.ts';
import { variablesOf } from './protos.ts';

/** A REST call on its way to a method: the request message as JSON, not yet checked. */
export interface Routed {
  method: Method;
  request: JsonObject;
  /** The message's own fields came as query parameters, as strings; a body is below one of them. */
  fromQuery: boolean;
}

/** Parameters that every Google API takes (https://cloud.google.com/apis/docs/system-parameters); the rest are the request's. */
const SYSTEM_PARAMETERS =
  /^\$?(alt|fields|prettyPrint|key|access_token|oauth_token|quotaUser|userProject|callback|\.xgafv|upload_protocol|uploadType|httpHeaders|apiVersion|unique)$/;

interface Route {
  method: Method;
  binding: HttpBinding;
  pattern: RegExp;
  variables: string[];
}

/** Finds methods by verb and path, as their `google.api.http` annotations say; a variable is bound to whole segments. */
export function createRouter(methods: Iterable<Method>): (verb: string, path: string) => Match | undefined {
  const routes: Route[] = [...methods].flatMap(method =>
    method.bindings.map(binding => ({
      method,
      binding,
      pattern: patternOf(binding.template),
      variables: variablesOf(binding.template),
    })),
  );
  const customVerbs = new Set(routes.flatMap(({ binding }) => binding.customVerb ?? []));
  return (verb, path) => {
    const [, before = path, last] = path.match(/^(.*):([A-Za-z]+)$/) ?? [];
    const [plain, customVerb] = last && customVerbs.has(last) ? [before, last] : [path, undefined];
    for (const route of routes) {
      if (route.binding.verb !== verb || route.binding.customVerb !== customVerb) continue;
      const found = plain.match(route.pattern);
      if (found) return { route, values: found.slice(1) };
    }
    return undefined;
  };
}

interface Match {
  route: Route;
  values: string[];
}

function patternOf(template: string): RegExp {
  const source = template
    .replace(/[.$()|+^[\]?\\]/g, '\\$&')
    .replace(/\{[^=}]+=([^}]*)\}/g, (_, segments: string) => `(${segments})`)
    .replace(/\*\*|\*/g, stars => (stars === '**' ? '.+' : '[^/]+'));
  return new RegExp(`^${source}$`);
}

/** The request message of a matched call. Throws INVALID_ARGUMENT. */
export function requestOf({ route, values }: Match, query: URLSearchParams, body: JsonObject | undefined): Routed {
  const request: JsonObject = {};
  const field = route.binding.body;
  if (field === '*') Object.assign(request, body);
  else if (field) request[field] = body ?? {};
  else if (body && Object.keys(body).length > 0) {
    const name = Object.keys(body)[0];
    throw invalid(`Invalid JSON payload received. Unknown name "${name}": Cannot find field.`);
  }
  for (const name of new Set(query.keys())) {
    if (SYSTEM_PARAMETERS.test(name)) continue;
    const given = query.getAll(name);
    place(request, name, given.length > 1 ? given : (given[0] ?? ''));
  }
  for (const [index, path] of route.variables.entries()) place(request, path, decodeSegments(values[index] ?? ''));
  return { method: route.method, request, fromQuery: field !== '*' };
}

/** Sets a dotted path. A variable of the path replaces what the body says there. */
function place(request: JsonObject, path: string, value: Json): void {
  const parts = path.split('.');
  const last = parts.pop() ?? '';
  let into = request;
  for (const part of parts) {
    const child = into[part];
    const next = typeof child === 'object' && child !== null && !Array.isArray(child) ? { ...child } : {};
    into[part] = next;
    into = next;
  }
  into[last] = value;
}

/** google/api/http.proto: in a variable of several segments everything is decoded but `%2F`. */
function decodeSegments(value: string): string {
  try {
    return value
      .split(/(%2[fF])/)
      .map((part, index) => (index % 2 ? part : decodeURIComponent(part)))
      .join('');
  } catch {
    throw invalid(`Invalid percent-encoding in the path: ${value}`);
  }
}
