import type { protos } from '@google-cloud/secret-manager';
import type { ObservedSecret, SecretVersion } from '../tenant/types.ts';
import { filled, type Message, objects, stringMap, text } from './parse.ts';
import { partsOf } from './resourceNames.ts';

type Secret = Message<protos.google.cloud.secretmanager.v1.ISecret>;
type Version = Message<protos.google.cloud.secretmanager.v1.ISecretVersion>;
type Versions = Message<protos.google.cloud.secretmanager.v1.IListSecretVersionsResponse>;

/** A google.cloud.secretmanager.v1.Secret: its name as answered (with the project's number) and its labels and aliases. */
export function parseSecret(answer: Secret): ObservedSecret | undefined {
  const name = filled(answer.name);
  if (!name || !partsOf('secret', name)) return undefined;
  const aliases = stringMap(answer.versionAliases);
  return { name, labels: stringMap(answer.labels), ...(Object.keys(aliases).length > 0 && { aliases }) };
}

/** A google.cloud.secretmanager.v1.SecretVersion: its number, from its name, and its state. */
export function parseVersion(answer: Version): SecretVersion | undefined {
  const number = partsOf('secretVersion', text(answer.name))?.[2];
  const version = Number(number);
  if (!number || !Number.isSafeInteger(version)) return undefined;
  const { state } = answer;
  const known = state === 'ENABLED' || state === 'DISABLED' || state === 'DESTROYED';
  return { version, state: known ? state : 'UNKNOWN' };
}

/**
 * The highest-numbered version in `state` on a page of ListSecretVersions, or `best` if that is higher. Neither the server's
 * order nor its filter is relied on.
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
