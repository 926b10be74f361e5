import type { Fact } from '../fact.ts';
import { accounts } from './accounts.ts';
import { everywhere } from './everywhere.ts';
import { policies } from './policies.ts';
import { quotas } from './quotas.ts';
import { runDefaults } from './runDefaults.ts';
import { runLife } from './runLife.ts';
import { runLimits } from './runLimits.ts';
import { runUpdates } from './runUpdates.ts';
import { secrets } from './secrets.ts';

/** Every fact, in the order of the page that is made of them (docs/facts.md). */
export const FACTS: readonly Fact[] = [
  ...everywhere,
  ...policies,
  ...accounts,
  ...secrets,
  ...runLife,
  ...runUpdates,
  ...runDefaults,
  ...runLimits,
  ...quotas,
];
