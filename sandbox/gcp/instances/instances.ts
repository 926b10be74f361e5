import { pathToFileURL } from 'node:url';
import type { LoggedLine } from '../contracts.ts';
import type { Containers } from '../run/containers.ts';
import type { Urls } from '../run/names.ts';
import type { Run } from '../run/run.ts';
import { openAddresses } from './addresses.ts';
import { createIngress, type Workload } from './ingress.ts';
import { launch, logFile, type Machine } from './launch.ts';
import { createLogBook } from './logBook.ts';
import { createPool, type Pool } from './pool.ts';
import { createSupervisor } from './supervisor.ts';

export interface InstancesOptions extends Omit<Machine, 'supervisor'> {
  /** First port for services; default: any. */
  portBase?: number;
}

/** A Cloud Run whose instances are processes of this machine. */
export interface Instances {
  /** For `createRun`. */
  containers: Containers;
  urls: Urls;
  logUri(service: string, revision: string): string;
  /** What the instances have printed last, the oldest line first. */
  logLines(): LoggedLine[];
  /** Connects the control plane. Before this call every address answers 404. */
  attach(run: Run): void;
  /** Ends every instance (SIGTERM, then SIGKILL) and closes every address. */
  stop(): Promise<void>;
}

export async function startInstances(options: InstancesOptions): Promise<Instances> {
  const { runtime } = options;
  const supervisor = createSupervisor();
  const serving = new Map<string, Workload>();
  /** All pools, also those of deleted revisions whose last requests are still in flight. */
  const pools = new Set<Pool>();
  const book = createLogBook(runtime);
  let run: Run | undefined;

  const containers: Containers = {
    start(spec, scale, judged) {
      const key = `${spec.service}/${spec.revision}`;
      const unfollow = book.follow(spec.service, spec.revision, logFile(options, spec.service, spec.revision));
      const pool = createPool(runtime, spec, () => launch({ ...options, supervisor }, spec), scale, judged);
      const workload = { pool, timeoutMs: spec.timeoutMs, isH2c: spec.isH2c };
      pools.add(pool);
      serving.set(key, workload);
      return {
        scale: next => pool.scale(next),
        stop() {
          if (serving.get(key) === workload) serving.delete(key);
          pool.stop();
          pool.ended().then(() => {
            pools.delete(pool);
            unfollow();
          });
        },
      };
    },
  };

  const ingress = createIngress(
    runtime,
    () => run,
    (service, revision) => serving.get(`${service}/${revision}`),
  );
  const addresses = await openAddresses(ingress, options.portBase);

  return {
    containers,
    urls: addresses,
    logUri: (service, revision) => pathToFileURL(logFile(options, service, revision)).href,
    logLines: book.lines,
    attach(given) {
      run = given;
    },
    async stop() {
      for (const pool of pools) pool.kill();
      await Promise.all([...pools].map(pool => pool.ended()));
      await addresses.close();
      book.close();
      supervisor.close();
    },
  };
}
