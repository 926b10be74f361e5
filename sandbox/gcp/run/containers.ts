import type { Volume } from './messages.ts';

/**
 * What Cloud Run's control plane needs of a machine that runs containers. Behind it are real processes
 * (`sandbox/gcp/instances/`) or, in simulation, a script; the control plane itself never sees a socket or a process.
 */

/** What one start of an instance is given: variables with the secrets' values of that moment, or why it cannot start. */
export type InstanceEnv =
  | {
      ok: true;
      /** Of the container that takes requests. */
      env: Record<string, string>;
      /** Of each sidecar, in the template's order. */
      sidecars: Record<string, string>[];
      /** What secret volumes hold: the volume's name, then path and content. */
      files: Record<string, Record<string, Buffer>>;
    }
  | { ok: false; message: string };

/** One more container of an instance, beside the one that takes requests. */
export interface SidecarSpec {
  name: string;
  image: string;
  /** The port of its startup probe, which others wait for; undefined: it has started as soon as it runs. */
  startupPort?: number;
  dependsOn: string[];
  mounts: Mount[];
}

/** A directory of a container. */
export interface Mount {
  path: string;
  volume: Volume;
}

export interface ContainerSpec {
  /** `projects/P/locations/R/services/S`. */
  service: string;
  /** Short name, `S-00001-abc`. */
  revision: string;
  image: string;
  /** Names of sidecars that start before it. */
  dependsOn: string[];
  mounts: Mount[];
  sidecars: SidecarSpec[];
  /** Whether requests go to it by HTTP/2 without TLS (`ports[].name: h2c`). */
  isH2c: boolean;
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
  | { ok: false; why: 'notListening' }
  /** `message`: which image; absent: that of the container that takes requests. */
  | { ok: false; why: 'imageMissing'; message?: string }
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
