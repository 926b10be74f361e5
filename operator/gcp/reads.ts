import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type {
  Failure,
  ObservedAccount,
  ObservedSecret,
  ObservedService,
  Policy,
  Read,
  SecretVersion,
} from '../tenant/types.ts';
import { parseAccount } from './account.ts';
import { failureOf } from './errors.ts';
import { parsePolicy } from './iamPolicy.ts';
import { rpc } from './methods.ts';
import { filled } from './parse.ts';
import { badName, type Shape, sameButProject } from './resourceNames.ts';
import { newestIn, parseSecret, parseVersion } from './secret.ts';
import { parseService } from './service.ts';

/**
 * What the operator sees of Google Cloud. `absent` is only what Google Cloud itself says is not there; everything that
 * can't be understood is `failed`, so that nothing is decided on it. Full resource names in, canonical ones out.
 */
export interface Reads {
  account(project: string, email: string, options?: GcpCallOptions): Promise<Read<ObservedAccount>>;
  /** `projects/P/secrets/S`, P an id or a number. */
  secret(name: string, options?: GcpCallOptions): Promise<Read<ObservedSecret>>;
  /** Also the secret's existence: without the secret it is `absent`. */
  secretPolicy(name: string, options?: GcpCallOptions): Promise<Read<Policy>>;
  /** `latest` is the most recently created, whatever its state. */
  secretVersion(secret: string, want: WantedVersion, options?: GcpCallOptions): Promise<Read<SecretVersion>>;
  /** `projects/P/locations/R/services/S`. */
  service(name: string, options?: GcpCallOptions): Promise<Read<ObservedService>>;
  servicePolicy(name: string, options?: GcpCallOptions): Promise<Read<Policy>>;
}

/** `newestEnabled` (where none is enabled: the newest disabled one), `latest` or a number. */
export type WantedVersion = 'newestEnabled' | 'latest' | (string & {});

/** More pages than a list of a secret's versions can have: a server that never ends its list is not followed for ever. */
const MAX_PAGES = 200;
const VERSIONS_PAGE = 1000;

/** Reads answered by one GET each. */
export function createReads(call: GcpCall): Reads {
  async function get<T>(
    method: string,
    shape: Shape,
    name: string,
    request: JsonObject,
    parse: (answer: JsonObject) => T | undefined,
    options?: GcpCallOptions,
  ): Promise<Read<T>> {
    const bad = badName(shape, name);
    if (bad) return failed(bad);
    const result = await call(method, request, options);
    if (!result.ok) {
      const failure = failureOf(method, result.status);
      return failure.kind === 'NotFound' ? { state: 'absent' } : failed(failure);
    }
    const value = parse(result.response);
    return value === undefined ? failed(odd(method, name)) : { state: 'present', value };
  }

  /** Answers about another resource than the one asked for are not understood. */
  const about =
    <T extends { name: string }>(shape: Shape, name: string, parse: (answer: JsonObject) => T | undefined) =>
    (answer: JsonObject): T | undefined => {
      const value = parse(answer);
      return value && sameButProject(shape, value.name, name) ? value : undefined;
    };

  const policy = (method: string, shape: Shape, name: string, options?: GcpCallOptions) =>
    get(method, shape, name, { resource: name, options: { requestedPolicyVersion: 3 } }, parsePolicy, options);

  async function newest(
    secret: string,
    state: SecretVersion['state'],
    options?: GcpCallOptions,
  ): Promise<Read<SecretVersion>> {
    const bad = badName('secret', secret);
    if (bad) return failed(bad);
    let best: SecretVersion | undefined;
    let pageToken: string | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const request = { parent: secret, pageSize: VERSIONS_PAGE, filter: `state:${state}`, pageToken };
      const result = await call(rpc.listSecretVersions, request, options);
      if (!result.ok) {
        const failure = failureOf(rpc.listSecretVersions, result.status);
        return failure.kind === 'NotFound' ? { state: 'absent' } : failed(failure);
      }
      best = newestIn(state, result.response, best);
      pageToken = filled(result.response.nextPageToken);
      if (!pageToken) return best ? { state: 'present', value: best } : { state: 'absent' };
    }
    return failed(odd(rpc.listSecretVersions, secret));
  }

  return {
    account(project, email, options) {
      const name = `projects/${project}/serviceAccounts/${email}`;
      const parse = (answer: JsonObject) => {
        const account = parseAccount(answer);
        return account?.email === email ? account : undefined;
      };
      return get(rpc.getAccount, 'account', name, { name }, parse, options);
    },
    secret: (name, options) =>
      get(rpc.getSecret, 'secret', name, { name }, about('secret', name, parseSecret), options),
    secretPolicy: (name, options) => policy(rpc.getSecretPolicy, 'secret', name, options),
    async secretVersion(secret, want, options) {
      if (want === 'newestEnabled') {
        const enabled = await newest(secret, 'ENABLED', options);
        return enabled.state === 'absent' ? newest(secret, 'DISABLED', options) : enabled;
      }
      const name = `${secret}/versions/${want}`;
      const parse = (answer: JsonObject) => {
        const found = parseVersion(answer);
        return want === 'latest' || String(found?.version) === want ? found : undefined;
      };
      return get(rpc.getSecretVersion, 'secretVersion', name, { name }, parse, options);
    },
    service: (name, options) =>
      get(rpc.getService, 'service', name, { name }, about('service', name, parseService), options),
    servicePolicy: (name, options) => policy(rpc.getServicePolicy, 'service', name, options),
  };
}

const failed = (failure: Failure): { state: 'failed'; failure: Failure } => ({ state: 'failed', failure });

const odd = (method: string, name: string): Failure => ({
  kind: 'Transient',
  message: `${method} answered for ${name} with something that can't be understood.`,
});
