import { accounts, accountWrites } from './account.ts';
import { policyWrites } from './iamPolicy.ts';
import { secrets } from './secret.ts';
import { services, serviceWrites } from './service.ts';
import type { Writes } from './write.ts';

/** The resources of Google Cloud. A new one is registered here, in `methods.ts` (its API) and in `resourceNames.ts` (its name). */

/** The resources that are read alone or from a list, by the name that `Reads` gives them. */
export const RESOURCES = { account: accounts, secret: secrets, service: services };

/** How each kind of call is made that changes Google Cloud. */
export const WRITES: Writes = { ...accountWrites, ...policyWrites, ...serviceWrites };
