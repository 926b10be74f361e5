import { type Context, readBlocker } from './context.ts';
import { sidecarsOf } from './fields/sidecarSpec.ts';
import { part, secretName } from './names.ts';
import { claimService } from './ownership.ts';
import { pinnedVersions } from './template.ts';
import type { Blocker, DesiredKey, KeyStatus, Observed, ObservedKey, Read, SecretVersion } from './types.ts';

/**
 * The version of a key's secret. The operator resolves `latest` to a number and never goes back to an older version by itself
 * (rule 6 of the contract): the status records the highest version that was live, and only an explicit version goes lower.
 */

export type Resolved = { ok: true; version: string; number?: string } | { ok: false; blocker: Blocker };

/** The version that the service must use, or the blocker. `live`: the recorded version of the same secret. */
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
  const followsNewest = !pinned && key.rollout === 'OnNewVersion';
  if (state === 'DESTROYED') {
    const instead = pinned ? 'Name another version in the spec, or latest' : `Add a new one: ${addVersion}`;
    return blocked('DependencyNotReady', `version ${version} of ${secret} is destroyed for good. ${instead}`);
  }
  if (state !== 'ENABLED' && !(followsNewest && version < highest)) {
    const none = followsNewest ? `secret ${secret} has no enabled version; ` : '';
    const what = followsNewest ? `the newest one, ${version},` : `version ${version} of ${secret}`;
    const enable = `gcloud secrets versions enable ${version} --secret=${secret} --project=${project}`;
    return blocked('DependencyNotReady', `${none}${what} is ${state.toLowerCase()}. Enable it: ${enable}`);
  }
  if (followsNewest && version < highest) {
    return blocked(
      'DependencyNotReady',
      `version ${highest} of ${secret} was live and is no longer enabled; the newest one left, ${version}, is older, and the operator does ` +
        `not go back by itself. Enable ${highest}, or go back on purpose with version: ${version} in the spec, or add a new version: ${addVersion}`,
    );
  }
  const number = String(version);
  return { ok: true, version: !pinned && key.rollout === 'OnRestart' ? 'latest' : number, number };
}

/**
 * The recorded version of a key, or a higher one that a ready revision of the tenant already uses. The second happens when the
 * operator ended between the rollout and the status write.
 */
export function liveKey(ctx: Context, key: DesiredKey, found: ObservedKey, observed: Observed): KeyStatus | undefined {
  const recorded = ctx.status.keys.find(other => other.name === key.name);
  if (found.secret.state !== 'present') return recorded;
  const { name } = found.secret.value;
  const isSecret = (reference: string) => {
    const full = secretName(reference, ctx.desired.project);
    const sameId = part(full, 'secrets') === part(name, 'secrets');
    return full === key.secret || full === name || (sameId && found.alsoIn?.includes(part(reference, 'projects')));
  };
  const highest = Math.max(
    0,
    ...liveVersions(ctx, observed).flatMap(({ secret, version }) =>
      isSecret(secret) && /^\d+$/.test(version) ? Number(version) : [],
    ),
  );
  const known = recorded?.secret === undefined || recorded.secret === name ? Number(recorded?.version ?? 0) : 0;
  if (highest <= known) return recorded;
  return { granted: false, ...recorded, name: key.name, version: String(highest), secret: name };
}

/** The secrets and versions that the latest ready revisions of the tenant's own services read. */
function liveVersions(ctx: Context, { services }: Observed): { secret: string; version: string }[] {
  const sidecars = sidecarsOf(ctx.desired.spec).map(({ name }) => name);
  return services.flatMap(({ service }) => {
    if (service.state !== 'present' || !['ours', 'consented'].includes(claimService(service.value, ctx.rules)))
      return [];
    const { latestReadyRevision, latestCreatedRevision, reconciling, terminal, template } = service.value;
    const settled = !reconciling && terminal.state === 'SUCCEEDED';
    const isLive = settled && latestReadyRevision !== '' && latestReadyRevision === latestCreatedRevision;
    return isLive ? pinnedVersions(template, sidecars) : [];
  });
}
