import { parseArgs } from 'node:util';
import { flagsLostToNpm } from '../ports/npmFlags.ts';

export interface Options {
  once: boolean;
  demo: boolean;
  kube: 'memory' | 'envtest' | 'current';
  portBase: number;
  /** Folder for the kubeconfig, the exports and the logs. */
  state: string;
}

const KUBE = ['memory', 'envtest', 'current'] as const;
const DEFAULT_PORT_BASE = '7640';
const HIGHEST_PORT_BASE = 65_000;

export const usage = `Usage: npm run sandbox -- [OPTION…]

A local Kubernetes API, a local Google Cloud and the real operator on this machine; examples/tenant-a.yaml is applied and
called. Everything runs until Ctrl-C.

  --once            exit after the demonstration: 0, or 1 if it failed
  --no-demo         start everything, apply nothing
  --kube=memory     a Kubernetes API in memory (the default)
  --kube=current    the cluster of the current kubeconfig: the CRD is installed there, and tenant-a for the demonstration
  --kube=envtest    a real kube-apiserver and etcd, from KUBEBUILDER_ASSETS or built once with Go
  --port-base N     listen on N … N+7, with tenants from N+10 on (${DEFAULT_PORT_BASE})
  --state DIR       folder for kubeconfig, exports and logs (.sandbox)
  --help            print this page`;

/** A mistake in the options. The message names the right form. */
export class UsageError extends Error {}

/** Reads the options. Returns `help` if `--help` is among them. Throws `UsageError`. */
export function readOptions(argv: string[], env: NodeJS.ProcessEnv = {}): Options | 'help' {
  const own = ['once', 'no-demo', 'kube', 'port-base', 'state'];
  const lost = flagsLostToNpm(env, own, argv, [], 'npm run sandbox --', 'npm run sandbox -- --once');
  if (lost !== undefined) throw new UsageError(lost);
  const given = parsed(argv);
  if (given.help) return 'help';
  const kube = KUBE.find(word => word === given.kube);
  if (kube === undefined) throw new UsageError(`--kube=${given.kube} must be one of: ${KUBE.join(', ')}.`);
  const portBase = Number(given['port-base']);
  if (!/^\d+$/.test(given['port-base']) || portBase < 1024 || portBase > HIGHEST_PORT_BASE) {
    throw new UsageError(`--port-base ${given['port-base']} must be a whole number from 1024 to ${HIGHEST_PORT_BASE}.`);
  }
  if (given.state === '') throw new UsageError('--state must name a folder.');
  if (given.once && given['no-demo']) throw new UsageError('--once and --no-demo exclude each other.');
  return { once: given.once, demo: !given['no-demo'], kube, portBase, state: given.state };
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      strict: true,
      allowPositionals: false,
      options: {
        once: { type: 'boolean', default: false },
        'no-demo': { type: 'boolean', default: false },
        kube: { type: 'string', default: 'memory' },
        'port-base': { type: 'string', default: DEFAULT_PORT_BASE },
        state: { type: 'string', default: '.sandbox' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
