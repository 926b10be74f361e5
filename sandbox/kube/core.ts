import type { KubeApi } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { compileCrd } from '../../schema/index.ts';
import type { CompileCrd } from '../../schema/types.ts';
import { createLifecycle } from './controllers/lifecycle.ts';
import { createFaults, type Faults, watchesOf } from './faults.ts';
import { createHandler } from './http/handler.ts';
import type { KubeRequest, KubeResponse } from './http/request.ts';
import { createPort } from './port.ts';
import { createRunner } from './requestRunner.ts';
import { builtIns } from './resources/builtins.ts';
import { crdResource } from './resources/crds.ts';
import { createRegistry } from './resources/registry.ts';
import { createStore } from './store.ts';
import { createReads } from './verbs/reads.ts';
import { createVerbs } from './verbs/verbs.ts';

export interface KubeCoreOptions {
  runtime: Runtime;
  /** Watch events kept per kind; older resourceVersions are answered 410. */
  historyLimit?: number;
  /** Milliseconds between a write and its watch event; asked anew for each batch of events. */
  watchDelayMs?: () => number;
}

export interface KubeCore {
  /** The operator's port, without sockets. */
  api: KubeApi;
  /** One HTTP request. */
  handle(request: KubeRequest): Promise<KubeResponse>;
  faults: Faults;
  /** Forgets all history: what is older than now is answered 410. */
  compact(): void;
  /** Cuts the open watches (of one resource, by its plural). Answers how many. */
  dropWatches(plural?: string): number;
  /** Keeps the open watches silent, as a dead connection would be, until the returned function is called. */
  pauseWatches(plural?: string): () => void;
  openWatches(plural?: string): number;
  /** The resourceVersion of the last write. */
  revision(): number;
}

const INITIAL_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

/** Pure and slow, so clusters share what it has found. */
const compile = remembered(compileCrd);

/**
 * A Kubernetes API in memory: state and rules, with time and chance from `runtime` only. It serves any CRD.
 * `startKubeServer` puts a socket before it.
 */
export function createKubeCore({ runtime, historyLimit, watchDelayMs = () => 0 }: KubeCoreOptions): KubeCore {
  const store = createStore({ historyLimit });
  const registry = createRegistry([...builtIns, crdResource(compile)]);
  const verbs = createVerbs(store, runtime);
  const reads = createReads(store, runtime, watchDelayMs);
  const lifecycle = createLifecycle({ store, registry, verbs, runtime, compile });
  const faults = createFaults();
  const run = createRunner(runtime, faults, lifecycle.settle);

  // The watches of a kind that is no longer served end.
  registry.onRemove(def => {
    for (const watch of watchesOf(reads.watches())) if (watch.def.storage === def.storage) watch.stop();
  });
  const namespaces = registry.find('', 'namespaces');
  const version = namespaces?.versions[0];
  if (!namespaces || !version) throw new Error('no namespaces resource');
  for (const name of INITIAL_NAMESPACES) {
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    const options = { dryRun: false, fieldValidation: 'Ignore' as const, warnings: [] };
    verbs.create({ def: namespaces, version, namespace: undefined }, body, options);
  }

  return {
    api: createPort(registry, verbs, reads, run),
    handle: createHandler({ registry, verbs, reads, run, runtime }),
    faults,
    compact: () => store.compact(),
    dropWatches(plural) {
      const open = watchesOf(reads.watches(), plural);
      for (const watch of open) watch.stop();
      return open.length;
    },
    pauseWatches(plural) {
      const open = watchesOf(reads.watches(), plural);
      for (const watch of open) watch.pause();
      return () => {
        for (const watch of open) watch.resume();
      };
    },
    openWatches: plural => watchesOf(reads.watches(), plural).length,
    revision: () => store.revision(),
  };
}

/** A CRD is compiled when it is validated and again when it is served: the last few results are kept. */
function remembered(compile: CompileCrd): CompileCrd {
  const results = new Map<string, ReturnType<CompileCrd>>();
  return crd => {
    const key = JSON.stringify(crd.spec) + JSON.stringify((crd.metadata as { name?: string } | undefined)?.name);
    const result = results.get(key) ?? compile(crd);
    results.delete(key);
    results.set(key, result);
    const [oldest] = results.keys();
    if (results.size > 16 && oldest !== undefined) results.delete(oldest);
    return result;
  };
}
