import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handlers } from '../contracts.ts';
import { alreadyExists, GcpError, invalid, notFound } from '../errors.ts';
import { filtered } from '../filter.ts';
import { iamMethods } from '../iam/policyMethods.ts';
import { page } from '../paging.ts';
import { checkEtag, PAGES, type Parts, parse, required, secretOf } from './secretNames.ts';
import { checkSecretFields, checkSecretTimes, rotationNow } from './secretRules.ts';
import type { Secret, SecretStore } from './secrets.ts';
import { versionMethods } from './versionMethods.ts';

const API = 'google.cloud.secretmanager.v1.SecretManagerService';

/** Secret Manager v1, global secrets. */
export function secretManagerHandlers(cloud: Cloud, secrets: SecretStore): Handlers {
  const parts = { cloud, secrets };
  const policyMethods = iamMethods(cloud, name => secretOf(parts, name).name);
  const handlers: Handlers = {
    ...secretMethods(parts),
    ...versionMethods(parts),
    ...policyMethods,
    // For a secret that does not exist the answer has no permissions and is no error (service.proto, TestIamPermissions).
    TestIamPermissions(request, ...rest) {
      try {
        return policyMethods.TestIamPermissions(request, ...rest);
      } catch (error) {
        if (error instanceof GcpError && error.status.code === 'NOT_FOUND') return {};
        throw error;
      }
    },
  };
  return Object.fromEntries(Object.entries(handlers).map(([method, handler]) => [`${API}.${method}`, handler]));
}

/** The methods of secrets, by their short names. */
function secretMethods(parts: Parts): Handlers {
  const { cloud, secrets } = parts;
  const show = (secret: Secret) => showSecret(secret, cloud.runtime.now());
  return {
    ListSecrets: request => {
      const visible = secrets.list(parentProject(cloud, request)).filter(secret => secret.look() === 'visible');
      const all = filtered(String(request.filter ?? ''), visible, show);
      const { items, ...rest } = page(all, request, PAGES);
      return { secrets: items.map(show), ...rest };
    },
    CreateSecret: request => show(createSecret(parts, request)),
    GetSecret: request => show(seenSecret(parts, String(request.name))),
    UpdateSecret: request => show(updateSecret(parts, request)),
    DeleteSecret: request => {
      const secret = secretOf(parts, String(request.name));
      checkEtag(request.etag, secret.etag);
      secrets.remove(secret);
      cloud.policies.remove(secret.name);
      return {};
    },
  };
}

function createSecret({ cloud, secrets }: Parts, request: JsonObject): Secret {
  const project = parentProject(cloud, request);
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
  return secrets.add(project, id, fields);
}

function updateSecret(parts: Parts, request: JsonObject): Secret {
  const given = request.secret as JsonObject;
  const secret = secretOf(parts, String(given.name));
  checkEtag(given.etag, secret.etag);
  const now = parts.cloud.runtime.now();
  const before = rotationNow((secret.fields.rotation ?? {}) as JsonObject, now);
  const stored = { ...secret.fields, ...(secret.fields.rotation && { rotation: before }) };
  const { fields, set } = masked(stored, expiring(given, now), String(request.updateMask).split(','));
  checkSecretTimes(Object.fromEntries(set.map(field => [field, fields[field]])), now, before);
  secret.fields = checkSecretFields(fields, secret.versions);
  parts.secrets.touch(secret);
  return secret;
}

/** Returns the secret for a read, which may not see a new secret yet. */
function seenSecret(parts: Parts, name: string): Secret {
  const secret = secretOf(parts, name);
  if (secret.look() !== 'visible') throw notFound(`Secret [${secret.name}] not found.`);
  return secret;
}

function parentProject(cloud: Cloud, request: JsonObject) {
  const parent = String(request.parent);
  if (/\/locations\//.test(parent)) parse(cloud, `${parent}/`);
  const [, project = ''] = parent.match(/^projects\/([^/]+)$/) ?? [];
  if (!project) throw invalid(`Resource ID [${parent}] is not in a valid format.`);
  return cloud.project(project);
}

function showSecret({ name, createTime, etag, fields }: Secret, now: number): JsonObject {
  const { rotation } = fields;
  return {
    name,
    ...fields,
    ...(rotation && { rotation: rotationNow(rotation as JsonObject, now) }),
    createTime,
    etag,
  };
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

/** Replaces `ttl` by the time at which the secret expires. */
function expiring({ ttl, ...fields }: JsonObject, now: number): JsonObject {
  if (ttl === undefined) return fields;
  return { ...fields, expireTime: new Date(now + Number.parseFloat(String(ttl)) * 1000).toISOString() };
}
