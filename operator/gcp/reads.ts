import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { ObservedAccount, ObservedSecret, ObservedService, Policy, Read, SecretVersion } from '../tenant/types.ts';
import { getAccount } from './account.ts';
import { getPolicy } from './iamPolicy.ts';
import { getSecret, getSecretVersion, type WantedVersion } from './secret.ts';
import { getService } from './service.ts';

/**
 * Everything that the operator reads of Google Cloud. Callers pass full resource names and get the names that Google Cloud
 * answers.
 */
export interface Reads {
  account(project: string, email: string, options?: GcpCallOptions): Promise<Read<ObservedAccount>>;
  secret(name: string, options?: GcpCallOptions): Promise<Read<ObservedSecret>>;
  secretPolicy(name: string, options?: GcpCallOptions): Promise<Read<Policy>>;
  secretVersion(secret: string, want: WantedVersion, options?: GcpCallOptions): Promise<Read<SecretVersion>>;
  service(name: string, options?: GcpCallOptions): Promise<Read<ObservedService>>;
  servicePolicy(name: string, options?: GcpCallOptions): Promise<Read<Policy>>;
}

/** Reads that ask Google Cloud each time. */
export const createReads = (call: GcpCall): Reads => ({
  account: (project, email, options) => getAccount(call, project, email, options),
  secret: (name, options) => getSecret(call, name, options),
  secretPolicy: (name, options) => getPolicy(call, 'secret', name, options),
  secretVersion: (secret, want, options) => getSecretVersion(call, secret, want, options),
  service: (name, options) => getService(call, name, options),
  servicePolicy: (name, options) => getPolicy(call, 'service', name, options),
});
