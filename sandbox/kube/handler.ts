import { stringify } from 'yaml';
import type { Runtime } from '../../operator/ports.ts';
import { answerAbout, textNotFound } from './about.ts';
import type { KubeVerb, RequestInfo } from './faults.ts';
import { APPLY_PATCH } from './patch.ts';
import type { ListOptions, Reads, WatchOptions } from './reads.ts';
import type { Registry } from './registry.ts';
import {
  decodeBody,
  dryRun,
  includeObject,
  type KubeAnswer,
  type KubeRequest,
  type KubeResponse,
  negotiate,
  type Wanted,
} from './request.ts';
import type { Runner } from './requestRunner.ts';
import {
  badRequest,
  failure,
  invalid,
  isStatusError,
  methodNotAllowed,
  notFound,
  type Status,
  type StatusError,
} from './status.ts';
import { partialMetadata, table } from './table.ts';
import type { StoredObject, Target, WriteOptions } from './types.ts';
import type { DeleteOptions, Verbs } from './verbs.ts';

const MAX_BODY = 3 * 1024 * 1024;

interface Parts {
  registry: Registry;
  verbs: Verbs;
  reads: Reads;
  run: Runner;
  runtime: Runtime;
}

/** The HTTP protocol of the API over the core, without the socket: one request in, one answer or stream out. */
export function createHandler({ registry, verbs, reads, run, runtime }: Parts) {
  return async function handle(request: KubeRequest): Promise<KubeResponse> {
    try {
      const url = new URL(request.url, 'http://kubernetes');
      const target = targetOf(registry, url.pathname);
      if (!target) return answerAbout(registry, request, url);
      return await serve(request, url.searchParams, target);
    } catch (error) {
      if (isStatusError(error)) return refusal(error);
      return refusal(failure(500, 'InternalError', `Internal error occurred: ${error}`));
    }
  };

  async function serve(request: KubeRequest, query: URLSearchParams, target: Target): Promise<KubeResponse> {
    const verb = verbOf(request.method, query, target);
    if (!verb) {
      const across = target.def.namespaced && target.namespace === undefined;
      if (target.def.custom && across) return textNotFound();
      throw methodNotAllowed();
    }
    const wanted = negotiate(request.headers?.accept);
    const warnings: string[] = [];
    if ((request.body?.length ?? 0) > MAX_BODY) {
      throw failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${MAX_BODY}`, {});
    }
    const info: RequestInfo = {
      verb,
      resource: target.subresource ? `${target.def.plural}/${target.subresource}` : target.def.plural,
      group: target.def.group,
      namespace: target.namespace,
      name: target.name,
    };
    const outcome = await run(info, () => perform(verb, request, query, target, wanted, warnings));
    if (outcome.kind === 'lost') return { lost: true };
    if (outcome.kind === 'refused') return refusal(outcome.error, warnings);
    const response = outcome.value;
    if (warnings.length && 'body' in response) response.headers.Warning = warningHeader(warnings);
    return response;
  }

  function perform(
    verb: KubeVerb,
    request: KubeRequest,
    query: URLSearchParams,
    target: Target,
    wanted: Wanted,
    warnings: string[],
  ): KubeResponse & object {
    const body = () => decodeBody(request, target.def.kind);
    const show = (object: StoredObject, code = 200) => answer(code, render(target, query, wanted, object), wanted);
    switch (verb) {
      case 'get':
        return show(verbs.shown(target, verbs.stored(target)));
      case 'list': {
        const { metadata, items } = reads.list(target, listOptions(query, false));
        return answer(200, renderList(target, query, wanted, metadata, items), wanted);
      }
      case 'watch':
        return watch(target, query, wanted);
      case 'create':
        return show(verbs.create(target, body(), writeOptions(query, warnings, 'CreateOptions')), 201);
      case 'update': {
        const { object, created } = verbs.update(target, body(), writeOptions(query, warnings, 'UpdateOptions'));
        return show(object, created ? 201 : 200);
      }
      case 'patch': {
        const type = (request.headers?.['content-type'] ?? '').split(';')[0]?.trim() ?? '';
        const options = writeOptions(query, warnings, 'PatchOptions');
        return show(verbs.patch(target, type, type === APPLY_PATCH ? {} : patchBody(request), options));
      }
      case 'delete': {
        const result = verbs.remove(target, deleteOptions(request, query));
        return isStatus(result) ? answer(200, { ...result, code: undefined }, wanted) : show(result);
      }
      case 'deletecollection': {
        const options = deleteOptions(request, query);
        const { metadata, items } = reads.list(target, listOptions(query, false));
        for (const { metadata: meta } of items) {
          verbs.remove({ ...target, namespace: meta.namespace, name: meta.name }, options);
        }
        return answer(200, renderList(target, query, wanted, metadata, items), wanted);
      }
    }
  }

  function render(target: Target, query: URLSearchParams, wanted: Wanted, object: StoredObject): object {
    if (wanted.as === 'Table') {
      const metadata = { resourceVersion: object.metadata.resourceVersion };
      return tableOf(target, query, wanted, metadata, [object], true);
    }
    return wanted.as ? partialMetadata(object, wanted.groupVersion) : object;
  }

  function tableOf(
    { version }: Target,
    query: URLSearchParams,
    { groupVersion }: Wanted,
    metadata: object,
    items: StoredObject[],
    headers: boolean,
  ) {
    // Cells are made from the object as stored; only events are shown in other words than they are kept in.
    const format = { includeObject: includeObject(query), groupVersion, headers };
    return table(version, items, metadata, format, runtime.now());
  }

  function renderList(
    target: Target,
    query: URLSearchParams,
    wanted: Wanted,
    metadata: object,
    items: StoredObject[],
  ): object {
    const { def } = target;
    if (wanted.as === 'Table') return tableOf(target, query, wanted, metadata, items, true);
    if (wanted.as) {
      const partial = items.map(item => partialMetadata(item, wanted.groupVersion));
      return { kind: 'PartialObjectMetadataList', apiVersion: wanted.groupVersion, metadata, items: partial };
    }
    const apiVersion = groupVersion(target);
    // Items of built-in lists carry no kind, those of custom resources do.
    const bare = def.custom ? items : items.map(({ kind: _, apiVersion: __, ...rest }) => rest);
    const listMeta = def.custom ? { continue: '', ...metadata } : metadata;
    return { kind: def.listKind, apiVersion, metadata: listMeta, items: bare };
  }

  function watch(target: Target, query: URLSearchParams, wanted: Wanted): KubeResponse & object {
    const options: WatchOptions = {
      ...listOptions(query, true),
      timeoutSeconds: integer(query.get('timeoutSeconds')),
      allowWatchBookmarks: query.get('allowWatchBookmarks') === 'true' || query.get('allowWatchBookmarks') === '1',
      sendInitialEvents: query.has('sendInitialEvents')
        ? /^(true|1)$/.test(query.get('sendInitialEvents') ?? '')
        : undefined,
    };
    // A refusal has to be told before the stream begins.
    let lines: ((text: string) => void) | undefined;
    let over: (() => void) | undefined;
    let early: string[] = [];
    let ended = false;
    let headers = true;
    const open = reads.watch(target, options, {
      event(event) {
        let object: object = event.object;
        if (event.type !== 'ERROR' && wanted.as) {
          if (wanted.as === 'Table') {
            const metadata = { resourceVersion: event.object.metadata.resourceVersion };
            object = tableOf(target, query, wanted, metadata, [event.object], headers);
            headers = false;
          } else object = partialMetadata(event.object, wanted.groupVersion);
        }
        const line = `${JSON.stringify({ type: event.type, object })}\n`;
        if (lines) lines(line);
        else early.push(line);
      },
      end() {
        ended = true;
        over?.();
      },
    });
    return {
      code: 200,
      headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache, private' },
      start(sink) {
        lines = text => sink.write(text);
        over = () => sink.end();
        for (const line of early) sink.write(line);
        early = [];
        if (ended) sink.end();
        return open.stop;
      },
    };
  }
}

/** The resource that a path names; undefined where it names none. */
function targetOf(registry: Registry, pathname: string): Target | undefined {
  const segments = pathname.split('/').filter(Boolean).map(decodeURIComponent);
  const group = segments[0] === 'apis' ? segments[1] : segments[0] === 'api' ? '' : undefined;
  if (group === undefined) return undefined;
  const [versionName, ...rest] = segments.slice(group ? 2 : 1);
  let namespace: string | undefined;
  let words = rest;
  // `/namespaces/x` is a namespace itself, `/namespaces/x/things` is in one, `/namespaces/x/status` is again itself.
  const within =
    words[0] === 'namespaces' && words.length > 2 && !(words.length === 3 && words[2] === 'status' && !group);
  if (within) {
    namespace = words[1];
    words = words.slice(2);
  }
  const [plural = '', name, subresource, ...excess] = words;
  const def = registry.find(group, plural);
  const version = def?.versions.find(each => each.name === versionName);
  if (!def || !version || excess.length || (namespace !== undefined && !def.namespaced)) return undefined;
  if (subresource !== undefined && (subresource !== 'status' || !version.hasStatus)) {
    if (def.custom && name !== undefined) throw notFound(def, name);
    return undefined;
  }
  // A namespaced object is reached by its namespace only; collections also across all.
  if (def.namespaced && namespace === undefined && name !== undefined) return undefined;
  return { def, version, namespace, name, subresource: subresource && 'status' };
}

function verbOf(method: string, query: URLSearchParams, target: Target): KubeVerb | undefined {
  const { def, name, namespace, subresource } = target;
  const across = def.namespaced && namespace === undefined;
  const watching = /^(true|1)$/.test(query.get('watch') ?? '');
  const verb = ((): KubeVerb | undefined => {
    switch (method) {
      case 'GET':
      case 'HEAD':
        if (watching && !subresource) return 'watch';
        return name === undefined ? 'list' : 'get';
      // The custom resource handler is less strict about names in the path than the built-in ones.
      case 'POST':
        return (name === undefined || def.custom) && !across ? 'create' : undefined;
      case 'PUT':
        if (name === undefined && def.custom && !across) throw badRequest('name must be provided');
        return name === undefined ? undefined : 'update';
      case 'PATCH':
        return name === undefined ? undefined : 'patch';
      case 'DELETE':
        if (subresource || across) return undefined;
        return name === undefined ? 'deletecollection' : 'delete';
      default:
        return undefined;
    }
  })();
  return verb && def.verbs.includes(verb) ? verb : undefined;
}

const groupVersion = ({ def, version }: Target) => (def.group ? `${def.group}/${version.name}` : version.name);
function integer(text: string | null): number | undefined {
  if (!text) return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`);
}
const isStatus = (value: Status | StoredObject): value is Status => value.kind === 'Status';

function patchBody(request: KubeRequest): unknown {
  try {
    return JSON.parse((request.body ?? '').toString());
  } catch {
    throw badRequest('invalid JSON patch');
  }
}

function listOptions(query: URLSearchParams, watching: boolean): ListOptions {
  const text = (name: string) => query.get(name) ?? undefined;
  const options: ListOptions = {
    labelSelector: text('labelSelector'),
    fieldSelector: text('fieldSelector'),
    limit: integer(query.get('limit')),
    continue: text('continue'),
    resourceVersion: text('resourceVersion'),
    resourceVersionMatch: text('resourceVersionMatch'),
  };
  const causes: { field: string; message: string; reason: string }[] = [];
  const forbid = (field: string, why: string) =>
    causes.push({ field, message: `Forbidden: ${why}`, reason: 'FieldValueForbidden' });
  const match = options.resourceVersionMatch;
  const initial = query.has('sendInitialEvents');
  if (!watching && match) {
    if (!options.resourceVersion) {
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided');
    }
    if (options.continue) {
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
    }
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      const message = `Unsupported value: "${match}": supported values: "Exact", "NotOlderThan", ""`;
      causes.push({ field: 'resourceVersionMatch', message, reason: 'FieldValueNotSupported' });
    }
    if (match === 'Exact' && options.resourceVersion === '0') {
      forbid('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
    }
  }
  if (!watching && initial) forbid('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  if (watching && initial && match !== 'NotOlderThan') {
    forbid('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
  if (watching && match && !initial) {
    forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  }
  if (causes.length) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', causes);
  return options;
}

function writeOptions(query: URLSearchParams, warnings: string[], kind: string): WriteOptions {
  const fieldValidation = query.get('fieldValidation') || 'Warn';
  if (fieldValidation !== 'Ignore' && fieldValidation !== 'Warn' && fieldValidation !== 'Strict') {
    throw invalid({ group: 'meta.k8s.io', kind }, '', [
      {
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${fieldValidation}": supported values: "", "Ignore", "Strict", "Warn"`,
        field: 'fieldValidation',
      },
    ]);
  }
  return { dryRun: dryRun(query.getAll('dryRun'), kind), fieldValidation, warnings };
}

function deleteOptions(request: KubeRequest, query: URLSearchParams): DeleteOptions {
  const body = request.body?.length ? decodeBody(request, 'DeleteOptions') : {};
  const fromBody = (body.dryRun ?? []) as string[];
  const propagationPolicy = (body.propagationPolicy ?? query.get('propagationPolicy') ?? undefined) as
    | string
    | undefined;
  if (propagationPolicy && !['Orphan', 'Background', 'Foreground'].includes(propagationPolicy)) {
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [
      {
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${propagationPolicy}": supported values: "Foreground", "Background", "Orphan", "nil"`,
        field: 'propagationPolicy',
      },
    ]);
  }
  return {
    dryRun: dryRun([...fromBody, ...query.getAll('dryRun')], 'DeleteOptions'),
    preconditions: body.preconditions as DeleteOptions['preconditions'],
    propagationPolicy,
  };
}

function answer(code: number, body: object, wanted?: Wanted): KubeAnswer {
  const yaml = wanted?.yaml ?? false;
  return {
    code,
    headers: { 'Content-Type': yaml ? 'application/yaml' : 'application/json', 'Cache-Control': 'no-cache, private' },
    body: yaml ? stringify(body) : `${JSON.stringify(body)}\n`,
  };
}

function refusal(error: StatusError, warnings: string[] = []): KubeAnswer {
  const response = answer(error.status.code, error.status);
  const retryAfter = error.status.details?.retryAfterSeconds;
  if (retryAfter) response.headers['Retry-After'] = String(retryAfter);
  if (warnings.length) response.headers.Warning = warningHeader(warnings);
  return response;
}

const warningHeader = (warnings: string[]) =>
  [...new Set(warnings)].map(text => `299 - "${text.replace(/["\\]/g, '\\$&')}"`).join(', ');
