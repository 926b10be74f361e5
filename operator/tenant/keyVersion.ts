import { readBlocker } from './context.ts';
import type { Blocker, DesiredKey, KeyStatus, Read, SecretVersion } from './types.ts';

export type Resolved = { ok: true; version: string; number?: string } | { ok: false; blocker: Blocker };

/**
 * Which version of a key's secret the service is to use. `latest` with OnNewVersion is resolved to the newest enabled
 * number, but never to an older one than has been live: only an explicit version goes back (rule 6 of the contract).
 */
export function resolveVersion(
  key: DesiredKey,
  secret: string,
  project: string,
  read: Read<SecretVersion> | undefined,
  live: KeyStatus | undefined,
): Resolved {
  const blocked = (reason: 'DependencyNotFound' | 'DependencyNotReady', message: string): Resolved => ({
    ok: false,
    blocker: { aspect: 'SecretAccess', reason, message: `Key ${key.name}: ${message}` },
  });
  const addVersion = `gcloud secrets versions add ${secret} --project=${project} --data-file=-`;

  if (read === undefined || read.state === 'failed') {
    const failure = read?.failure ?? { kind: 'Transient' as const, message: 'not read yet' };
    const blocker = readBlocker('SecretAccess', `the versions of secret ${secret} of key ${key.name}`, failure);
    return { ok: false, blocker };
  }
  const pinned = key.version !== 'latest';
  if (read.state === 'absent') {
    if (pinned) {
      return blocked(
        'DependencyNotFound',
        `secret ${secret} has no version ${key.version}: name another one, or latest.`,
      );
    }
    return blocked('DependencyNotFound', `secret ${secret} has no usable version. Add one: ${addVersion}`);
  }
  const { version, state } = read.value;
  const highest = Number(live?.version ?? 0);
  const newestCounts = !pinned && key.rollout === 'OnNewVersion';
  if (state === 'DESTROYED') {
    const instead = pinned ? 'Name another version in the spec, or latest' : `Add a new one: ${addVersion}`;
    return blocked('DependencyNotReady', `version ${version} of ${secret} is destroyed for good. ${instead}`);
  }
  if (state !== 'ENABLED' && !(newestCounts && version < highest)) {
    const none = newestCounts ? `secret ${secret} has no enabled version; ` : '';
    const what = newestCounts ? `the newest one, ${version},` : `version ${version} of ${secret}`;
    const enable = `gcloud secrets versions enable ${version} --secret=${secret} --project=${project}`;
    return blocked('DependencyNotReady', `${none}${what} is ${state.toLowerCase()}. Enable it: ${enable}`);
  }
  if (newestCounts && version < highest) {
    return blocked(
      'DependencyNotReady',
      `version ${highest} of ${secret} was live and is no longer enabled; the newest one left, ${version}, is older, and the operator does ` +
        `not go back by itself. Enable ${highest} or add a new version (${addVersion}), or go back on purpose with version: ${version} in the spec.`,
    );
  }
  const number = String(version);
  return { ok: true, version: !pinned && key.rollout === 'OnRestart' ? 'latest' : number, number };
}
