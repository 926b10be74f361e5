import type { Runtime } from '../../../ports/runtime.ts';
import {
  type Container,
  type ContainerSpec,
  type Containers,
  endsAtOnce,
  type Scale,
  type StartOutcome,
} from './containers.ts';

/** Returns the result of starting an image's first instance. */
export type Script = 'missing' | 'never' | 'crashes' | { listensAfterMs: number };

/** A revision that runs, or ran. */
export interface ScriptedRevision {
  spec: ContainerSpec;
  scale: Scale;
  stopped: boolean;
}

/**
 * Containers that are only told of, for simulation and tests: no process, no socket, time from `runtime`. `scripts` goes by
 * the image's whole name and may be changed while it runs; other images listen after `defaultMs`, except one that ends at once.
 */
export function scriptedContainers(
  runtime: Runtime,
  scripts: Map<string, Script> = new Map(),
  defaultMs = 100,
): Containers & { started: ScriptedRevision[]; scripts: Map<string, Script> } {
  const started: ScriptedRevision[] = [];

  function start(spec: ContainerSpec, scale: Scale, judged: (outcome: StartOutcome) => void): Container {
    const revision: ScriptedRevision = { spec, scale, stopped: false };
    started.push(revision);
    const script = scripts.get(spec.image) ?? (endsAtOnce(spec.image) ? 'crashes' : { listensAfterMs: defaultMs });
    const cancel = runtime.after(timeOf(script, spec), () => judged(outcomeOf(script, spec)));
    return {
      scale(next) {
        revision.scale = next;
      },
      stop() {
        revision.stopped = true;
        cancel();
      },
    };
  }

  return { start, started, scripts };
}

function timeOf(script: Script, spec: ContainerSpec): number {
  if (typeof script === 'object') return Math.min(script.listensAfterMs, spec.startupTimeoutMs);
  return script === 'never' ? spec.startupTimeoutMs : 0;
}

function outcomeOf(script: Script, spec: ContainerSpec): StartOutcome {
  if (script === 'missing') return { ok: false, why: 'imageMissing' };
  const env = spec.instanceEnv();
  if (!env.ok) return { ok: false, why: 'env', message: env.message };
  const isUp = typeof script === 'object' && script.listensAfterMs <= spec.startupTimeoutMs;
  return isUp ? { ok: true } : { ok: false, why: 'notListening' };
}
