import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startGuarded } from '../../../sandbox/envtest/guarded.ts';
import type { GcpCore } from '../../../sandbox/gcp/core.ts';
import { startGcpServer } from '../../../sandbox/gcp/wire/http.ts';
import { OPERATOR_NAMESPACE } from './access.ts';
import { PROJECT } from './world.ts';

/** `operator/main.ts` as a process of its own, with a door to Google Cloud of its own: what comes through it is its doing. */
export interface Replica {
  /** What it has called so far, oldest first. */
  calls: readonly { method: string; write: boolean }[];
  inFlight(): number;
  /** From now on its calls wait at the door, not yet carried out, until what this returns is called. */
  hold(): () => void;
  isLeading(): boolean;
  log(): string;
  exited: Promise<number>;
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export interface ReplicaOptions {
  name: string;
  folder: string;
  gcpCore: GcpCore;
  kubeconfig: string;
  flags?: string[];
  /** What Node.js is given to run; default: `operator/main.ts`. */
  main?: string;
}

export async function startReplica({
  name,
  folder,
  gcpCore,
  kubeconfig,
  flags = [],
  main = new URL('../../../operator/main.ts', import.meta.url).pathname,
}: ReplicaOptions): Promise<Replica> {
  const calls: { method: string; write: boolean }[] = [];
  let inFlight = 0;
  let opened: Promise<void> = Promise.resolve();
  const door = await startGcpServer({
    core: {
      ...gcpCore,
      async invoke(method, request, invocation) {
        calls.push({ method, write: !/\.(Get|List|Test|Wait)\w*$/.test(method) });
        inFlight++;
        await opened;
        const answer = await gcpCore.invoke(method, request, invocation);
        inFlight--;
        return answer;
      },
    },
  });
  const log = join(folder, `${name}.log`);
  const child = startGuarded({
    command: process.execPath,
    args: [main, '--leader-elect', `--project=${PROJECT}`, '--metrics-address=0', '--health-address=0', ...flags],
    log,
    graceMs: 0,
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfig,
      POD_NAMESPACE: OPERATOR_NAMESPACE,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: door.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: door.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: door.url,
    },
  });
  const read = () => readFileSync(log, 'utf8');

  return {
    calls,
    inFlight: () => inFlight,
    hold() {
      const gate = Promise.withResolvers<void>();
      opened = gate.promise;
      return gate.resolve;
    },
    isLeading: () => read().includes('"message":"leading"'),
    log: read,
    exited: child.exited,
    signal(signal) {
      const pid = child.pid();
      if (pid === undefined) throw new Error(`${name} does not run`);
      process.kill(pid, signal);
    },
    async stop() {
      await child.stop();
      await door.close();
    },
  };
}
