import type { iam_v1 } from '@googleapis/iam';
import type { ObservedAccount } from '../tenant/types.ts';
import { filled, flag, type Message, text } from './parse.ts';

/** A google.iam.admin.v1.ServiceAccount; undefined if it lacks what identifies it. */
export function parseAccount(answer: Message<iam_v1.Schema$ServiceAccount>): ObservedAccount | undefined {
  const [name, email, uniqueId] = [filled(answer.name), filled(answer.email), filled(answer.uniqueId)];
  if (!name || !email || !uniqueId) return undefined;
  return { name, email, uniqueId, description: text(answer.description), disabled: flag(answer.disabled) };
}
