import type { Call, Exchange } from './exchange.ts';

/** One fact about Google Cloud, on which the operator or the local Google Cloud rests, and the probe that checks it. */
export interface Fact {
  /** kebab-case; stable, because recordings and `--facts` name it. */
  id: string;
  /** The fact in one sentence. */
  text: string;
  /** How it is known: `P` (published protos), `D` (documentation), `C` (captures, bug reports) or `?` (memory), with address or quotation. */
  source: string;
  /** Marked (?): only memory backs it. These facts are probed first. */
  unsure: boolean;
  section: string;
  /** Why the probe costs money or quota. It then runs only with `--expensive`. */
  expensive?: string;
  /** Asks Google Cloud. An error that it throws counts as `notObservable`. */
  probe(context: FactContext): Promise<Verdict>;
}

export type Verdict =
  | { verdict: 'confirmed' }
  /** `answered`: what Google Cloud answered instead. */
  | { verdict: 'refuted'; answered: string }
  | { verdict: 'notObservable'; why: string };

export type NamedKind = 'account' | 'secret' | 'service';

/** What a probe works with. */
export interface FactContext {
  project: string;
  /** Absent: Resource Manager did not tell it. */
  projectNumber?: string;
  region: string;
  secondRegion?: string;
  /** Every name begins with it, behind `sa-` or `ai-platform-` for what the operator makes. */
  prefix: string;
  /**
   * An id of the run, `PREFIX-SUFFIX`. It is written to the journal, so that the clean-up finds what is made. The suffix has at most 17
   * characters, so that it fits into an account's id. `region`: of a service, if it is not `context.region`.
   */
  name(kind: NamedKind, suffix: string, region?: string): string;
  /** The exchanges of this probe are attached to its verdict. */
  call: Call;
  /**
   * Waits until the long-running operation in the answer has ended, 150 s at most. Answers with the last read of the operation, or with
   * `started` itself if it is not an operation.
   */
  wait(started: Exchange): Promise<Exchange>;
  /** Asks again and again until the condition answers with a value. Undefined: it did not within the time. */
  until<T>(condition: () => Promise<T | undefined>, timeoutMs: number): Promise<T | undefined>;
  /** Makes something once for all probes that share it. If `make` throws, all of them are `notObservable`. */
  shared<T>(key: string, make: () => Promise<T>): Promise<T>;
  /** When the clean-up of any later run may remove what is made: seconds since the epoch. */
  expires: string;
  /** The labels that every secret and service must carry from its creation on. */
  labels: { [key: string]: string };
  /** The word that the description of every account must have from its creation on. */
  description: string;
}

/** A fact with what its probe found. */
export interface FactResult {
  fact: Fact;
  verdict: Verdict;
  /** The calls of the probe, and those that made what it shares with others. */
  exchanges: Exchange[];
  ms: number;
}

/** What a context needs to know about the run. */
export interface RunOfFacts extends Omit<FactContext, 'call' | 'wait' | 'until' | 'shared'> {
  call: Call;
  /** Milliseconds between two reads while a probe waits. */
  pollMs: number;
}
