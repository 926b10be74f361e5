import type protobuf from 'protobufjs/light.js';
import type { Api } from '../quotas.ts';

/** One `google.api.http` binding. */
export interface HttpBinding {
  verb: string;
  // Such as /v2/{parent=projects/*/locations/*}/services, with the custom verb taken off.
  template: string;
  customVerb?: string;
  /** `*`, a field's JSON name, or absent. */
  body?: string;
}

export interface Method {
  /** The full name, such as `google.cloud.run.v2.Services.GetService`. */
  name: string;
  api: Api;
  /** The kind of call, for quotas and counters. */
  kind: 'read' | 'write' | 'access';
  request: protobuf.Type;
  response: protobuf.Type;
  bindings: HttpBinding[];
  /** JSON paths of the request that the routes bind: kept although the proto calls them output only. */
  routeFields: ReadonlySet<string>;
}
