import { appendFileSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Runtime } from '../../../ports/runtime.ts';
import type { ContainerSpec, SidecarSpec } from '../run/containers.ts';
import { type LocalImage, localImage, withoutCodeVariables } from './images.ts';
import { type Instance, startProcess, startTogether, unstartable } from './instance.ts';
import type { Supervisor } from './supervisor.ts';
import { makeVolumes } from './volumes.ts';

/** The machine on which instances run as processes. */
export interface Machine {
  runtime: Runtime;
  /** The folder for logs: `logs/PROJECT/REGION/SERVICE/REVISION.log`. */
  stateDir: string;
  /** The programs that images stand for; see `builtInImages`. */
  images: readonly LocalImage[];
  /** From SIGTERM to SIGKILL, milliseconds; default 10 s, Cloud Run's container contract. */
  killAfterMs?: number;
  /** Kills the processes if this process dies. */
  supervisor: Supervisor;
}

/**
 * Starts an instance. An error that a template can cause (conflicting paths, a name that is too long, a full disk) fails this
 * instance and not the sandbox.
 */
export function launch(machine: Machine, spec: ContainerSpec): Instance {
  const log = logFile(machine, spec.service, spec.revision);
  const note = (line: string) => appendFileSync(log, `${line}\n`);
  try {
    mkdirSync(dirname(log), { recursive: true });
    return launchProcesses(machine, spec, log, note);
  } catch (error) {
    const message = `The local Cloud Run can't start it: ${error instanceof Error ? error.message : error}`;
    console.error(`${spec.revision}: ${JSON.stringify(message)}`);
    return unstartable('notListening', message);
  }
}

function launchProcesses(machine: Machine, spec: ContainerSpec, log: string, note: (line: string) => void): Instance {
  const { runtime, images, stateDir, supervisor } = machine;
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
    stateDir,
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
        killAfterMs: machine.killAfterMs ?? 10_000,
        listens: isSidecar ? (startupPort ?? 'nowhere') : 'anywhere',
      });
    },
  }));
  const instance = startTogether(parts);
  instance.exited.then(volumes.remove).catch((error: unknown) => console.error(error));
  return instance;
}

export function logFile({ stateDir }: Pick<Machine, 'stateDir'>, service: string, revision: string): string {
  const [, project = '', , region = '', , id = ''] = service.split('/');
  return join(stateDir, 'logs', project, region, id, `${revision}.log`);
}
