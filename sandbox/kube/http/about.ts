import type { PlainObject } from '../../../schema/types.ts';
import type { Registry } from '../resources/registry.ts';
import { badRequest, invalid, pageNotFound } from '../status.ts';
import { aggregated, apiGroupList, apiResourceList, apiVersions, oneApiGroup } from './discovery.ts';
import { goJson } from './goJson.ts';
import { openApiDocument, openApiIndex } from './openapi.ts';
import { openApiV2 } from './openapiV2.ts';
import { accepted, decodeBody, type KubeAnswer, type KubeRequest } from './request.ts';

/** The version that the local API stands in for. */
const VERSION = {
  major: '1',
  minor: '37',
  emulationMajor: '1',
  emulationMinor: '37',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '36',
  gitVersion: 'v1.37.2',
  gitCommit: '$Format:%H$',
  gitTreeState: '',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'gc',
  platform: 'linux/amd64',
};

const AGGREGATED = /^apidiscovery\.k8s\.io$/;

/** Everything that is not an object: discovery, OpenAPI, version, health, access reviews. */
export function answerAbout(registry: Registry, request: KubeRequest, url: URL): KubeAnswer {
  const path = url.pathname.replace(/(.)\/$/, '$1');
  const [, root = '', ...words] = path.split('/');
  if (request.method === 'POST') return review(path, request) ?? missing();
  if (request.method !== 'GET' && request.method !== 'HEAD') return missing();
  // `kubectl get --raw='/readyz?verbose'`: there is one check.
  if (/^\/(healthz|livez|readyz)$/.test(path) && url.searchParams.has('verbose')) {
    return text(200, `[+]ping ok\n${path.slice(1)} check passed\n`);
  }
  switch (path) {
    case '/':
      return json({ paths: paths(registry) });
    case '/version':
      return json(VERSION);
    case '/healthz':
    case '/livez':
    case '/readyz':
    case '/healthz/ping':
    case '/livez/ping':
    case '/readyz/ping':
      return text(200, 'ok');
    case '/api':
    case '/apis':
      return discovery(registry, request, path === '/api');
    case '/openapi/v3':
      return json(openApiIndex(registry));
    case '/openapi/v2':
      return openApiV2(registry, request.headers?.accept);
  }
  if (root === 'openapi' && words[0] === 'v3') {
    const document = openApiDocument(registry, words.slice(1).join('/'));
    return document ? json(document) : missing();
  }
  const [group = '', version] = root === 'api' ? ['', words[0]] : words;
  if ((root === 'api' && words.length === 1) || (root === 'apis' && words.length === 2)) {
    const list = version && apiResourceList(registry, group, version);
    return list ? json(list) : missing();
  }
  if (root === 'apis' && words.length === 1) {
    const found = oneApiGroup(registry, group);
    return found ? json(found) : missing();
  }
  if (inBuiltInGroup(registry, root, words)) throw pageNotFound();
  return missing();
}

/** Below the built-in groups an unknown path has a Status for an answer, elsewhere plain text. */
function inBuiltInGroup(registry: Registry, root: string, words: string[]): boolean {
  const group = root === 'api' ? '' : words[0];
  const version = root === 'api' ? words[0] : words[1];
  if (root !== 'api' && root !== 'apis') return false;
  return registry
    .all()
    .some(def => !def.custom && def.group === group && def.versions.some(({ name }) => name === version));
}

function discovery(registry: Registry, request: KubeRequest, legacy: boolean): KubeAnswer {
  for (const { type, params } of accepted(request.headers?.accept)) {
    if (type !== 'application/json') continue;
    if (!params.as) break;
    const known = AGGREGATED.test(params.g ?? '') && (params.v === 'v2' || params.v === 'v2beta1');
    if (params.as !== 'APIGroupDiscoveryList' || !known) continue;
    const response = json(aggregated(registry, legacy, `${params.g}/${params.v}`));
    response.headers['Content-Type'] = `application/json;g=${params.g};v=${params.v};as=APIGroupDiscoveryList`;
    return response;
  }
  return json(legacy ? apiVersions(request.headers?.host ?? '127.0.0.1') : apiGroupList(registry));
}

