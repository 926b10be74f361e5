import { invalid } from '../errors.ts';
import { isSecretReference } from './instanceEnv.ts';
import type { ContainerTemplate, Template, Volume } from './messages.ts';

/** Directories of the container's own that nothing may be mounted over (Cloud Run, "Configure secrets", "Disallowed paths"). */
const RESERVED = ['/dev', '/proc', '/sys'];
const SOURCES = ['secret', 'emptyDir', 'gcs', 'nfs', 'cloudSqlInstance', 'filestore'] as const;

/** Refuses volumes that Cloud Run would, and mounts of volumes that are not there. */
export function checkVolumes({ volumes = [], containers = [] }: Template): void {
  const names = volumes.map(({ name }) => name ?? '');
  for (const [i, volume] of volumes.entries())
    checkVolume(`spec.template.spec.volumes[${i}]`, volume, names.indexOf(names[i] ?? '') < i);
  for (const [i, container] of containers.entries())
    checkMounts(`spec.template.spec.containers[${i}]`, container, names);
}

function checkVolume(path: string, volume: Volume, isRepeated: boolean): void {
  const { name = '', secret, gcs, nfs } = volume;
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) throw invalid(`${path}.name: '${name}' is not a DNS label.`);
  if (isRepeated) throw invalid(`${path}.name: duplicate volume name '${name}'.`);
  const sources = SOURCES.filter(source => source in volume);
  if (sources.length !== 1) throw invalid(`${path}: exactly one source must be set for volume '${name}'.`);
  // Seen of the real API (github.com/pulumi/pulumi-gcp/issues/1093).
  if ((name === 'cloudsql') !== (sources[0] === 'cloudSqlInstance')) {
    throw invalid(
      `${path}: Cloud SQL volume must be named 'cloudsql', and 'cloudsql' is reserved for Cloud SQL volumes.`,
    );
  }
  if (gcs && !/^[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9]$/.test(gcs.bucket ?? '')) {
    throw invalid(`${path}.csi.volume_attributes.bucketName: '${gcs.bucket ?? ''}' is not the name of a bucket.`);
  }
  if (
    nfs &&
    (!/^[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$/i.test(nfs.server ?? '') ||
      !isBelow(nfs.path?.replace(/^\//, '') || 'x'))
  ) {
    throw invalid(`${path}.nfs: a server and an absolute path are required.`);
  }
  if (!secret) return;
  if (!isSecretReference(secret.secret)) {
    throw invalid(`${path}.secret.secret_name: '${secret.secret ?? ''}' is not a valid secret name.`);
  }
  for (const [at, { path: file = '', version = '' }] of (secret.items ?? []).entries()) {
    if (!isBelow(file)) {
      throw invalid(`${path}.secret.items[${at}].path: '${file}' must be a relative path without '..'.`);
    }
    if (version === '') throw invalid(`${path}.secret.items[${at}].key: a version is required.`);
  }
}

/** True if a relative path stays below its start. */
const isBelow = (path: string): boolean => path.split('/').every(part => !['', '.', '..'].includes(part));

function checkMounts(path: string, { volumeMounts = [] }: ContainerTemplate, volumes: string[]): void {
  const seen = new Set<string>();
  for (const [i, { name = '', mountPath = '' }] of volumeMounts.entries()) {
    const at = `${path}.volume_mounts[${i}]`;
    if (!volumes.includes(name)) throw invalid(`${at}.name: volume '${name}' is not defined.`);
    const parts = mountPath.split('/').slice(1);
    const isAbsolute = mountPath.startsWith('/') && !parts.some(part => part === '..' || part === '.');
    if (!isAbsolute || mountPath === '/' || mountPath.includes(':')) {
      throw invalid(`${at}.mount_path: '${mountPath}' must be an absolute path, and not the root.`);
    }
    const reserved = RESERVED.find(directory => mountPath === directory || mountPath.startsWith(`${directory}/`));
    if (reserved) throw invalid(`${at}.mount_path: nothing can be mounted at or below '${reserved}'.`);
    if (seen.has(mountPath)) throw invalid(`${at}.mount_path: '${mountPath}' is mounted more than once.`);
    seen.add(mountPath);
  }
}
