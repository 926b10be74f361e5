import type { GcpCall, GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { createCloud, type LocalCloud } from './cloud.ts';
import type { Caller, CloudSettings, Face, Handlers, LoggedLine, Project } from './contracts.ts';
import { denied, failedPrecondition, GcpError } from './errors.ts';
import { createFaults, type Faults } from './faults.ts';
import { iamHandlers } from './iam/accountMethods.ts';
import { createDenyPolicies } from './iam/denyPolicies.ts';
import { permissionFor, resourceNamed } from './iam/permissions.ts';
import { loggingHandlers } from './logging/entries.ts';
import { resourceManagerHandlers } from './projects/resourceManager.ts';
import { serviceUsageHandlers } from './projects/serviceUsage.ts';
import { createQuotas, type Limits, PUBLISHED_LIMITS, type Quotas } from './quotas.ts';
import type { Containers } from './run/containers.ts';
import type { Urls } from './run/names.ts';
import { createRun, type Run } from './run/run.ts';
import { scriptedContainers } from './run/scriptedContainers.ts';
import { secretManagerHandlers } from './secretManager/secretMethods.ts';
import type { Method } from './wire/method.ts';
import { formatMessage, parseMessage } from './wire/protoJson.ts';
import { protoRegistry } from './wire/protos.ts';

/** The circumstances of a call: caller, cancellation, and the form of its request. */
interface Invocation {
  caller: Caller;
  signal?: AbortSignal;
  /** True if the request's fields came as query parameters, so that every value is a string. */
  fromQuery?: boolean;
  enumsAsNumbers?: boolean;
  /** The region that the host's name begins with, for Cloud Run's API v1. */
  region?: string;
  /**
   * The call is the sandbox's own and not one of its users': it needs no permission and no quota, gets no fault, and is neither
   * counted nor logged.
   */
  internal?: boolean;
}

interface LogEntry {
  /** Wall clock, milliseconds. */
  at: number;
  method: string;
  kind: Method['kind'];
  resource: string;
  caller: Caller;
  /** The request as it was sent, without a secret's payload. */
  request: JsonObject;
  /** `OK` or the error's code. */
  code: 'OK' | GcpStatus['code'];
}

/** Numbers of calls since the last reset. Refused calls are counted too. */
interface Counters {
  calls: Record<string, number>;
  reads: number;
  writes: number;
  accesses: number;
  reset(): void;
}

export interface GcpCore {
  /** The port of `ports/gcp.ts`. */
  call: GcpCall;
  /** The same call with its caller and the form of its request, for the HTTP server. */
  invoke(method: string, request: JsonObject, invocation: Invocation): Promise<GcpResult>;
  cloud: LocalCloud;
  /** Cloud Run beyond its API: routing, invoker check, close. */
  run: Run;
  counters: Counters;
  faults: Faults;
  quotas: Quotas;
  /** The last calls, oldest first. */
  requestLog: LogEntry[];
}

export interface GcpCoreOptions {
  runtime: Runtime;
  projects: Project[];
  settings?: Partial<CloudSettings>;
  /** Calls a minute; default: the published quotas. `{}`: none. */
  limits?: Limits;
  /** Service accounts a project; default 100, as published. */
  accountsPerProject?: number;
  /** The number of calls that `requestLog` keeps; default 10,000. */
  logSize?: number;
  /** Runs Cloud Run's instances. Default: a script by which every image starts successfully. */
  containers?: Containers;
  /** Assigns the addresses of services. Default: addresses of the real form. */
  urls?: Urls;
  logUri?: (service: string, revision: string) => string;
  /** What the instances have printed, the oldest line first. Default: nothing. */
  logLines?: () => LoggedLine[];
}

/** The parts that answer a call. */
interface Inner {
  runtime: Runtime;
  faults: Faults;
  quotas: Quotas;
  cloud: LocalCloud;
  handlers: Handlers;
  /** Project ids by project number. */
  idOf: Map<string, string>;
  lookup: ReturnType<typeof protoRegistry>['lookup'];
}

/** The name of a deny policy contains the escaped name of its project. */
const PROJECT_AND_REGION =
  /^(?:policies\/cloudresourcemanager\.googleapis\.com%2F)?projects(?:\/|%2F)([^/]+)(\/locations\/([^/]+))?/i;
const WAIT = 'google.longrunning.Operations.WaitOperation';
/** WaitOperation answers after at most 30 s, in milliseconds, also if the request has a longer time-out. */
const MAX_WAIT_MS = 30_000;

/** The local Google Cloud: all APIs behind one call. Time, timers and chance come from `runtime` only. */
export function createGcpCore(options: GcpCoreOptions): GcpCore {
  const { runtime } = options;
  const { methods, lookup } = protoRegistry();
  const faults = createFaults();
  const quotas = createQuotas(runtime, options.limits ?? structuredClone(PUBLISHED_LIMITS));
  const cloud = createCloud(runtime, {
    projects: options.projects,
    settings: options.settings,
    permitted: (permission, resource, caller) =>
      !faults.denies(permission, resource, caller) && !denyPolicies.denies(permission, resource, caller),
  });
  const denyPolicies = createDenyPolicies(cloud, cloud.accounts);
  cloud.accounts.limit = options.accountsPerProject ?? 100;
  const run = createRun(cloud, options.containers ?? scriptedContainers(runtime), {
    urls: options.urls,
    logUri: options.logUri,
  });
  const handlers: Handlers = {
    ...secretManagerHandlers(cloud, cloud.secrets),
    ...iamHandlers(cloud, cloud.accounts),
    ...denyPolicies.handlers,
    ...resourceManagerHandlers(cloud),
    ...serviceUsageHandlers(cloud),
    ...loggingHandlers(cloud, options.logLines ?? (() => [])),
    ...cloud.operationStore.handlers,
    ...run.handlers,
  };
  const idOf = new Map(options.projects.map(({ id, number }) => [number, id]));
  const inner: Inner = { runtime, faults, quotas, cloud, handlers, idOf, lookup };
  const counters = createCounters();
  const requestLog: LogEntry[] = [];
  const logSize = options.logSize ?? 10_000;

  async function invoke(name: string, raw: JsonObject, invocation: Invocation): Promise<GcpResult> {
    const method = methods.get(name);
    if (!method) return failure({ code: 'UNIMPLEMENTED', message: `Method not found: ${name}` });
    const face = run.faces[name];
    if (face) return answerFace(face, method, raw, invocation, lookup, invoke);
    const resource = resourceNamed(raw);
    if (invocation.internal) return perform(inner, method, raw, resource, invocation);
    counters.count(method);
    const entry: LogEntry = {
      at: runtime.now(),
      method: name,
      kind: method.kind,
      resource,
      caller: invocation.caller,
      request: withoutPayload(raw),
      code: 'OK',
    };
    requestLog.push(entry);
    if (requestLog.length > logSize) requestLog.splice(0, requestLog.length - logSize);
    const result = await answer(inner, method, raw, resource, invocation);
    if (!result.ok) entry.code = result.status.code;
    return result;
  }

  return {
    call: (method, request, { signal, actAs } = {}) =>
      invoke(method, request, { caller: actAs ? { email: actAs } : {}, signal }),
    invoke,
    cloud,
    run,
    counters,
    faults,
    quotas,
    requestLog,
  };
}

/** Answers a call, with the faults that are planned for it. */
async function answer(
  core: Inner,
  method: Method,
  raw: JsonObject,
  resource: string,
  invocation: Invocation,
): Promise<GcpResult> {
  const { runtime, faults } = core;
  const { caller, signal } = invocation;
  const fault = faults.take({ method: method.name, resource, request: raw, caller });
  if (fault?.delayMs) await sleep(runtime, fault.delayMs, signal);
  if (signal?.aborted) return failure({ code: 'CANCELLED', message: 'The call was cancelled before it took effect.' });
  if (fault?.error) return failure(fault.error);
  const result = await perform(core, method, raw, resource, invocation);
  if (fault?.answerDelayMs) await sleep(runtime, fault.answerDelayMs, signal);
  if (signal?.aborted)
    return failure({ code: 'CANCELLED', message: 'The call was cancelled; it may have taken effect.' });
  return fault?.lost ? failure(fault.lost) : result;
}

/** Answers a method of an older API. The calls that it makes are checked, counted and recorded. */
async function answerFace(
  face: Face,
  method: Method,
  raw: JsonObject,
  { fromQuery, ...invocation }: Invocation,
  lookup: Inner['lookup'],
  invoke: GcpCore['invoke'],
): Promise<GcpResult> {
  try {
    const request = parseMessage(method.request, raw, { fromQuery, lookup });
    const response = await face({
      request,
      region: invocation.region,
      async call(name, inner) {
        const result = await invoke(name, inner, { ...invocation, enumsAsNumbers: false });
        if (!result.ok) throw new GcpError(result.status);
        return result.response;
      },
    });
    return { ok: true, response: formatMessage(method.response, response, { lookup }) };
  } catch (error) {
    if (!(error instanceof GcpError)) throw error;
    return failure(error.status);
  }
}

/** Checks quota, request and permission, and calls the method's handler. */
async function perform(
  core: Inner,
  method: Method,
  raw: JsonObject,
  resource: string,
  { caller, fromQuery, enumsAsNumbers, internal }: Invocation,
): Promise<GcpResult> {
  const { cloud, quotas, idOf, lookup } = core;
  try {
    const [, project = '-', , region = ''] = resource.match(PROJECT_AND_REGION) ?? [];
    if (!internal) quotas.take(method.api, method.kind, idOf.get(project) ?? project, region);
    const request = parseMessage(method.request, raw, { fromQuery, keep: method.routeFields, lookup });
    const permission = permissionFor(method.name);
    if (permission && !internal && !cloud.permitted(permission, resource, caller)) throw denied(permission, resource);
    const handler = core.handlers[method.name];
    if (!handler) throw failedPrecondition(`${method.name} is not supported by the local Google Cloud.`);
    if (method.name === WAIT) {
      const asked = Number.parseFloat(String(request.timeout ?? '')) * 1000;
      await cloud.operationStore.settled(String(request.name), Math.min(asked || MAX_WAIT_MS, MAX_WAIT_MS));
    }
    const response = handler(request, caller);
    return { ok: true, response: formatMessage(method.response, response, { enumsAsNumbers, lookup }) };
  } catch (error) {
    if (!(error instanceof GcpError)) throw error;
    return failure(error.status);
  }
}

const failure = (status: GcpStatus): GcpResult => ({ ok: false, status: structuredClone(status) });

function createCounters(): Counters & { count(method: Method): void } {
  const counters = {
    calls: {} as Record<string, number>,
    reads: 0,
    writes: 0,
    accesses: 0,
    count({ name, kind }: Method) {
      counters.calls[name] = (counters.calls[name] ?? 0) + 1;
      counters[kind === 'read' ? 'reads' : kind === 'write' ? 'writes' : 'accesses']++;
    },
    reset() {
      counters.calls = {};
      counters.reads = counters.writes = counters.accesses = 0;
    },
  };
  return counters;
}

function withoutPayload(request: JsonObject): JsonObject {
  return structuredClone('payload' in request ? { ...request, payload: {} } : request);
}
