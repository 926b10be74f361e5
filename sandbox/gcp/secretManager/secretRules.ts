import type { JsonObject } from '../../../ports/json.ts';
import { invalid } from '../errors.ts';

/** Secret.labels in the proto: UTF-8 lower-case letters, digits, `_` and `-`; keys start with a letter; values may be empty. */
const LABEL_KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const LABEL_VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;
const ANNOTATION_KEY = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const ALIAS = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;
const MAX_ANNOTATION_BYTES = 16 * 1024;
const MAX_LABEL_KEY_BYTES = 128;

/** Checks what a caller set on a secret; `versions` are those an alias may point to. Answers the fields. */
export function checkSecretFields(fields: JsonObject, versions: { sequence: number }[]): JsonObject {
  const labels = Object.entries((fields.labels ?? {}) as Record<string, string>);
  const annotations = Object.entries((fields.annotations ?? {}) as Record<string, string>);
  const aliases = Object.entries((fields.versionAliases ?? {}) as Record<string, string>);
  const refuse = (field: string, description: string) =>
    invalid(description, { field: `secret.${field}`, description });

  if (labels.length > 64) throw refuse('labels', 'No more than 64 labels can be assigned to a given resource.');
  for (const [key, value] of labels) {
    if (!LABEL_KEY.test(key) || Buffer.byteLength(key) > MAX_LABEL_KEY_BYTES) {
      throw refuse('labels', `Invalid label key [${key}]: it must match ${LABEL_KEY.source}.`);
    }
    if (!LABEL_VALUE.test(value)) {
      throw refuse('labels', `Invalid value [${value}] of label [${key}]: it must match ${LABEL_VALUE.source}.`);
    }
  }
  for (const [key] of annotations) {
    if (!ANNOTATION_KEY.test(key)) throw refuse('annotations', `Invalid annotation key [${key}].`);
  }
  if (annotations.reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value), 0) > MAX_ANNOTATION_BYTES) {
    throw refuse('annotations', 'The total size of annotation keys and values must be less than 16KiB.');
  }
  for (const [alias, version] of aliases) {
    if (!ALIAS.test(alias) || alias === 'latest') throw refuse('version_aliases', `Invalid version alias [${alias}].`);
    if (!versions.some(({ sequence }) => String(sequence) === version)) {
      throw refuse('version_aliases', `Version alias [${alias}] names version [${version}], which does not exist.`);
    }
  }
  if (fields.rotation && !(fields.topics as unknown[] | undefined)?.length) {
    throw refuse('rotation', 'Secret.topics must be set to configure rotation.');
  }
  return fields;
}

/** Rotation's limits, seconds (google/cloud/secretmanager/v1/resources.proto, Rotation). */
const SOONEST_ROTATION_S = 300;
const ROTATION_PERIOD_S = [3600, 3_153_600_000] as const;

/** Checks the times of the fields that a request sets; `before`: the rotation as it was, `now`: milliseconds since the epoch. */
export function checkSecretTimes({ expireTime, rotation }: JsonObject, now: number, before: JsonObject = {}): void {
  const refuse = (field: string, description: string) =>
    invalid(description, { field: `secret.${field}`, description });
  if (expireTime && Date.parse(String(expireTime)) <= now) {
    throw refuse('expire_time', 'Secret.expire_time must be in the future.');
  }
  const { nextRotationTime, rotationPeriod } = (rotation ?? {}) as JsonObject;
  if (rotationPeriod && !nextRotationTime) {
    throw refuse('rotation.next_rotation_time', 'next_rotation_time must be set if rotation_period is set.');
  }
  const soonest = now + SOONEST_ROTATION_S * 1000;
  const changed = nextRotationTime !== before.nextRotationTime;
  if (nextRotationTime && changed && Date.parse(String(nextRotationTime)) < soonest) {
    throw refuse('rotation.next_rotation_time', 'next_rotation_time must be at least 300s in the future.');
  }
  const period = Number.parseFloat(String(rotationPeriod ?? ROTATION_PERIOD_S[0]));
  if (period < ROTATION_PERIOD_S[0] || period > ROTATION_PERIOD_S[1]) {
    throw refuse('rotation.rotation_period', 'rotation_period must be at least 3600s and at most 3153600000s.');
  }
}

/** A rotation whose time has passed is due again one period later, as the service sends its notification. */
export function rotationNow(rotation: JsonObject, now: number): JsonObject {
  const due = Date.parse(String(rotation.nextRotationTime ?? ''));
  const period = Number.parseFloat(String(rotation.rotationPeriod ?? '')) * 1000;
  if (!(due <= now) || !(period > 0)) return rotation;
  const next = due + Math.ceil((now - due + 1) / period) * period;
  return { ...rotation, nextRotationTime: new Date(next).toISOString() };
}
