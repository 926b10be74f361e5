import type { JsonObject } from '../../../../ports/json.ts';
import type { Condition } from '../messages.ts';

const STATUSES: Record<string, string> = { CONDITION_SUCCEEDED: 'True', CONDITION_FAILED: 'False' };
const SEVERITIES: Record<string, string> = { WARNING: 'Warning', INFO: 'Info' };

/** v1's words for a reason of v2: `SECRETS_ACCESS_CHECK_FAILED` is `SecretsAccessCheckFailed`. */
const reasonWord = (reason: string): string =>
  reason.toLowerCase().replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** A v2 condition as v1 has it. `Unknown`: it is under way. A severity is only said of what does not decide. */
export function conditionToV1({
  type,
  state,
  message,
  lastTransitionTime,
  severity,
  reason,
  revisionReason,
}: Condition): JsonObject {
  const word = reason ?? revisionReason;
  return {
    type,
    status: STATUSES[state] ?? 'Unknown',
    ...(word && { reason: reasonWord(word) }),
    ...(message && { message }),
    ...(lastTransitionTime && { lastTransitionTime }),
    ...(severity && SEVERITIES[severity] && { severity: SEVERITIES[severity] }),
  };
}
