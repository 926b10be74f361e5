import type { JsonObject } from '../ports.ts';
import type { ObservedAccount } from '../tenant/types.ts';
import { filled, flag, text } from './parse.ts';

/** A google.iam.admin.v1.ServiceAccount; undefined if it lacks what identifies it. */
export function parseAccount(answer: JsonObject): ObservedAccount | undefined {
  const [name, email, uniqueId] = [filled(answer.name), filled(answer.email), filled(answer.uniqueId)];
  if (!name || !email || !uniqueId) return undefined;
  return { name, email, uniqueId, description: text(answer.description), disabled: flag(answer.disabled) };
}
