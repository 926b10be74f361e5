import type { JsonObject } from '../../../ports/json.ts';
import type { Runtime } from '../../../ports/runtime.ts';
import type { CloudSettings, Project, SecretAccess } from '../contracts.ts';
import { freshness, type Sight } from '../freshness.ts';

type VersionState = 'ENABLED' | 'DISABLED' | 'DESTROYED';

export interface SecretVersion {
  /** The version's number, from 1. */
  sequence: number;
  state: VersionState;
  payload: Buffer;
  createTime: string;
  destroyTime?: string;
  scheduledDestroyTime?: string;
  etag: string;
  clientSpecifiedPayloadChecksum: boolean;
}

export interface Secret {
  /** `projects/NUMBER/secrets/ID` */
  name: string;
  project: Project;
  sequence: number;
  etag: string;
  /** The fields that callers set, as google.cloud.secretmanager.v1.Secret; `expireTime` in place of `ttl`. */
  fields: JsonObject;
  createTime: string;
  versions: SecretVersion[];
  look: () => Sight;
}

export interface SecretStore {
  /** Returns the secret of `projects/NUMBER/secrets/ID`. An expired secret is deleted first. */
  find(name: string): Secret | undefined;
  /** Returns the project's secrets, newest first. */
  list(project: Project): Secret[];
  add(project: Project, id: string, fields: JsonObject): Secret;
  addVersion(secret: Secret, payload: Buffer, clientSpecifiedPayloadChecksum: boolean): SecretVersion;
  remove(secret: Secret): void;
  /** Returns a version by its number, by an alias, or by `latest`: the most recently created one in any state. */
  version(secret: Secret, version: string): SecretVersion | undefined;
  /** Sets a new etag. Every write does this, also one that changes no field. */
  touch(changed: Secret | SecretVersion): void;
  now(): string;
}

/** Stores the secrets of all projects. */
export function createSecrets(runtime: Runtime, settings: CloudSettings): SecretStore {
  const byName = new Map<string, Secret>();
  let made = 0;
  let etags = 0;
  const now = () => new Date(runtime.now()).toISOString();
  const nextEtag = () => `"${(++etags).toString(16).padStart(14, '0')}"`;

  const store: SecretStore = {
    find(name) {
      const secret = byName.get(name);
      if (secret && Date.parse(String(secret.fields.expireTime ?? '')) <= runtime.now()) {
        store.remove(secret);
        return undefined;
      }
      return secret;
    },
    list: project =>
      [...byName.values()]
        .filter(secret => secret.project.number === project.number && store.find(secret.name))
        .reverse(),
    add(project, id, fields) {
      const secret: Secret = {
        name: `projects/${project.number}/secrets/${id}`,
        project,
        sequence: ++made,
        etag: nextEtag(),
        fields,
        createTime: now(),
        versions: [],
        look: freshness(runtime, () => settings.createVisibleMs),
      };
      byName.set(secret.name, secret);
      return secret;
    },
    addVersion(secret, payload, clientSpecifiedPayloadChecksum) {
      const version: SecretVersion = {
        sequence: secret.versions.length + 1,
        state: 'ENABLED',
        payload,
        createTime: now(),
        etag: nextEtag(),
        clientSpecifiedPayloadChecksum,
      };
      secret.versions.push(version);
      return version;
    },
    remove(secret) {
      byName.delete(secret.name);
    },
    version(secret, wanted) {
      const aliases = (secret.fields.versionAliases ?? {}) as Record<string, string>;
      const number = aliases[wanted] ?? wanted;
      const found =
        wanted === 'latest'
          ? secret.versions.at(-1)
          : secret.versions.find(({ sequence }) => String(sequence) === number);
      if (found?.scheduledDestroyTime && Date.parse(found.scheduledDestroyTime) <= runtime.now()) destroy(found, now());
      return found;
    },
    touch(changed) {
      changed.etag = nextEtag();
    },
    now,
  };
  return store;
}

/** Destroys a version and its value. */
export function destroy(version: SecretVersion, time: string): void {
  version.state = 'DESTROYED';
  version.destroyTime = time;
  version.scheduledDestroyTime = undefined;
  version.payload = Buffer.alloc(0);
}

const READERS = ['roles/secretmanager.secretAccessor', 'roles/secretmanager.admin', 'roles/owner'];

/** Implements `Cloud.accessSecret`: reads a value as a service account that has a grant on the secret or on its project. */
export function accessAs(
  secrets: SecretStore,
  world: {
    project: (idOrNumber: string) => Project | undefined;
    enabledAccount: (email: string) => boolean;
    has: (resource: string, role: string, member: string) => boolean;
  },
  request: { projectId: string; secret: string; version: string; email: string },
): SecretAccess {
  const [, otherProject, otherId] = request.secret.match(/^projects\/([^/]+)\/secrets\/([^/]+)$/) ?? [];
  const project = otherProject ?? request.projectId;
  const number = world.project(project)?.number;
  const secretName = `projects/${number ?? project}/secrets/${otherId ?? request.secret}`;
  const name = `${secretName}/versions/${request.version}`;
  if (number === undefined) return { ok: false, why: 'denied', name };

  const members = [`serviceAccount:${request.email}`, 'allUsers', 'allAuthenticatedUsers'];
  const granted = [secretName, `projects/${number}`].some(resource =>
    READERS.some(role => members.some(member => world.has(resource, role, member))),
  );
  const secret = secrets.find(secretName);
  if (!secret) return { ok: false, why: 'missing', name };
  if (!granted || !world.enabledAccount(request.email)) return { ok: false, why: 'denied', name };
  const version = secrets.version(secret, request.version);
  if (!version) return { ok: false, why: 'noVersion', name };
  if (version.state === 'DISABLED') return { ok: false, why: 'disabled', name };
  if (version.state === 'DESTROYED') return { ok: false, why: 'destroyed', name };
  return { ok: true, version: String(version.sequence), payload: version.payload };
}
