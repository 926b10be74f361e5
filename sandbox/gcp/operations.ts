import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { Cloud, Handlers } from './contracts.ts';
import { CODES, invalid, notFound } from './errors.ts';
import { page } from './paging.ts';

/** Finished operations are kept for one hour, in milliseconds. */
const KEPT_MS = 60 * 60 * 1000;

interface Stored {
  name: string;
  sequence: number;
  operation: JsonObject;
  finishedAt?: number;
  waiting: Set<() => void>;
}

export interface OperationStore extends Pick<Cloud, 'operations'> {
  handlers: Handlers;
  /** Resolves when the operation has finished, when it does not exist, or after `ms` milliseconds. */
  settled(name: string, ms: number): Promise<void>;
}

/**
 * Stores long-running operations and handles google.longrunning.Operations. For WaitOperation the core awaits `settled` before
 * it calls the handler.
 */
export function createOperations(runtime: Runtime): OperationStore {
  const stored = new Map<string, Stored>();
  let made = 0;

  function forgetOld(): void {
    const horizon = runtime.monotonic() - KEPT_MS;
    for (const [name, { finishedAt }] of stored) {
      if (finishedAt === undefined || finishedAt > horizon) break;
      stored.delete(name);
    }
  }

  function find(name: string): Stored {
    const found = stored.get(name);
    if (!found) throw notFound(`Operation '${name}' does not exist.`);
    return found;
  }

  const operations: Cloud['operations'] = {
    start(parent, metadataType, metadata) {
      forgetOld();
      const name = `${parent}/operations/${uuid(runtime)}`;
      const operation = { name, metadata: any(metadataType, metadata) };
      stored.set(name, { name, sequence: ++made, operation, waiting: new Set() });
      return { name };
    },
    finish(name, result) {
      const found = stored.get(name);
      if (!found) return;
      found.finishedAt = runtime.monotonic();
      found.operation =
        'error' in result
          ? { ...found.operation, done: true, error: rpcStatus(result.error) }
          : { ...found.operation, done: true, response: any(result.responseType, result.response) };
      for (const wake of found.waiting) wake();
    },
    get: name => structuredClone(find(name).operation),
  };

  const get = (request: JsonObject) => operations.get(String(request.name));

  return {
    operations,
    handlers: {
      'google.longrunning.Operations.GetOperation': get,
      'google.longrunning.Operations.WaitOperation': get,
      'google.longrunning.Operations.DeleteOperation': request => {
        stored.delete(find(String(request.name)).name);
        return {};
      },
      'google.longrunning.Operations.ListOperations': request => {
        const wanted = wantedDone(String(request.filter ?? ''));
        const below = [...stored.values()].filter(
          ({ name, operation }) =>
            name.startsWith(`${request.name}/operations/`) &&
            (wanted === undefined || wanted === (operation.done === true)),
        );
        const { items, nextPageToken } = page(below, request, { default: 100, max: 100, order: 'oldest first' });
        return { operations: structuredClone(items.map(({ operation }) => operation)), nextPageToken };
      },
    },
    settled(name, ms) {
      const found = stored.get(name);
      if (!found || found.finishedAt !== undefined) return Promise.resolve();
      return new Promise(resolve => {
        const wake = () => {
          cancel();
          found.waiting.delete(wake);
          resolve();
        };
        const cancel = runtime.after(ms, wake);
        found.waiting.add(wake);
      });
    },
  };
}

function wantedDone(filter: string): boolean | undefined {
  if (!filter) return undefined;
  const [, value] = filter.match(/^\s*done\s*[:=]\s*(true|false)\s*$/) ?? [];
  if (!value) throw invalid(`Invalid filter '${filter}': only done:true and done:false are supported.`);
  return value === 'true';
}

function any(type: string, message: JsonObject): JsonObject {
  return { '@type': `type.googleapis.com/${type}`, ...structuredClone(message) };
}

function rpcStatus({ code, message, details }: GcpStatus): JsonObject {
  return { code: CODES[code].number, message, ...(details && { details }) };
}

function uuid(runtime: Runtime): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(runtime.random() * 16).toString(16)).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
