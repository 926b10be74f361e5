import type { protos } from '@google-cloud/secret-manager';
import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import { part } from '../tenant/names.ts';
import type { ObservedSecret, Read, SecretVersion } from '../tenant/types.ts';
import { failureOf } from './errors.ts';
import { absentOrFailed, failed, getOne, notUnderstood, type Resource } from './getOne.ts';
import { rpc } from './methods.ts';
import { filled, type Message, objects, stringMap, text } from './parse.ts';
import { badName, partsOf } from './resourceNames.ts';

/** Secrets and their versions (Secret Manager). The operator reads only their metadata, and writes only their policies. */

type Secret = Message<protos.google.cloud.secretmanager.v1.ISecret>;
type Version = Message<protos.google.cloud.secretmanager.v1.ISecretVersion>;
type Versions = Message<protos.google.cloud.secretmanager.v1.IListSecretVersionsResponse>;

/** Parses a google.cloud.secretmanager.v1.Secret: the name (Google Cloud answers with the project's number), the labels and the aliases. */
export function parseSecret(answer: Secret): ObservedSecret | undefined {
  const name = filled(answer.name);
  if (!name || !partsOf('secret', name)) return undefined;
  const aliases = stringMap(answer.versionAliases);
  return { name, labels: stringMap(answer.labels), ...(Object.keys(aliases).length > 0 && { aliases }) };
}

/** Parses a google.cloud.secretmanager.v1.SecretVersion: the number, which is in the name, and the state. */
export function parseVersion(answer: Version): SecretVersion | undefined {
  const number = partsOf('secretVersion', text(answer.name))?.[2];
  const version = Number(number);
  if (!number || !Number.isSafeInteger(version)) return undefined;
  const { state } = answer;
  const known = state === 'ENABLED' || state === 'DISABLED' || state === 'DESTROYED';
  return { version, state: known ? state : 'UNKNOWN' };
}

/**
 * The version in `state` with the highest number on a page of ListSecretVersions, or `best` if that is higher. The result does not
 * depend on the server's order, or on its filter.
 */
export function newestIn(
  state: SecretVersion['state'],
  page: Versions,
  best?: SecretVersion,
): SecretVersion | undefined {
  let newest = best;
  for (const item of objects(page.versions)) {
    const version = parseVersion(item);
    if (version?.state === state && version.version > (newest?.version ?? 0)) newest = version;
  }
  return newest;
}

/** The list's key is the secret's own id, because requests name the project by its id and answers by its number. */
export const secrets: Resource<ObservedSecret> = {
  shape: 'secret',
  get: { method: rpc.getSecret, request: name => ({ name }) },
  list: {
    method: rpc.listSecrets,
    request: parent => ({ parent, pageSize: 1_000 }),
    field: 'secrets',
    parse: parseSecret,
    key: ({ name }) => part(name, 'secrets'),
  },
  isOurs: false,
};

/** `newestEnabled` (if no version is enabled: the newest disabled one), `latest`, or a version number. */
export type WantedVersion = 'newestEnabled' | 'latest' | (string & {});

/** `latest` is the version that was created last, whatever its state. */
export async function getSecretVersion(
  call: GcpCall,
  secret: string,
  want: WantedVersion,
  options?: GcpCallOptions,
): Promise<Read<SecretVersion>> {
  if (want === 'newestEnabled') {
    const enabled = await getNewest(call, secret, 'ENABLED', options);
    return enabled.state === 'absent' ? getNewest(call, secret, 'DISABLED', options) : enabled;
  }
  const parse = (answer: Version) => {
    const found = parseVersion(answer);
    return want === 'latest' || String(found?.version) === want ? found : undefined;
  };
  const name = `${secret}/versions/${want}`;
  return getOne(call, { method: rpc.getSecretVersion, shape: 'secretVersion', name, parse }, options);
}

/** A list with more pages than this fails. The versions of one secret cannot fill as many, so the server answers with page tokens for ever. */
const MAX_PAGES = 200;

async function getNewest(
  call: GcpCall,
  secret: string,
  state: SecretVersion['state'],
  options?: GcpCallOptions,
): Promise<Read<SecretVersion>> {
  const bad = badName('secret', secret);
  if (bad) return failed(bad);
  let best: SecretVersion | undefined;
  let pageToken: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const request = { parent: secret, pageSize: 1_000, filter: `state:${state}`, pageToken };
    const result = await call(rpc.listSecretVersions, request, options);
    if (!result.ok) return absentOrFailed(failureOf(rpc.listSecretVersions, result.status, request));
    best = newestIn(state, result.response, best);
    pageToken = filled(result.response.nextPageToken);
    if (!pageToken) return best ? { state: 'present', value: best } : { state: 'absent' };
  }
  return notUnderstood(rpc.listSecretVersions, secret);
}
