import type { JsonObject } from '../../../ports/json.ts';
import type { Call, Exchange } from '../exchange.ts';
import type { OperatorWorld } from '../operatorWorld.ts';
import type { CloudReader } from './cloudReader.ts';
import type { Pinger } from './pinger.ts';

/** One step of a tenant's life: what is done, and which rules of the contract are then read back from Google Cloud. */
export interface LifeStep {
  /** kebab-case */
  id: string;
  text: string;
  /** A step whose absence makes all later ones meaningless. */
  isBase?: true;
  run(life: Life): Promise<void>;
}

/** What a step works with. */
export interface Life {
  project: string;
  region: string;
  secondRegion?: string;
  /** `PREFIX-SUFFIX`: a tenant's name has at most 27 characters, so the suffix has at most 14. */
  name(suffix: string): string;
  /** The labels and the description's word that everything made by raw calls must carry. */
  labels: JsonObject;
  description: string;
  call: Call;
  operator: OperatorWorld;
  cloud: CloudReader;
  pinger: Pinger;
  /** Records whether a rule holds; `found` says what was read. */
  check(rule: string, holds: boolean, found?: unknown): void;
  /** Asks again and again; throws `StepFailed` with what was waited for if it does not come true in time. */
  until<T>(what: string, condition: () => Promise<T | undefined>): Promise<T>;
  /** Ends the step without a verdict. */
  skip(why: string): never;
  /** The writes that the operator has made since `from`, an exchange's id. */
  writesSince(from: number): Exchange[];
  /** The id of the last exchange. */
  lastExchange(): number;
  /** The region in which the tenant is now, and its address if it can be reached from here. */
  place: { region: string; url?: string };
  /** Milliseconds within which a change is expected to take effect. */
  waitMs: number;
  pollMs: number;
}

export interface Check {
  rule: string;
  holds: boolean;
  found?: string;
}

export interface StepResult {
  step: LifeStep;
  outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or what was waited for in vain. */
  why?: string;
  checks: Check[];
  ms: number;
}

/** Something that a step waits for has not happened. */
export class StepFailed extends Error {}
/** The step cannot be made here. */
export class StepSkipped extends Error {}
