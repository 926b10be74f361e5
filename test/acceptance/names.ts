import { randomInt } from 'node:crypto';

/** The names of what a run makes, by which the clean-up of any later run finds it. */

/**
 * The label of secrets and services, and the word in the description of accounts (`LABEL=SECONDS`): when a later clean-up may remove what
 * carries it. What the operator makes carries it as the cluster of its owner marks.
 */
export const EXPIRES = 'ai-acceptance-expires';

const PREFIX = /^acc-[a-z0-9]{8}$/;

/** `acc-` and 8 random characters. `sa-PREFIX-SUFFIX` leaves 14 characters for the suffix of an AiTenant. */
export const newPrefix = (): string =>
  `acc-${Array.from({ length: 8 }, () => 'abcdefghijklmnopqrstuvwxyz0123456789'[randomInt(36)]).join('')}`;

export const isPrefix = (text: string): boolean => PREFIX.test(text);

/** Whether the id is one of the run's: the prefix, or what the operator makes for an AiTenant of such a name. */
export function carries(prefix: string, id: string): boolean {
  const bare = id.replace(/^(?:sa-|ai-platform-)/, '');
  return bare === prefix || bare.startsWith(`${prefix}-`);
}

/** The time in `LABEL=SECONDS` or `LABEL-SECONDS` anywhere in a description, or in the labels; seconds since the epoch. */
export function expiryIn(text: string): number | undefined {
  const [, seconds] = new RegExp(`${EXPIRES}[-=](\\d{9,12})(?!\\d)`).exec(text) ?? [];
  return seconds === undefined ? undefined : Number(seconds);
}

/** The prefix of the run that made something of this id. */
export const prefixIn = (id: string): string | undefined =>
  /^(?:sa-|ai-platform-)?(acc-[a-z0-9]{8})(?:-|$)/.exec(id)?.[1];
