import type { Json, JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handler, Handlers } from '../contracts.ts';
import { alreadyExists, failedPrecondition, invalid, notFound } from '../errors.ts';
import { filtered } from '../filter.ts';
import { iamMethods } from '../iam/policyMethods.ts';
import { page } from '../paging.ts';
import { crc32c } from './crc32c.ts';
import { checkSecretFields, checkSecretTimes, rotationNow } from './secretRules.ts';
import { destroy, type Secret, type SecretStore, type SecretVersion } from './secrets.ts';

const API = 'google.cloud.secretmanager.v1.SecretManagerService';
/** ListSecretsRequest.page_size in the proto: "If set to zero, the server decides"; at most 25,000. */
const PAGES = { default: 25_000, max: 25_000, order: 'newest first' } as const;
const MAX_PAYLOAD_BYTES = 64 * 1024;

/** Secret Manager v1, global secrets. */
export function secretManagerHandlers(cloud: Cloud, secrets: SecretStore): Handlers {
  /** Splits a name and replaces the project by its number. Regional names are refused. */
  function parse(name: string): { secret: string; version: string } {
    if (/^projects\/[^/]+\/locations\//.test(name)) {
      throw failedPrecondition(`Regional secrets are not supported by the local Google Cloud: ${name}`);
    }
    const [, project, id, , version = ''] =
      name.match(/^projects\/([^/]+)\/secrets\/([^/]+)(\/versions\/([^/]+))?$/) ?? [];
    if (!project || !id) throw invalid(`Resource ID [${name}] is not in a valid format.`);
    return { secret: `projects/${cloud.project(project).number}/secrets/${id}`, version };
  }

  function secretOf(name: string): Secret {
    const path = parse(name).secret;
    const secret = secrets.find(path);
    if (!secret) throw notFound(`Secret [${path}] not found.`);
    return secret;
  }

  /** Returns the secret for a read, which may not see a new secret yet. */
  function seenSecret(name: string): Secret {
    const secret = secretOf(name);
    if (secret.look() !== 'visible') throw notFound(`Secret [${secret.name}] not found.`);
    return secret;
  }

  function versionOf(name: string): { secret: Secret; version: SecretVersion; path: string } {
    const { secret: path, version: wanted } = parse(name);
    const secret = secrets.find(path);
    const version = secret && secrets.version(secret, wanted);
    if (secret && version) return { secret, version, path: `${path}/versions/${version.sequence}` };
    throw wanted === 'latest' || !secret
      ? notFound(`Secret [${path}] not found or has no versions.`)
      : notFound(`Secret Version [${path}/versions/${wanted}] not found.`);
  }

  function parentProject(request: JsonObject) {
    const parent = String(request.parent);
    if (/\/locations\//.test(parent)) parse(`${parent}/`);
    const [, project = ''] = parent.match(/^projects\/([^/]+)$/) ?? [];
    if (!project) throw invalid(`Resource ID [${parent}] is not in a valid format.`);
    return cloud.project(project);
  }

  /** Changes a version's state. Refuses a stale etag and a destroyed version. */
  const changeVersion =
    (change: (version: SecretVersion, secret: Secret) => void): Handler =>
    request => {
      const { secret, version, path } = versionOf(String(request.name));
      checkEtag(request.etag, version.etag);
      if (version.state === 'DESTROYED') throw failedPrecondition(`Secret Version [${path}] is in DESTROYED state.`);
      change(version, secret);
      secrets.touch(version);
      return showVersion(secret, version);
    };

  function showSecret({ name, createTime, etag, fields }: Secret): JsonObject {
    const { rotation } = fields;
    return {
      name,
      ...fields,
      ...(rotation && { rotation: rotationNow(rotation as JsonObject, cloud.runtime.now()) }),
      createTime,
      etag,
    };
  }

  const handlers: Handlers = {
    ListSecrets: request => {
      const visible = secrets.list(parentProject(request)).filter(secret => secret.look() === 'visible');
      const all = filtered(String(request.filter ?? ''), visible, showSecret);
      const { items, ...rest } = page(all, request, PAGES);
      return { secrets: items.map(showSecret), ...rest };
    },
    CreateSecret: request => {
      const project = parentProject(request);
      const id = String(request.secretId);
      if (!/^[A-Za-z0-9_-]{1,255}$/.test(id)) {
        throw invalid(`The provided Secret ID [${id}] does not match the expected format [[a-zA-Z_0-9-]{1,255}]`);
      }
      const { name: _, etag: __, ...given } = request.secret as JsonObject;
      if (!given.replication) throw invalid('Secret.replication must be provided.', required('secret.replication'));
      const fields = checkSecretFields(expiring(given, cloud.runtime.now()), []);
      checkSecretTimes(fields, cloud.runtime.now());
      if (secrets.find(`projects/${project.number}/secrets/${id}`)) {
        throw alreadyExists(`Secret [projects/${project.number}/secrets/${id}] already exists.`);
      }
      return showSecret(secrets.add(project, id, fields));
    },
    GetSecret: request => showSecret(seenSecret(String(request.name))),
    UpdateSecret: request => {
      const given = request.secret as JsonObject;
      const secret = secretOf(String(given.name));
      checkEtag(given.etag, secret.etag);
      const now = cloud.runtime.now();
      const before = rotationNow((secret.fields.rotation ?? {}) as JsonObject, now);
      const stored = { ...secret.fields, ...(secret.fields.rotation && { rotation: before }) };
      const { fields, set } = masked(stored, expiring(given, now), String(request.updateMask).split(','));
      checkSecretTimes(Object.fromEntries(set.map(field => [field, fields[field]])), now, before);
      secret.fields = checkSecretFields(fields, secret.versions);
      secrets.touch(secret);
      return showSecret(secret);
    },
    DeleteSecret: request => {
      const secret = secretOf(String(request.name));
      checkEtag(request.etag, secret.etag);
      secrets.remove(secret);
      cloud.policies.remove(secret.name);
      return {};
    },

    AddSecretVersion: request => {
      const secret = secretOf(String(request.parent));
      const { data = '', dataCrc32c } = request.payload as { data?: string; dataCrc32c?: string };
      const payload = Buffer.from(data, 'base64');
      if (payload.length === 0) throw invalid('Secret Payload cannot be empty.', required('payload.data'));
      if (payload.length > MAX_PAYLOAD_BYTES) {
        throw invalid(`The Secret Payload is ${payload.length} bytes: at most ${MAX_PAYLOAD_BYTES} are allowed.`);
      }
      if (dataCrc32c !== undefined && Number(dataCrc32c) !== crc32c(payload)) {
        throw invalid('The Secret Payload does not match its CRC32C checksum [payload.data_crc32c].');
      }
      return showVersion(secret, secrets.addVersion(secret, payload, dataCrc32c !== undefined));
    },
    ListSecretVersions: request => {
      const secret = secretOf(String(request.parent));
      const show = (version: SecretVersion) => showVersion(secret, version);
      const all = filtered(String(request.filter ?? ''), secret.versions.toReversed(), show);
      const { items, ...rest } = page(all, request, PAGES);
      return { versions: items.map(show), ...rest };
    },
    GetSecretVersion: request => {
      const { secret, version } = versionOf(String(request.name));
      return showVersion(secret, version);
    },
    AccessSecretVersion: request => {
      const { version, path } = versionOf(String(request.name));
      if (version.state !== 'ENABLED') {
        throw failedPrecondition(`Secret Version [${path}] is in ${version.state} state.`);
      }
      const data = version.payload.toString('base64');
      return { name: path, payload: { data, dataCrc32c: String(crc32c(version.payload)) } };
    },
    EnableSecretVersion: changeVersion(version => {
      version.state = 'ENABLED';
      version.scheduledDestroyTime = undefined;
    }),
    DisableSecretVersion: changeVersion(version => {
      version.state = 'DISABLED';
    }),
    DestroySecretVersion: changeVersion((version, secret) => {
      const delay = Number.parseFloat(String(secret.fields.versionDestroyTtl ?? '0'));
      if (delay === 0) return destroy(version, secrets.now());
      version.state = 'DISABLED';
      version.scheduledDestroyTime = new Date(cloud.runtime.now() + delay * 1000).toISOString();
    }),

    ...iamMethods(cloud, name => secretOf(name).name),
  };
  return Object.fromEntries(Object.entries(handlers).map(([method, handler]) => [`${API}.${method}`, handler]));
}

/** The fields that UpdateSecret's mask may name: all except the immutable replication and the fields that the service writes. */
const UPDATABLE = new Set([
  'labels',
  'annotations',
  'topics',
  'expireTime',
  'rotation',
  'versionAliases',
  'versionDestroyTtl',
  'secretType',
]);

/** Fields of a message that a mask may name one by one, as gcloud does. */
const UPDATABLE_PARTS = new Set(['rotation.nextRotationTime', 'rotation.rotationPeriod']);

/** Returns the stored fields with those that the mask names taken from `given`, and in `set` the names of these fields. */
function masked(stored: JsonObject, given: JsonObject, paths: string[]): { fields: JsonObject; set: string[] } {
  const fields = { ...stored };
  const set = paths.map(path => {
    const [field = '', part] = (path === 'ttl' ? 'expireTime' : path).split('.');
    if (part === undefined && UPDATABLE.has(field)) fields[field] = given[field];
    else if (UPDATABLE_PARTS.has(path)) {
      const whole = (fields[field] ?? {}) as JsonObject;
      const { [part ?? '']: _, ...others } = whole;
      const value = ((given[field] ?? {}) as JsonObject)[part ?? ''];
      const next = value === undefined ? others : { ...others, [part ?? '']: value };
      fields[field] = Object.keys(next).length > 0 ? next : undefined;
    } else throw invalid(`Field [${path}] cannot be updated.`, required('update_mask'));
    return field;
  });
  return { fields, set };
}

const required = (field: string) => ({ field, description: 'Required or invalid.' });

/** Replaces `ttl` by the time at which the secret expires. */
function expiring({ ttl, ...fields }: JsonObject, now: number): JsonObject {
  if (ttl === undefined) return fields;
  return { ...fields, expireTime: new Date(now + Number.parseFloat(String(ttl)) * 1000).toISOString() };
}

/**
 * Refuses a stale etag with FAILED_PRECONDITION, as Secret Manager's documentation on etags says. A missing etag is not
 * checked.
 */
function checkEtag(given: Json | undefined, current: string): void {
  if (given && given !== current) {
    throw failedPrecondition(`The etag provided [${given}] does not match the current etag [${current}].`);
  }
}

function showVersion(secret: Secret, version: SecretVersion): JsonObject {
  const { sequence, payload: _, ...fields } = version;
  return { name: `${secret.name}/versions/${sequence}`, ...fields, replicationStatus: replicationStatus(secret) };
}

function replicationStatus({ fields }: Secret): JsonObject {
  const { userManaged } = fields.replication as { userManaged?: { replicas?: { location?: string }[] } };
  if (!userManaged) return { automatic: {} };
  return { userManaged: { replicas: (userManaged.replicas ?? []).map(({ location }) => ({ location })) } };
}