/** What `GET /` lists. */
function paths(registry: Registry): string[] {
  const groups = registry.all().filter(({ group }) => group);
  const below = groups.flatMap(({ group, versions }) => versions.map(({ name }) => `/apis/${group}/${name}`));
  const health = ['/healthz', '/livez', '/readyz'].flatMap(path => [path, `${path}/ping`]);
  const all = ['/api', '/api/v1', '/apis', '/openapi/v2', '/openapi/v3', '/version', ...health, ...below];
  return [...new Set([...all, ...groups.map(({ group }) => `/apis/${group}`)])].sort();
}

/** `kubectl auth can-i` and `auth whoami`: everybody may do everything here. */
function review(path: string, request: KubeRequest): KubeAnswer | undefined {
  const kind = ACCESS_REVIEWS.find(([pattern]) => pattern.test(path))?.[1];
  if (kind) return accessReview(kind, request);
  if (path === '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews') return rulesReview(request);
  if (path !== '/apis/authentication.k8s.io/v1/selfsubjectreviews') return undefined;
  const userInfo = { username: 'system:anonymous', groups: ['system:unauthenticated'] };
  return json(
    { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1', status: { userInfo }, metadata: {} },
    201,
  );
}

const AUTHORIZATION = 'authorization.k8s.io/v1';
const ACCESS_REVIEWS: [path: RegExp, kind: string][] = [
  [/^\/apis\/authorization\.k8s\.io\/v1\/selfsubjectaccessreviews$/, 'SelfSubjectAccessReview'],
  [/^\/apis\/authorization\.k8s\.io\/v1\/subjectaccessreviews$/, 'SubjectAccessReview'],
  [/^\/apis\/authorization\.k8s\.io\/v1\/namespaces\/[^/]+\/localsubjectaccessreviews$/, 'LocalSubjectAccessReview'],
];

/** The question as it was sent, and the answer. kubectl sends protobuf, which is not read: then the question is left out. */
function accessReview(kind: string, request: KubeRequest): KubeAnswer {
  const status = { allowed: true, reason: 'the local API has no access control' };
  const sent = sentReview(kind, request);
  const spec = (sent?.spec ?? {}) as PlainObject;
  if (sent && (spec.resourceAttributes === undefined) === (spec.nonResourceAttributes === undefined)) {
    const message = 'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    throw invalid({ group: 'authorization.k8s.io', kind: '' }, '', [
      { field: 'spec', message, reason: 'FieldValueInvalid' },
    ]);
  }
  return json({ kind, apiVersion: AUTHORIZATION, metadata: sent?.metadata ?? {}, spec, status }, 201);
}

function rulesReview(request: KubeRequest): KubeAnswer {
  const kind = 'SelfSubjectRulesReview';
  const sent = sentReview(kind, request);
  if (sent && !(sent.spec as PlainObject | undefined)?.namespace) throw badRequest('no namespace on request');
  const status = {
    resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
    nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
    incomplete: false,
  };
  // kube-apiserver does not repeat the question here.
  return json({ kind, apiVersion: AUTHORIZATION, metadata: {}, spec: {}, status }, 201);
}

/** Undefined for protobuf. */
const sentReview = (kind: string, request: KubeRequest): PlainObject | undefined =>
  request.headers?.['content-type']?.includes('protobuf') ? undefined : decodeBody(request, kind, AUTHORIZATION);

const json = (body: object, code = 200): KubeAnswer => ({
  code,
  headers: { 'Content-Type': 'application/json' },
  body: `${goJson(body)}\n`,
});

const text = (code: number, body: string): KubeAnswer => ({
  code,
  headers: { 'Content-Type': 'text/plain; charset=utf-8' },
  body,
});

/** The answer of the last handler in kube-apiserver's chain. */
export const textNotFound = () => text(404, '404 page not found\n');
const missing = textNotFound;
