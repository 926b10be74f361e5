import { foreseeAccount } from './account.ts';
import { foreseeSecretPolicy } from './secretAccess.ts';

import { foreseeService } from './service.ts';
import type { Call, Observed, Step } from './types.ts';

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
