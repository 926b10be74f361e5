import type { Json, JsonObject } from '../../../ports/json.ts';
import { fieldsOf, jsonObject, jsonTexts, listOf, type Parse, scalarText, text, wholeNumber } from '../specValues.ts';
import type { TenantSpec } from '../types.ts';
import { parseProbe } from './probes.ts';

/** The sidecars of a spec: each is one optional field, by its name. */
export const SIDECARS = 'sidecars';

/** The rule of the CRD for a sidecar's name. The operator calls the container that receives the requests main if it needs a name. */
export const isSidecarName = (name: string): boolean => /^(?!main$)[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(name);

/** Google's limits of a container without any. Source: k8s.min.proto, ResourceRequirements. */
export const SIDECAR_LIMITS = { cpu: '1', memory: '512Mi' };

/** A key of the spec, as a sidecar uses it. */
export interface SidecarUse {
  /** The name in `spec.keys`. */
  name: string;
  env?: string;
  file?: string;
}

/** The sidecars that the spec names, with the keys that each uses. */
export const sidecarsOf = ({ fields = {} }: TenantSpec): { name: string; keys: SidecarUse[] }[] =>
  Object.entries(fields).flatMap(([path, value]) => {
    if (!path.startsWith(`${SIDECARS}.`)) return [];
    const { keys } = jsonObject(value);
    return [{ name: path.slice(SIDECARS.length + 1), keys: (keys ?? []) as unknown as SidecarUse[] }];
  });

/** Where sidecars use a key. `at`: the name of the variable, or the path of the file. */
export const usesOf = (spec: TenantSpec, key: string): { sidecar: string; at: string }[] =>
  sidecarsOf(spec).flatMap(({ name: sidecar, keys }) =>
    keys
      .filter(({ name }) => name === key)
      .flatMap(({ env, file }) => [env, file].flatMap(at => (at === undefined ? [] : [{ sidecar, at }]))),
  );

const list = (value: unknown): Record<string, unknown>[] => (Array.isArray(value) ? value.map(fieldsOf) : []);

/** By name. Empty lists and absent fields are left out, as `read` leaves them out. */
export const parseSidecars: Parse = (value, path, unknownValues) => {
  const named = list(value).flatMap((sidecar, at) => {
    const { name, image } = sidecar;
    if (typeof name !== 'string' || !isSidecarName(name) || typeof image !== 'string') return [];
    return [[name, parseSidecar(sidecar, `${path}[${at}]`, unknownValues)] as const];
  });
  return Object.fromEntries(named) as JsonObject;
};

function parseSidecar(sidecar: Record<string, unknown>, path: string, unknownValues: string[]): JsonObject {
  const words = (name: string) => listOf(text)(sidecar[name], path, unknownValues);
  const { cpu, memory } = fieldsOf(sidecar.resources);
  const { startup, liveness } = fieldsOf(sidecar.probes);
  const env = list(sidecar.env).flatMap(({ name, value }) =>
    typeof name === 'string' ? [[name, typeof value === 'string' ? value : ''] as const] : [],
  );
  const keys = list(sidecar.keys).flatMap(({ name, env: variable, file }) => {
    const uses = { ...(typeof variable === 'string' && { env: variable }), ...(typeof file === 'string' && { file }) };
    return typeof name === 'string' ? [{ name, ...uses }] : [];
  });
  return sparse({
    image: sidecar.image as Json,
    command: words('command'),
    args: words('args'),
    env: Object.fromEntries(env) as JsonObject,
    keys: keys as unknown as Json,
    cpu: scalarText(cpu) ?? SIDECAR_LIMITS.cpu,
    memory: scalarText(memory) ?? SIDECAR_LIMITS.memory,
    port: wholeNumber(sidecar.port, path, unknownValues),
    // A set: its order means nothing.
    dependsOn: jsonTexts(words('dependsOn')).toSorted(),
    startup: parseProbe(startup, path, unknownValues),
    liveness: parseProbe(liveness, path, unknownValues),
  });
}

/** Without undefined and empty members. */
export const sparse = (value: { [name: string]: Json | undefined }): JsonObject =>
  Object.fromEntries(
    Object.entries(value).filter(
      ([, one]) => one !== undefined && (typeof one !== 'object' || one === null || Object.keys(one).length > 0),
    ),
  ) as JsonObject;
