import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../../../ports/json.ts';
import { answerIn, type Exchange, fieldIn, succeeded } from '../exchange.ts';
import type { Verdict } from '../fact.ts';

/** How the probes come to their verdicts. */

export const confirmed: Verdict = { verdict: 'confirmed' };

export const refuted = (answered: string): Verdict => ({ verdict: 'refuted', answered });

export const notObservable = (why: string): Verdict => ({ verdict: 'notObservable', why });

/** Answers that say nothing about a fact: no answer, no permission, no quota, an error of the server. */
const saysNothing = ({ status }: Exchange): boolean =>
  status === 0 || status === 401 || status === 403 || status === 429 || status >= 500;

/** The verdict on an answer that either is as the fact says, or is not. */
export function judge(holds: boolean, exchange: Exchange, found = answerIn(exchange)): Verdict {
  if (holds) return confirmed;
  return saysNothing(exchange) ? notObservable(answerIn(exchange)) : refuted(found);
}

/** The call succeeds. */
export const accepts = (exchange: Exchange): Verdict => judge(succeeded(exchange), exchange);

interface Refusal {
  status: number;
  /** The name of the google.rpc.Code. */
  code?: string;
  /** What the message must have in it, or match. */
  text?: string | RegExp;
}

export function isRefusal(exchange: Exchange, { status, code, text }: Refusal): boolean {
  const message = String(fieldIn(exchange, 'error.message') ?? '');
  return (
    exchange.status === status &&
    (code === undefined || fieldIn(exchange, 'error.status') === code) &&
    (text === undefined || (typeof text === 'string' ? message.includes(text) : text.test(message)))
  );
}

/** The call is refused in this way. An answer of the right status and another text says something, whatever the status. */
export const refuses = (exchange: Exchange, refusal: Refusal): Verdict =>
  exchange.status === refusal.status && !isRefusal(exchange, refusal)
    ? refuted(answerIn(exchange))
    : judge(isRefusal(exchange, refusal), exchange);

/** The call is refused as a request that is wrong in itself. */
export const refusesInput = (exchange: Exchange, text?: string | RegExp): Verdict =>
  refuses(exchange, { status: 400, code: 'INVALID_ARGUMENT', text });

/** A field of an answer fits. `fits`: the value itself, or a test for it. */
export function fieldFits(
  exchange: Exchange,
  path: string,
  fits: Json | undefined | ((value: Json | undefined) => boolean),
): Verdict {
  const value = fieldIn(exchange, path);
  const holds = succeeded(exchange) && (typeof fits === 'function' ? fits(value) : isDeepStrictEqual(value, fits));
  return judge(holds, exchange, succeeded(exchange) ? `${path} is ${JSON.stringify(value)}` : answerIn(exchange));
}

/** The first verdict that is not `confirmed`. The later ones are not asked for after it. */
export async function allOf(...parts: (() => Verdict | Promise<Verdict>)[]): Promise<Verdict> {
  for (const part of parts) {
    const verdict = await part();
    if (verdict.verdict !== 'confirmed') return verdict;
  }
  return confirmed;
}
