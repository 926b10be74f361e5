import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import { getAccount } from './account.ts';
import { getPolicy } from './iamPolicy.ts';
import { getSecret, getSecretVersion, type WantedVersion } from './secret.ts';
import { getService } from './service.ts';

/**
 * Everything that the operator reads of Google Cloud, asked for each time. Callers pass full resource names and get the names
 * that Google Cloud answers. `createSharedReads` has the same reads with shared lists and a cache.
 */
export function createReads(call: GcpCall) {
  return {
    account: (project: string, email: string, options?: GcpCallOptions) => getAccount(call, project, email, options),
    secret: (name: string, options?: GcpCallOptions) => getSecret(call, name, options),
    secretPolicy: (name: string, options?: GcpCallOptions) => getPolicy(call, 'secret', name, options),
    secretVersion: (secret: string, want: WantedVersion, options?: GcpCallOptions) =>
      getSecretVersion(call, secret, want, options),
    service: (name: string, options?: GcpCallOptions) => getService(call, name, options),
    servicePolicy: (name: string, options?: GcpCallOptions) => getPolicy(call, 'service', name, options),
  };
}

export type Reads = ReturnType<typeof createReads>;
