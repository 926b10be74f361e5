import type { Json, JsonObject } from '../../ports/json.ts';
import { scalingInForce, servingContainer, shownVariable } from '../tenant/template.ts';
import type { Change } from '../tenant/types.ts';

/** The spec's names of fields of a service. Every other field is shown with Cloud Run's name. */
const SPEC_NAMES: Record<string, string> = {
  'template.maxInstanceRequestConcurrency': 'scaling.concurrency',
  'template.timeout': 'timeoutSeconds',
  'template.serviceAccount': 'serviceAccount',
};

/**
 * Every field of a service that is to be created: first who may call it, then the fields that the spec names, then all others. The
 * plain values of variables, commands and arguments are not shown, because they may contain a key.
 */
export function createdService(service: JsonObject): Change[] {
  const { labels, scaling = {}, template = {}, invokerIamDisabled, ...rest } = service as Record<string, JsonObject>;
  const { containers, ...ofTemplate } = template;
  const main = servingContainer(template);
  const { min, max } = scalingInForce(scaling, template);
  const { image, env, resources, ...ofMain } = main;
  const { limits = {}, ...ofResources } = (resources ?? {}) as Record<string, JsonObject>;
  const others = (containers as Json as JsonObject[]).filter(container => container !== main);
  const scalar = (field: string, to: unknown): Change[] => (to === undefined ? [] : [{ field, to: String(to) }]);
  return [
    {
      field: 'access',
      to:
        (invokerIamDisabled as Json) === true
          ? 'Public (anyone may call it)'
          : 'Authenticated (only callers that IAM lets in)',
    },
    ...scalar('image', image),
    ...scalar('scaling.minInstances', min),
    ...scalar('scaling.maxInstances', max),
    ...Object.entries(limits).flatMap(([name, value]) => scalar(`resources.${name}`, value)),
    ...variables('env', env),
    ...leaves(ofTemplate, 'template').filter(({ field }) => !field.startsWith('template.scaling.')),
    ...leaves(ofResources as JsonObject, 'resources'),
    ...leaves(ofMain, 'container'),
    ...others.flatMap((container, at) => {
      const { env: own, ...fields } = container;
      const name = typeof container.name === 'string' ? container.name : String(at + 1);
      return [...leaves(fields, `sidecar ${name}`), ...variables(`sidecar ${name} env`, own)];
    }),
    ...leaves((labels ?? {}) as JsonObject, 'labels'),
    ...leaves(rest as JsonObject, ''),
  ].map(change => ({ ...change, field: SPEC_NAMES[change.field] ?? change.field }));
}

const variables = (path: string, env: Json | undefined): Change[] =>
  (Array.isArray(env) ? (env as JsonObject[]) : []).map(variable => ({
    field: `${path}.${variable.name}`,
    to: shownVariable(variable),
  }));

/** One change for each value at any depth, with the path of its field. */
function leaves(value: Json | undefined, path: string): Change[] {
  if (value === undefined || value === null) return [];
  if (/(?:^|[ .])(?:command|args)$/.test(path) && Array.isArray(value))
    return [{ field: path, to: `(${value.length} words)` }];
  if (typeof value !== 'object') return [{ field: path, to: String(value) }];
  const entries = Array.isArray(value)
    ? value.map((item, at) => [`[${at}]`, item] as const)
    : Object.entries(value).map(([name, item]) => [path === '' ? name : `.${name}`, item] as const);
  return entries.flatMap(([name, item]) => leaves(item, `${path}${name}`));
}
