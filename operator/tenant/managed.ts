import { type AccountToRemove, abandonAccount, foreseeAccount, removeAccount } from './account.ts';
import type { RemovalContext } from './removalContext.ts';
import { foreseeSecretPolicy, removeAccess } from './secretAccess.ts';
import { abandonServices, foreseeService } from './service.ts';
import type { Aspect, Call, ConditionType, Observed, Plan, Step } from './types.ts';

/**
 * The resources that a tenant has in Google Cloud, in the order in which they are created. A new one is registered here and in
 * `plan.ts`, which needs its place in the types.
 */

interface Managed {
  /** Its condition in the status, and the message when nothing is wrong. */
  condition: { type: ConditionType; fine: string };
  /** Takes the owner marks off and leaves everything else as it is. */
  abandon(ctx: RemovalContext, observed: Observed, out: Plan): void;
}

export const MANAGED: Record<Aspect, Managed> = {
  ServiceAccount: {
    condition: { type: 'ServiceAccountReady', fine: 'The service account exists and is ours.' },
    abandon: (ctx, { account }, out) => abandonAccount(ctx, account, out),
  },
  SecretAccess: {
    condition: { type: 'SecretAccessReady', fine: 'Every key is granted.' },
    // Grants carry no marks. An event has the command that removes them (`abandonedGrants`).
    abandon: () => {},
  },
  Service: {
    condition: { type: 'ServiceReady', fine: 'The Cloud Run service serves what the spec asks for.' },
    abandon: (ctx, { services }, out) => abandonServices(ctx, services, out),
  },
};

type Remove = (ctx: RemovalContext, observed: Omit<Observed, 'services'>, account: AccountToRemove, out: Plan) => void;

const AFTER_SERVICES: Record<Exclude<Aspect, 'Service'>, Remove> = {
  SecretAccess: removeAccess,
  ServiceAccount: (ctx, _observed, account, out) => removeAccount(ctx, account, out),
};

/** The removal of every resource but the services, in order. */
export const REMOVED_AFTER_SERVICES: readonly Remove[] = Object.values(AFTER_SERVICES);

/**
 * The observed state after the steps have succeeded. With it `plan` also shows the steps that only follow after others. It is a
 * guess about Google Cloud, and no call is ever made because of it.
 */
export const foresee = (observed: Observed, steps: Step[]): Observed =>
  steps.reduce((before, { call }) => after(before, call), observed);

function after(observed: Observed, call: Call): Observed {
  switch (call.kind) {
    case 'createAccount':
    case 'updateAccount':
    case 'deleteAccount':
      return foreseeAccount(observed, call);
    case 'setSecretPolicy':
      return foreseeSecretPolicy(observed, call);
    case 'createService':
    case 'updateService':
    case 'deleteService':
    case 'setServicePolicy':
      return foreseeService(observed, call);
  }
}
