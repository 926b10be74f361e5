import { GrpcClient, protobuf } from 'google-gax/fallback';
import type { JsonObject } from '../ports.ts';
import type { Api } from './methods.ts';
import { fromMessage, toMessage } from './protoJson.ts';
import { bounded } from './status.ts';
import { CallError, type Send } from './transport.ts';

/**
 * Cloud Run and Secret Manager through google-gax's REST mode, on the messages and HTTP rules that the client packages
 * ship. Their generated client classes are left out: importing one loads all of gRPC (`require('google-gax')` at the
 * top of each), and its long-running-operation and paging helpers are what a level-triggered reconciler does not want.
 */

export type ProtoApi = Exclude<Api, 'iam'>;

/** Calls one method of one service, by the method's short name. */
export type Stub = (method: string, request: JsonObject, signal: AbortSignal) => Promise<JsonObject>;

/** What gax's stub for a unary method looks like. */
type GaxUnary = (
  request: object,
  metadata: Record<string, string>,
  options: object,
  done: (error: unknown, response?: object) => void,
) => { cancel(): void };

const operationName = '/v2/{name=projects/*/locations/*/operations/*}';

/** An API's messages and services, read from its package when first needed. */
export async function loadRoot(api: ProtoApi): Promise<protobuf.Root> {
  const json =
    api === 'run'
      ? await import('@google-cloud/run/build/protos/protos.json', { with: { type: 'json' } })
      : await import('@google-cloud/secret-manager/build/protos/protos.json', { with: { type: 'json' } });
  const root = protobuf.Root.fromJSON(json.default as protobuf.INamespace);
  root.resolveAll();
  if (api === 'run') {
    // The shipped rule is the generic `/v1/{name=operations/**}`; Cloud Run's own is in its service configuration.
    const getOperation = root.lookupService('google.longrunning.Operations').methods.GetOperation;
    if (getOperation) getOperation.parsedOptions = [{ '(google.api.http)': { get: operationName } }];
  }
  return root;
}

/** A stub of one service, sending everything through `send`. */
export async function createStub(root: protobuf.Root, service: string, send: Send): Promise<Stub> {
  const definition = root.lookupService(service);
  const auth = {
    getClient: async () => ({}),
    fetch: async (url: string, init: { method: string; headers: Headers; body?: string; signal?: AbortSignal }) => {
      const body = await send({ url, ...init });
      const bytes = new TextEncoder().encode(body || '{}');
      return { ok: true, status: 200, arrayBuffer: async () => bytes };
    },
  };
  const options = { auth, fallback: true, numericEnums: true } as unknown as ConstructorParameters<
    typeof GrpcClient
  >[0];
  const stub = (await new GrpcClient(options).createStub(definition, {}, false)) as unknown as Record<string, GaxUnary>;
  return (method, request, signal) => {
    const rpc = definition.methods[method];
    const unary = stub[method.charAt(0).toLowerCase() + method.slice(1)];
    const { resolvedRequestType: asks, resolvedResponseType: answers } = rpc ?? {};
    if (!unary || !asks || !answers) throw new Error(`${service} has no method ${method}`);
    return new Promise((resolve, reject) => {
      let sent = false;
      const message = attempt(() => toMessage(asks, request));
      const handle = unary(message, {}, {}, (error, response) => {
        if (response) resolve(fromMessage(answers, response));
        else if (!sent) reject(refused(error));
        else reject(received(error));
      });
      sent = true;
      signal.addEventListener('abort', () => handle.cancel(), { once: true });
    });
  };
}

/** A request that can't be encoded never left: it is the request that is wrong. */
const refused = (error: unknown) => new CallError({ code: 'INVALID_ARGUMENT', message: words(error) });

function attempt<T>(encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    throw refused(error);
  }
}

/** gax wraps what `send` rejected with; anything else is an answer that it could not decode. */
function received(error: unknown): CallError {
  if (error instanceof Error && error.cause instanceof CallError) return error.cause;
  return new CallError({ code: 'UNKNOWN', message: `An answer that does not fit its type: ${words(error)}` });
}

const words = (error: unknown): string => bounded(error instanceof Error ? error.message : String(error));
