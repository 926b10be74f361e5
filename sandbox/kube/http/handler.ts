import { parseDocument, stringify } from 'yaml';
import type { Runtime } from '../../../ports/runtime.ts';
import type { PlainObject } from '../../../schema/types.ts';
import type { KubeVerb, RequestInfo } from '../faults.ts';
import type { Runner } from '../requestRunner.ts';
import type { Registry } from '../resources/registry.ts';
import type { StoredObject, Target, WriteOptions } from '../resources/resource.ts';
import { badRequest, failure, isStatusError, methodNotAllowed, type Status, type StatusError } from '../status.ts';
import { APPLY_PATCH, checkPatchType } from '../verbs/patch.ts';
import type { Reads } from '../verbs/reads.ts';
import type { Verbs } from '../verbs/verbs.ts';
import { answerAbout, textNotFound } from './about.ts';
import { duplicateFields } from './duplicateFields.ts';
import { goJson } from './goJson.ts';
import { groupVersion, render, renderList, type View } from './render.ts';
import { decodeBody, type KubeAnswer, type KubeRequest, type KubeResponse, negotiate, type Wanted } from './request.ts';
import { deleteOptions, listOptions, writeOptions } from './requestOptions.ts';
import { targetOf, verbOf } from './routes.ts';
import { watchStream } from './watchStream.ts';

const MAX_BODY = 3 * 1024 * 1024;

interface Parts {
  registry: Registry;
  verbs: Verbs;
  reads: Reads;
  run: Runner;
  runtime: Runtime;
}

/** One request for a resource. */
interface Call extends View {
  verb: KubeVerb;
  request: KubeRequest;
  /** Warnings for the client are pushed here. */
  warnings: string[];
}

/** Translates HTTP requests into calls of the core, without a socket. A request gets one answer or a stream of watch events. */
export function createHandler(parts: Parts) {
  return async function handle(request: KubeRequest): Promise<KubeResponse> {
    try {
      // Concatenated instead of resolved against a base URL, where a leading `//` would begin an authority.
      const url = new URL(`http://kubernetes${request.url}`);
      const target = targetOf(parts.registry, url.pathname);
      if (!target) return answerAbout(parts.registry, request, url);
      return await serve(parts, request, url.searchParams, target);
    } catch (error) {
      if (isStatusError(error)) return refusal(error);
      return refusal(failure(500, 'InternalError', `Internal error occurred: ${error}`));
    }
  };
}

async function serve(
  parts: Parts,
  request: KubeRequest,
  query: URLSearchParams,
  target: Target,
): Promise<KubeResponse> {
  const verb = verbOf(request.method, query, target);
  if (!verb) {
    const across = target.def.namespaced && target.namespace === undefined;
    if (target.def.custom && across) return textNotFound();
    throw methodNotAllowed();
  }
  const wanted = negotiate(request.headers?.accept);
  const warnings: string[] = [];
  const call = { verb, request, query, target, wanted, warnings, runtime: parts.runtime };
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
  const outcome = await parts.run(info, () => perform(parts, call));
  if (outcome.kind === 'lost') return { lost: true };
  if (outcome.kind === 'refused') return refusal(outcome.error, warnings);
  const response = outcome.value;
  if (warnings.length && 'body' in response) response.headers.Warning = warningHeader(warnings);
  return response;
}

/** Runs the verb of a request that the runner has let through. */
function perform({ verbs, reads }: Parts, call: Call): KubeResponse & object {
  const { verb, request, query, target, wanted, warnings } = call;
  const { kind, custom } = target.def;
  const body = () => decodeBody(request, kind, custom ? undefined : groupVersion(target));
  const options = (kind: string): WriteOptions => ({
    ...writeOptions(query, warnings, kind, request.headers),
    duplicates: duplicateFields((request.body ?? '').toString()),
  });
  const show = (object: StoredObject, code = 200) => answer(code, render(call, object), wanted);
  switch (verb) {
    case 'get':
      return show(verbs.shown(target, verbs.stored(target)));
    case 'list': {
      const { metadata, items } = reads.list(target, listOptions(query, false));
      return answer(200, renderList(call, metadata, items), wanted);
    }
    case 'watch':
      return watchStream(reads, call);
    case 'create':
      return show(verbs.create(target, body(), options('CreateOptions')), 201);
    case 'update': {
      const { object, created } = verbs.update(target, body(), options('UpdateOptions'));
      return show(object, created ? 201 : 200);
    }
    case 'patch': {
      const type = (request.headers?.['content-type'] ?? '').split(';')[0]?.trim() ?? '';
      checkPatchType(target.def, type);
      if (type === APPLY_PATCH) {
        const given = options('PatchOptions');
        const config = applyBody(request, given.fieldValidation === 'Strict');
        const { object, created } = verbs.apply(target, config, given);
        return show(object, created ? 201 : 200);
      }
      return show(verbs.patch(target, type, patchBody(request), options('PatchOptions')));
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
      return answer(200, renderList(call, metadata, items), wanted);
    }
  }
}

const isStatus = (value: Status | StoredObject): value is Status => value.kind === 'Status';

/** An object to apply, in YAML or JSON. An empty body is an object without fields. A key that comes twice is refused if `isStrict`. */
function applyBody(request: KubeRequest, isStrict: boolean): PlainObject {
  const text = (request.body ?? '').toString();
  const document = parseDocument(text, { version: '1.1', uniqueKeys: isStrict });
  const [error] = document.errors;
  if (error?.code === 'DUPLICATE_KEY') {
    const key = /^["']?([^"':\s]+)/.exec(text.slice(error.pos[0]))?.[1];
    throw badRequest(
      `error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  line ${error.linePos?.[0].line}: key "${key}" already set in map`,
    );
  }
  if (error) throw badRequest(`error encoding patch: yaml: ${error.message.split('\n')[0]}`);
  const value: unknown = document.toJS() ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const found = Array.isArray(value) ? 'array' : typeof value;
    throw badRequest(
      `error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${found} into Go value of type map[string]interface {}`,
    );
  }
  return value as PlainObject;
}

function patchBody(request: KubeRequest): unknown {
  try {
    return JSON.parse((request.body ?? '').toString());
  } catch {
    throw badRequest('invalid JSON patch');
  }
}

function answer(code: number, body: object, wanted?: Wanted): KubeAnswer {
  const yaml = wanted?.yaml ?? false;
  return {
    code,
    headers: { 'Content-Type': yaml ? 'application/yaml' : 'application/json', 'Cache-Control': 'no-cache, private' },
    // As kube-apiserver writes it: keys in order, and whatever YAML 1.1 might take for something else in quotes.
    body: yaml
      ? stringify(body, { version: '1.1', sortMapEntries: true, indentSeq: false, lineWidth: 0 })
      : `${goJson(body)}\n`,
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
