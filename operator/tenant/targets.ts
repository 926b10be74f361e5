import { entriesOfType } from './inventory.ts';
import { serviceName } from './names.ts';
import type { Desired, InventoryEntry, InventoryType } from './types.ts';

/** The resources to read in Google Cloud: everything that is wanted, and everything that is on record. */
export interface Targets {
  account?: { project: string; email: string };
  keys: { name: string; secret: string; want: 'newestEnabled' | 'latest' | 'none' | (string & {}) }[];
  formerGrants: string[];
  /** Also read the secrets of former grants, whose consent may have been withdrawn. */
  formerConsent?: boolean;
  services: string[];
  /** Services whose IAM policy is read in any case. */
  invokersOf: string[];
  /** Also read the policy of a service with an invoker check, because an `allUsers` member may make it public. */
  isPublic: boolean;
}

export function targets(desired: Desired, inventory: InventoryEntry[]): Targets {
  const wanted = serviceName(desired.project, desired.region, desired.serviceId);
  const named = (type: InventoryType) => entriesOfType(type, inventory).map(({ name }) => name);
  const services = [...new Set([wanted, ...named('Service')])];
  // During a move the bindings that others added are carried over from the former region's service.
  const moving = entriesOfType('Service', inventory).some(({ name, retireAt }) => name !== wanted && !retireAt);
  const checked = desired.spec.access === 'Authenticated' || moving;
  return {
    account: { project: desired.project, email: desired.account.email },
    keys: desired.keys.flatMap(({ name, secret, env, version, rollout }) => {
      if (secret === undefined) return [];
      const latest = rollout === 'OnNewVersion' ? 'newestEnabled' : 'latest';
      return [{ name, secret, want: env === undefined ? 'none' : version === 'latest' ? latest : version }];
    }),
    formerGrants: named('SecretAccess'),
    formerConsent: true,
    services,
    invokersOf: checked ? services : named('Invoker'),
    isPublic: desired.spec.access === 'Public',
  };
}
