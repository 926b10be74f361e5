import { copyOf } from '../../ports/json.ts';
import type { KubeApi, KubeListOptions, KubeObject, KubeResource, KubeResult, KubeStatus } from '../../ports/kube.ts';
import type { PlainObject } from '../../schema/types.ts';
import type { KubeVerb, RequestInfo } from './faults.ts';
import type { Outcome, Runner } from './requestRunner.ts';
import type { Registry } from './resources/registry.ts';
import type { StoredObject, Target, WriteOptions } from './resources/resource.ts';
import { notFound, type Status } from './status.ts';
import { MERGE_PATCH } from './verbs/patch.ts';
import type { Reads } from './verbs/reads.ts';
import type { Verbs } from './verbs/verbs.ts';

const LOST: KubeStatus = { code: 0, reason: 'Unknown', message: 'the connection was cut' };

/** The operator's port straight onto the core: copies go in and out, so that nobody shares an object with the store. */
export function createPort(registry: Registry, verbs: Verbs, reads: Reads, run: Runner): KubeApi {
  const write = (): WriteOptions => ({ dryRun: false, fieldValidation: 'Ignore', warnings: [] });

  function targetOf(resource: KubeResource, namespace?: string, name?: string, subresource?: 'status'): Target {
    const def = registry.find(resource.group, resource.plural);
    const version = def?.versions.find(each => each.name === resource.version);
    if (!def || !version || (subresource && !version.hasStatus)) throw notFound(resource, name ?? '');
    return { def, version, namespace, name, subresource };
  }

  async function call<T>(info: RequestInfo, act: () => T): Promise<KubeResult<T>> {
    return result(await run(info, () => copyOf(act())));
  }
  const infoOf = (verb: KubeVerb, { plural, group }: KubeResource, namespace?: string, name?: string): RequestInfo => ({
    verb,
    resource: plural,
    group,
    namespace,
    name,
  });

  return {
    list: (resource, options: KubeListOptions) =>
      call(infoOf('list', resource, options.namespace), () =>
        reads.list(targetOf(resource, options.namespace), options),
      ),

    async watch(resource, options, onEvent) {
      if (options.signal.aborted) return { ok: true, value: undefined };
      let finish = () => {};
      const over = new Promise<void>(resolve => {
        finish = resolve;
      });
      const sink = {
        event: (event: { type: string; object: unknown }) => onEvent(copyOf(event) as Parameters<typeof onEvent>[0]),
        end: () => finish(),
      };
      const { resourceVersion, timeoutSeconds, namespace } = options;
      const wish = { resourceVersion, timeoutSeconds, allowWatchBookmarks: true };
      const outcome = await run(infoOf('watch', resource, namespace), () =>
        reads.watch(targetOf(resource, namespace), wish, sink),
      );
      if (outcome.kind !== 'ok') return result(outcome);
      const stop = outcome.value.stop;
      options.signal.addEventListener('abort', stop, { once: true });
      if (options.signal.aborted) stop();
      await over;
      options.signal.removeEventListener('abort', stop);
      return { ok: true, value: undefined };
    },

    get: (resource, namespace, name) =>
      call<KubeObject>(infoOf('get', resource, namespace, name), () => {
        const target = targetOf(resource, namespace, name);
        return verbs.shown(target, verbs.stored(target));
      }),

    create: (resource, namespace, object) =>
      call<KubeObject>(infoOf('create', resource, namespace, object.metadata.name), () => {
        const target = targetOf(resource, namespace);
        return verbs.create(target, wire(object), write());
      }),

    patch(resource, namespace, name, patch, options) {
      const info = infoOf('patch', resource, namespace, name);
      if (options?.subresource) info.resource = `${resource.plural}/${options.subresource}`;
      return call<KubeObject>(info, () =>
        verbs.patch(targetOf(resource, namespace, name, options?.subresource), MERGE_PATCH, wire(patch), write()),
      );
    },

    async delete(resource, namespace, name, preconditions) {
      const outcome = await call<Status | StoredObject>(infoOf('delete', resource, namespace, name), () =>
        verbs.remove(targetOf(resource, namespace, name), { dryRun: false, preconditions }),
      );
      return outcome.ok ? { ok: true, value: undefined } : outcome;
    },
  };
}

/** As it would come over the wire: a copy, without undefined. */
const wire = (object: object): PlainObject => JSON.parse(JSON.stringify(object)) as PlainObject;

function result<T>(outcome: Outcome<T>): KubeResult<T> {
  if (outcome.kind === 'ok') return { ok: true, value: outcome.value };
  if (outcome.kind === 'lost') return { ok: false, status: LOST };
  const { code, reason = '', message = '', details } = outcome.error.status;
  const retryAfterMs = details?.retryAfterSeconds === undefined ? undefined : details.retryAfterSeconds * 1000;
  return { ok: false, status: { code, reason, message, retryAfterMs } };
}
