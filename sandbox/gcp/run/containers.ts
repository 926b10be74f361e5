import type { Volume } from './messages.ts';

/**
 * The interface through which Cloud Run's control plane runs containers. It is implemented by real processes
 * (`sandbox/gcp/instances/`) and, in the simulation, by a script. The control plane itself uses no socket and no process.
 */

/**
 * The input of one start of an instance: variables and files with the secrets' values at that moment, or the reason why the
 * instance cannot start.
 */
export type InstanceEnv =
  | {
      ok: true;
      /** The variables of the container that receives requests. */
      env: Record<string, string>;
      /** The variables of each sidecar, in the template's order. */
      sidecars: Record<string, string>[];
      /** The files of secret volumes, by the volume's name and the file's path. */
      files: Record<string, Record<string, Buffer>>;
    }
  | { ok: false; message: string };

/** A container of an instance that does not receive the requests. */
export interface SidecarSpec {
  name: string;
  image: string;
  /**
   * The port of its startup probe. Dependent containers wait until it answers. Undefined: the sidecar counts as started once
   * its process runs.
   */
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
  /** The names of the sidecars that must start before it. */
  dependsOn: string[];
  mounts: Mount[];
  sidecars: SidecarSpec[];
  /** True if it receives requests by HTTP/2 without TLS (`ports[].name: h2c`). */
  isH2c: boolean;
  /** The template's port, for messages. The port that an instance listens on is in its variable `PORT`. */
  containerPort: number;
  /** The number of requests that one instance handles at once. */
  concurrency: number;
  /** The time-out of a request, in milliseconds. */
  timeoutMs: number;
  /** The time within which an instance must listen, in milliseconds. */
  startupTimeoutMs: number;
  /** An instance above the minimum stops after being idle for this many milliseconds. */
  idleMs: () => number;
  /** Reads the secrets at the time of the call, as Cloud Run does at each start of an instance. */
  instanceEnv: () => InstanceEnv;
}

/** Docker Hub's `busybox` runs a shell that ends at once, because nobody writes to it: the simplest public image that never listens. */
export const endsAtOnce = (image: string): boolean => /(^|\/)busybox(:[^/]*|@[^/]*)?$/.test(image);

export interface Scale {
  /** The number of instances that stay when they are idle. */
  min: number;
  max: number;
  /** True if the revision may get new requests. If false, its instances stop after the requests in flight have ended. */
  serving: boolean;
}

/** The result of starting a revision's first instances. */
export type StartOutcome =
  | { ok: true }
  | { ok: false; why: 'notListening' }
  /** `message` names the image. Absent: the image of the container that receives requests. */
  | { ok: false; why: 'imageMissing'; message?: string }
  /** The variables could not be read. `message` is that of `InstanceEnv`. */
  | { ok: false; why: 'env'; message: string };

/** A started revision. */
export interface Container {
  /** Changes the scale. The control plane calls it at every change of traffic or scaling. */
  scale(scale: Scale): void;
  /** Stops the revision. It gets no new requests; its instances stop after the requests in flight have ended. */
  stop(): void;
}

export interface Containers {
  /**
   * Starts `max(1, scale.min)` instances. The revision is ready if all of them start. `judged` is called once, never
   * synchronously from `start`, and not after `stop`.
   */
  start(spec: ContainerSpec, scale: Scale, judged: (outcome: StartOutcome) => void): Container;
}
