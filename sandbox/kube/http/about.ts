import type { Registry } from '../resources/registry.ts';
import { pageNotFound } from '../status.ts';
import { aggregated, apiGroupList, apiResourceList, apiVersions, oneApiGroup } from './discovery.ts';
import { goJson } from './goJson.ts';
import { openApiDocument, openApiIndex } from './openapi.ts';
import { openApiV2 } from './openapiV2.ts';
import { accepted, type KubeAnswer, type KubeRequest } from './request.ts';

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
  if (request.method === 'POST') return review(path) ?? missing();
  if (request.method !== 'GET' && request.method !== 'HEAD') return missing();
  switch (path) {
    case '/version':
      return json(VERSION);
    case '/healthz':
    case '/livez':
    case '/readyz':
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

/** `kubectl auth can-i` and `auth whoami`: everybody may do everything here. kubectl sends protobuf, which is not read. */
function review(path: string): KubeAnswer | undefined {
  const answer = REVIEWS[path];
  return answer && json({ ...answer, metadata: {} }, 201);
}

const REVIEWS: Record<string, object> = {
  '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': {
    kind: 'SelfSubjectAccessReview',
    apiVersion: 'authorization.k8s.io/v1',
    spec: {},
    status: { allowed: true, reason: 'the local API has no access control' },
  },
  '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews': {
    kind: 'SelfSubjectRulesReview',
    apiVersion: 'authorization.k8s.io/v1',
    spec: {},
    status: {
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    },
  },
  '/apis/authentication.k8s.io/v1/selfsubjectreviews': {
    kind: 'SelfSubjectReview',
    apiVersion: 'authentication.k8s.io/v1',
    status: { userInfo: { username: 'system:anonymous', groups: ['system:unauthenticated'] } },
  },
};

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
