import type { KubeApi, KubeResource, KubeResult } from '../../ports/kube.ts';

/** The end of a request to the API server: `code` is 200 for a success, the HTTP status of a refusal, or 0 without an answer. */
export interface RequestEnd {
  verb: 'list' | 'watch' | 'get' | 'create' | 'patch' | 'delete';
  resource: string;
  code: number;
}

/** Wraps the API so that `after` is called at the end of each request. */
export function instrumentKube(api: KubeApi, after: (end: RequestEnd) => void): KubeApi {
  const counted =
    <A extends unknown[], T>(
      verb: RequestEnd['verb'],
      request: (resource: KubeResource, ...rest: A) => Promise<KubeResult<T>>,
    ) =>
    async (resource: KubeResource, ...rest: A): Promise<KubeResult<T>> => {
      const result = await request(resource, ...rest);
      after({ verb, resource: resource.plural, code: result.ok ? 200 : result.status.code });
      return result;
    };
  return {
    list: counted('list', api.list),
    watch: counted('watch', api.watch),
    get: counted('get', api.get),
    create: counted('create', api.create),
    patch: counted('patch', api.patch),
    delete: counted('delete', api.delete),
  };
}
