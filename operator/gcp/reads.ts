import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import { getAccount } from './account.ts';
import { getPolicy } from './iamPolicy.ts';
import { getSecret, getSecretVersion, type WantedVersion } from './secret.ts';
import { getService } from './service.ts';

/**
 * All reads of Google Cloud, each with a call of its own and without a cache. Callers pass full resource names; the results contain the
 * names as Google Cloud answers them. `createSharedReads` offers the same reads from shared lists and a cache.
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
