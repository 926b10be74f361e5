import type { JsonObject } from '../../../ports/json.ts';
import type { Handler, Handlers } from '../contracts.ts';
import { failedPrecondition, invalid, notFound } from '../errors.ts';
import { filtered } from '../filter.ts';
import { page } from '../paging.ts';
import { crc32c } from './crc32c.ts';
import { checkEtag, PAGES, type Parts, parse, required, secretOf } from './secretNames.ts';
import { destroy, type Secret, type SecretVersion } from './secrets.ts';

const MAX_PAYLOAD_BYTES = 64 * 1024;

/** The methods of secret versions, by their short names. */
export const versionMethods = (parts: Parts): Handlers => ({
  AddSecretVersion: request => {
    const secret = secretOf(parts, String(request.parent));
    const { data = '', dataCrc32c } = request.payload as { data?: string; dataCrc32c?: string };
    const payload = Buffer.from(data, 'base64');
    if (payload.length === 0) throw invalid('Secret Payload cannot be empty.', required('payload.data'));
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw invalid(`The Secret Payload is ${payload.length} bytes: at most ${MAX_PAYLOAD_BYTES} are allowed.`);
    }
    if (dataCrc32c !== undefined && Number(dataCrc32c) !== crc32c(payload)) {
      throw invalid('The Secret Payload does not match its CRC32C checksum [payload.data_crc32c].');
    }
    return showVersion(secret, parts.secrets.addVersion(secret, payload, dataCrc32c !== undefined));
  },
  ListSecretVersions: request => {
    const secret = secretOf(parts, String(request.parent));
    const show = (version: SecretVersion) => showVersion(secret, version);
    const all = filtered(String(request.filter ?? ''), secret.versions.toReversed(), show);
    const { items, ...rest } = page(all, request, PAGES);
    return { versions: items.map(show), ...rest };
  },
  GetSecretVersion: request => {
    const { secret, version } = versionOf(parts, String(request.name));
    return showVersion(secret, version);
  },
  AccessSecretVersion: request => {
    const { version, path } = versionOf(parts, String(request.name));
    if (version.state !== 'ENABLED') {
      throw failedPrecondition(`Secret Version [${path}] is in ${version.state} state.`);
    }
    const data = version.payload.toString('base64');
    return { name: path, payload: { data, dataCrc32c: String(crc32c(version.payload)) } };
  },
  EnableSecretVersion: changeVersion(parts, version => {
    version.state = 'ENABLED';
    version.scheduledDestroyTime = undefined;
  }),
  DisableSecretVersion: changeVersion(parts, version => {
    version.state = 'DISABLED';
  }),
  DestroySecretVersion: changeVersion(parts, (version, secret) => {
    const delay = Number.parseFloat(String(secret.fields.versionDestroyTtl ?? '0'));
    if (delay === 0) return destroy(version, parts.secrets.now());
    version.state = 'DISABLED';
    version.scheduledDestroyTime = new Date(parts.cloud.runtime.now() + delay * 1000).toISOString();
  }),
});

function versionOf({ cloud, secrets }: Parts, name: string) {
  const { secret: path, version: wanted } = parse(cloud, name);
  const secret = secrets.find(path);
  const version = secret && secrets.version(secret, wanted);
  if (secret && version) return { secret, version, path: `${path}/versions/${version.sequence}` };
  throw wanted === 'latest' || !secret
    ? notFound(`Secret [${path}] not found or has no versions.`)
    : notFound(`Secret Version [${path}/versions/${wanted}] not found.`);
}

/** Changes a version's state. Refuses a stale etag and a destroyed version. */
const changeVersion =
  (parts: Parts, change: (version: SecretVersion, secret: Secret) => void): Handler =>
  request => {
    const { secret, version, path } = versionOf(parts, String(request.name));
    checkEtag(request.etag, version.etag);
    if (version.state === 'DESTROYED') throw failedPrecondition(`Secret Version [${path}] is in DESTROYED state.`);
    change(version, secret);
    parts.secrets.touch(version);
    return showVersion(secret, version);
  };

function showVersion(secret: Secret, version: SecretVersion): JsonObject {
  const { sequence, payload: _, ...fields } = version;
  return { name: `${secret.name}/versions/${sequence}`, ...fields, replicationStatus: replicationStatus(secret) };
}

function replicationStatus({ fields }: Secret): JsonObject {
  const { userManaged } = fields.replication as { userManaged?: { replicas?: { location?: string }[] } };
  if (!userManaged) return { automatic: {} };
  return { userManaged: { replicas: (userManaged.replicas ?? []).map(({ location }) => ({ location })) } };
}
