/**
 * What Cloud Run's control plane needs of a machine that runs containers. Behind it are real processes
 * (`sandbox/gcp/instances/`) or, in simulation, a script; the control plane itself never sees a socket or a process.
 */

/** What one start of an instance is given: variables with the secrets' values of that moment, or why it cannot start. */
export type InstanceEnv = { ok: true; env: Record<string, string> } | { ok: false; message: string };

export interface ContainerSpec {
  /** `projects/P/locations/R/services/S`. */
  service: string;
  /** Short name, `S-00001-abc`. */
  revision: string;
  image: string;
  /** The port of the template; what an instance listens on is told to it by `PORT`. */
  containerPort: number;
  /** Requests that one instance takes at once. */
  concurrency: number;
  /** How long one request may take, milliseconds. */
  timeoutMs: number;
  /** How long an instance may take to listen, milliseconds. */
  startupTimeoutMs: number;
  /** An instance idle for this long, milliseconds, stops unless the minimum needs it. */
  idleMs: () => number;
  /** Reads the secrets now, as Cloud Run does at each start of an instance. */
  instanceEnv: () => InstanceEnv;
}

export interface Scale {
  /** Instances kept even when idle. */
  min: number;
  max: number;
  /** Whether new requests may come. False: what is in flight ends, then the instances stop. */
  serving: boolean;
}

/** How a revision's first instances came up. */
export type StartOutcome =
  | { ok: true }
  | { ok: false; why: 'imageMissing' | 'notListening' }
  /** The variables could not be read; `message` is `InstanceEnv`'s. */
  | { ok: false; why: 'env'; message: string };

/** A started revision. */
export interface Container {
  /** Called at every change of traffic or scaling. */
  scale(scale: Scale): void;
  /** The revision is gone: no new requests; what is in flight ends first. */
  stop(): void;
}

export interface Containers {
  /**
   * Starts `max(1, scale.min)` instances, whose coming up tells whether the revision is ready. `judged` is called once,
   * never from within `start`, and not after `stop`.
   */
  start(spec: ContainerSpec, scale: Scale, judged: (outcome: StartOutcome) => void): Container;
}
