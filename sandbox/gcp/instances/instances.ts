import { appendFileSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Runtime } from '../../../ports/runtime.ts';
import type { ContainerSpec, Containers, SidecarSpec } from '../run/containers.ts';
import type { Urls } from '../run/names.ts';
import type { Run } from '../run/run.ts';
import { openAddresses } from './addresses.ts';
import { type LocalImage, localImage, withoutCodeVariables } from './images.ts';
import { createIngress, type Workload } from './ingress.ts';
import { type Instance, startProcess, startTogether, unstartable } from './instance.ts';
import { createPool, type Pool } from './pool.ts';
import { createSupervisor } from './supervisor.ts';
import { makeVolumes } from './volumes.ts';

export interface InstancesOptions {
  runtime: Runtime;
  /** The folder for logs: `logs/PROJECT/REGION/SERVICE/REVISION.log`. */
  stateDir: string;
  /** The programs that images stand for; see `builtInImages`. */
  images: readonly LocalImage[];
  /** First port for services; default: any. */
  portBase?: number;
  /** From SIGTERM to SIGKILL, milliseconds; default 10 s, Cloud Run's container contract. */
  killAfterMs?: number;
}

/** A Cloud Run whose instances are processes of this machine. */
export interface Instances {
  /** For `createRun`. */
  containers: Containers;
  urls: Urls;
  logUri(service: string, revision: string): string;
  /** Connects the control plane. Before this call every address answers 404. */
  attach(run: Run): void;
  /** Ends every instance (SIGTERM, then SIGKILL) and closes every address. */
  stop(): Promise<void>;
}

export async function startInstances(options: InstancesOptions): Promise<Instances> {
  const { runtime, images } = options;
  const supervisor = createSupervisor();
  const serving = new Map<string, Workload>();
  /** All pools, also those of deleted revisions whose last requests are still in flight. */
  const pools = new Set<Pool>();
  let run: Run | undefined;

  const logFile = (service: string, revision: string) => {
    const [, project = '', , region = '', , id = ''] = service.split('/');
    return join(options.stateDir, 'logs', project, region, id, `${revision}.log`);
  };

  /**
   * Starts an instance. An error that a template can cause (conflicting paths, a name that is too long, a full disk) fails this
   * instance and not the sandbox.
   */
  function launch(spec: ContainerSpec): Instance {
    const log = logFile(spec.service, spec.revision);
    const note = (line: string) => appendFileSync(log, `${line}\n`);
    try {
      mkdirSync(dirname(log), { recursive: true });
      return launchProcesses(spec, log, note);
    } catch (error) {
      const message = `The local Cloud Run can't start it: ${error instanceof Error ? error.message : error}`;
      console.error(`${spec.revision}: ${JSON.stringify(message)}`);
      return unstartable('notListening', message);
    }
  }

  function launchProcesses(spec: ContainerSpec, log: string, note: (line: string) => void): Instance {
    const wanted = [...spec.sidecars, { ...spec, name: '' }];
    const found = wanted.map(one => localImage(images, one.image));
    const missing = wanted[found.indexOf(undefined)];
    if (missing) return unstartable('imageMissing', missing.image);
    const given = spec.instanceEnv();
    if (!given.ok) {
      note(given.message);
      return unstartable('env', given.message);
    }
    const volumes = makeVolumes(
      options.stateDir,
      wanted.flatMap(({ mounts }) => mounts),
      given.files,
    );
    const id = spec.service.split('/').pop() ?? '';
    const parts = wanted.map(({ name, dependsOn, mounts }, at) => ({
      // A template's containers may have no names, so these names contain a character that a template cannot use.
      name: at < spec.sidecars.length ? name || `#${at}` : '#ingress',
      dependsOn,
      start: () => {
        const { command, env: ofImage, isStandIn } = found[at] as LocalImage;
        const isSidecar = at < spec.sidecars.length;
        const { image, startupPort } = wanted[at] as SidecarSpec;
        const { env, left } = withoutCodeVariables((isSidecar ? given.sidecars[at] : given.env) ?? {});
        if (left.length > 0) {
          const why = 'they would decide what a process of this machine runs';
          note(`Not passed on by the local Cloud Run, because ${why}: ${left.join(', ')}`);
        }
        const fd = openSync(log, 'a');
        return startProcess(supervisor, runtime, {
          command,
          // Of this process's own environment only PATH is passed on.
          env: {
            PATH: process.env.PATH ?? '',
            ...ofImage,
            ...(isStandIn && { IMAGE: image, PROBED_PORT: String(startupPort ?? '') }),
            ...volumes.localPaths(env, mounts),
            // The instance listens on the loopback address, which other machines cannot reach.
            HOST: '127.0.0.1',
            K_SERVICE: id,
            K_REVISION: spec.revision,
            K_CONFIGURATION: id,
          },
          output: { fd, close: () => closeSync(fd) },
          startupTimeoutMs: spec.startupTimeoutMs,
          killAfterMs: options.killAfterMs ?? 10_000,
          listens: isSidecar ? (startupPort ?? 'nowhere') : 'anywhere',
        });
      },
    }));
    const instance = startTogether(parts);
    instance.exited.then(volumes.remove).catch((error: unknown) => console.error(error));
    return instance;
  }

  const containers: Containers = {
    start(spec, scale, judged) {
      const key = `${spec.service}/${spec.revision}`;
      const pool = createPool(runtime, spec, () => launch(spec), scale, judged);
      const workload = { pool, timeoutMs: spec.timeoutMs, isH2c: spec.isH2c };
      pools.add(pool);
      serving.set(key, workload);
      return {
        scale: next => pool.scale(next),
        stop() {
          if (serving.get(key) === workload) serving.delete(key);
          pool.stop();
          pool.ended().then(() => pools.delete(pool));
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
    logUri: (service, revision) => pathToFileURL(logFile(service, revision)).href,
    attach(given) {
      run = given;
    },
    async stop() {
      for (const pool of pools) pool.kill();
      await Promise.all([...pools].map(pool => pool.ended()));
      await addresses.close();
      supervisor.close();
    },
  };
}
