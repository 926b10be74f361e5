import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { Read } from '../tenant/types.ts';
import { getResource, type Resource } from './getOne.ts';
import { getPolicy } from './iamPolicy.ts';
import { RESOURCES } from './resources.ts';
import { getSecretVersion, type WantedVersion } from './secret.ts';

type Resources = typeof RESOURCES;
type ValueOf<R> = R extends Resource<infer T> ? T : never;
/** One read for each resource of the table, by its full name. */
type ResourceReads = {
  [K in keyof Resources]: (name: string, options?: GcpCallOptions) => Promise<Read<ValueOf<Resources[K]>>>;
};
type ReadAny = <T extends { name: string }>(
  resource: Resource<T>,
  name: string,
  options?: GcpCallOptions,
) => Promise<Read<T>>;

/** Makes one read for each resource of the table. `read` is given the resource and the name. */
export const forEachResource = (read: ReadAny): ResourceReads =>
  Object.fromEntries(
    Object.entries(RESOURCES).map(([name, resource]) => [
      name,
      read.bind(undefined, resource as Resource<{ name: string }>),
    ]),
  ) as ResourceReads;

/**
 * All reads of Google Cloud, each with a call of its own and without a cache. Callers pass full resource names; the results contain the
 * names as Google Cloud answers them. `createSharedReads` offers the same reads from shared lists and a cache.
 */
export function createReads(call: GcpCall) {
  return {
    ...forEachResource((resource, name, options) => getResource(call, resource, name, options)),
    secretPolicy: (name: string, options?: GcpCallOptions) => getPolicy(call, 'secret', name, options),
    secretVersion: (secret: string, want: WantedVersion, options?: GcpCallOptions) =>
      getSecretVersion(call, secret, want, options),
    servicePolicy: (name: string, options?: GcpCallOptions) => getPolicy(call, 'service', name, options),
  };
}

export type Reads = ReturnType<typeof createReads>;
