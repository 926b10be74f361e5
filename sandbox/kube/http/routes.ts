import type { KubeVerb } from '../faults.ts';
import type { Registry } from '../resources/registry.ts';
import type { Target } from '../resources/resource.ts';
import { badRequest, notFound } from '../status.ts';

/** The resource that a path names; undefined where it names none. */
export function targetOf(registry: Registry, pathname: string): Target | undefined {
  const segments = pathname.split('/').filter(Boolean).map(decoded);
  const group = segments[0] === 'apis' ? segments[1] : segments[0] === 'api' ? '' : undefined;
  if (group === undefined) return undefined;
  const [versionName, ...rest] = segments.slice(group ? 2 : 1);
  let namespace: string | undefined;
  let words = rest;
  // `/namespaces/x` is a namespace itself, `/namespaces/x/things` is in one, `/namespaces/x/status` is again itself.
  const within =
    words[0] === 'namespaces' && words.length > 2 && !(words.length === 3 && words[2] === 'status' && !group);
  if (within) {
    namespace = words[1];
    words = words.slice(2);
  }
  const [plural = '', name, subresource, ...excess] = words;
  const def = registry.find(group, plural);
  const version = def?.versions.find(each => each.name === versionName);
  if (!def || !version || excess.length || (namespace !== undefined && !def.namespaced)) return undefined;
  if (subresource !== undefined && (subresource !== 'status' || !version.hasStatus)) {
    if (def.custom && name !== undefined) throw notFound(def, name);
    return undefined;
  }
  // A namespaced object is reached by its namespace only; collections also across all.
  if (def.namespaced && namespace === undefined && name !== undefined) return undefined;
  return { def, version, namespace, name, subresource: subresource && 'status' };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest(`invalid URL escape in ${JSON.stringify(segment.slice(0, 100))}`);
  }
}

/** Returns the request's verb. Undefined if the resource does not support it. */
export function verbOf(method: string, query: URLSearchParams, target: Target): KubeVerb | undefined {
  const { def, name, namespace, subresource } = target;
  const across = def.namespaced && namespace === undefined;
  const watching = /^(true|1)$/.test(query.get('watch') ?? '');
  const verb = ((): KubeVerb | undefined => {
    switch (method) {
      case 'GET':
      case 'HEAD':
        if (watching && !subresource) return 'watch';
        return name === undefined ? 'list' : 'get';
      // The custom resource handler is less strict about names in the path than the built-in ones.
      case 'POST':
        return (name === undefined || def.custom) && !across ? 'create' : undefined;
      case 'PUT':
        if (name === undefined && def.custom && !across) throw badRequest('name must be provided');
        return name === undefined ? undefined : 'update';
      case 'PATCH':
        return name === undefined ? undefined : 'patch';
      case 'DELETE':
        if (subresource || across) return undefined;
        return name === undefined ? 'deletecollection' : 'delete';
      default:
        return undefined;
    }
  })();
  return verb && def.verbs.includes(verb) ? verb : undefined;
}
