import { describe, expect, it } from 'vitest';
import type { Instance, Listening } from '../../sandbox/gcp/instances/instance.ts';
import { createPool, type Lease, type Refusal } from '../../sandbox/gcp/instances/pool.ts';
import type { Scale, StartOutcome } from '../../sandbox/gcp/run/containers.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

function setup(scale: Partial<Scale> = {}, concurrency = 1) {
  const runtime = fakeRuntime();
  const judged: StartOutcome[] = [];
  const instances: { up(result?: Listening): Promise<void>; crash(): Promise<void>; stopped: boolean }[] = [];
  function launch(): Instance {
    const listening = Promise.withResolvers<Listening>();
    const exited = Promise.withResolvers<void>();
    const port = instances.length + 1;
    const instance = {
      stopped: false,
      up(result: Listening = { ok: true, port }) {
        listening.resolve(result);
        return runtime.settle();
      },
      crash() {
        exited.resolve();
        return runtime.settle();
      },
    };
    instances.push(instance);
    return {
      listening: listening.promise,
      exited: exited.promise,
      stop() {
        instance.stopped = true;
        exited.resolve();
      },
    };
  }
  const pool = createPool(
    runtime,
    { concurrency, idleMs: () => 1000 },
    launch,
    { min: 0, max: 10, serving: true, ...scale },
    outcome => judged.push(outcome),
  );
  const answers: (Lease | Refusal)[] = [];
  let asked = 0;
  const ask = async (signal = new AbortController().signal) => {
    const at = asked++;
    pool.acquire(signal).then(answer => {
      answers[at] = answer;
    });
    await runtime.settle();
  };
  const ports = () => answers.map(answer => ('port' in answer ? answer.port : answer.refused));
  const release = async (at: number) => {
    const answer = answers[at];
    if (!answer || 'refused' in answer) throw new Error('no place was given');
    answer.release();
    await runtime.settle();
  };
  return { runtime, judged, instances, pool, ask, ports, release };
}

const notListening: Listening = { ok: false, why: 'notListening', message: 'no' };

describe('a pool of instances', () => {
  it('is judged by all of its first instances: the minimum, or one', async () => {
    const one = setup();
    expect(one.instances).toHaveLength(1);
    await one.instances[0]?.up();
    expect(one.judged).toEqual([{ ok: true }]);

    const three = setup({ min: 3 });
    for (const instance of three.instances.slice(0, 2)) await instance.up();
    expect(three.judged).toEqual([]);
    await three.instances[2]?.up(notListening);
    expect(three.judged).toEqual([{ ok: false, why: 'notListening' }]);
  });

  it('fills instances in order, and starts one for those that find no place, up to the maximum', async () => {
    const w = setup({ max: 2 }, 2);
    await w.instances[0]?.up();
    for (let i = 0; i < 5; i++) await w.ask();
    expect(w.instances).toHaveLength(2);
    await w.instances[1]?.up();
    expect(w.ports()).toEqual([1, 1, 2, 2]);
    await w.release(0);
    expect(w.ports()).toEqual([1, 1, 2, 2, 1]);
  });

  it('refuses after ten seconds what finds no place, but waits for a start under way', async () => {
    const w = setup({ max: 1 });
    await w.ask();
    await w.runtime.advance(25_000);
    expect(w.ports()).toEqual([]);
    await w.instances[0]?.up();
    expect(w.ports()).toEqual([1]);
    await w.ask();
    await w.runtime.advance(9999);
    expect(w.ports()).toEqual([1]);
    await w.runtime.advance(1);
    expect(w.ports()).toEqual([1, 'rateExceeded']);
  });

  it('refuses those who wait when the only start fails, and tries anew with the next request', async () => {
    const w = setup();
    await w.instances[0]?.up();
    await w.runtime.advance(1000);
    expect(w.instances[0]?.stopped).toBe(true);
    await w.ask();
    await w.instances[1]?.up(notListening);
    expect(w.ports()).toEqual(['noInstance']);
    await w.ask();
    await w.instances[2]?.up();
    expect(w.ports()).toEqual(['noInstance', 3]);
  });

  it('gives up a request whose caller went away', async () => {
    const w = setup({ max: 1 });
    await w.instances[0]?.up();
    await w.ask();
    const caller = new AbortController();
    await w.ask(caller.signal);
    caller.abort();
    await w.runtime.settle();
    expect(w.ports()).toEqual([1, 'cancelled']);
    await w.release(0);
    expect(w.instances[0]?.stopped).toBe(false);
  });

  it('keeps the minimum, restarting one that crashed after a second, and no more when idle', async () => {
    const w = setup({ min: 1 });
    await w.instances[0]?.up();
    await w.ask();
    await w.ask();
    await w.instances[1]?.up();
    await w.release(0);
    await w.release(1);
    await w.runtime.advance(1000);
    expect(w.instances.map(({ stopped }) => stopped).sort()).toEqual([false, true]);
    const kept = w.instances.find(({ stopped }) => !stopped);
    await kept?.crash();
    expect(w.instances).toHaveLength(2);
    await w.runtime.advance(1000);
    expect(w.instances).toHaveLength(3);
  });

  it('ends, once it serves no more, as its last requests do', async () => {
    const w = setup({ min: 2, max: 2 });
    for (const instance of w.instances) await instance.up();
    await w.ask();
    w.pool.scale({ min: 0, max: 2, serving: false });
    expect(w.instances.map(({ stopped }) => stopped)).toEqual([false, true]);
    await w.release(0);
    expect(w.instances.map(({ stopped }) => stopped)).toEqual([true, true]);
    await w.pool.ended();
    expect(w.runtime.pending()).toBe(0);
  });

  it('lets what already waits finish when it is stopped', async () => {
    const w = setup({ max: 1 });
    await w.ask();
    w.pool.stop();
    expect(w.instances[0]?.stopped).toBe(false);
    await w.instances[0]?.up();
    expect(w.ports()).toEqual([1]);
    expect(w.judged).toEqual([]);
    await w.release(0);
    expect(w.instances[0]?.stopped).toBe(true);
    expect(w.runtime.pending()).toBe(0);
  });
});
