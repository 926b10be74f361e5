import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import type { Mount } from '../run/containers.ts';
import type { Volume } from '../run/messages.ts';

/**
 * Volumes of one instance, as directories of this machine: those of secrets and in memory are the instance's own and go with
 * it; those of buckets and file servers stay, and all instances share them. A process of this machine sees them elsewhere than a
 * container would, so variables that name a mounted path are changed to where it is here.
 */
export interface InstanceVolumes {
  /** The variables with paths of this machine in the place of mounted ones. */
  localPaths(env: Record<string, string>, mounts: Mount[]): Record<string, string>;
  remove(): void;
}

export function makeVolumes(
  stateDir: string,
  mounts: Mount[],
  files: Record<string, Record<string, Buffer>>,
): InstanceVolumes {
  let own: string | undefined;
  const ownDirectory = (name: string) => {
    if (own === undefined) {
      mkdirSync(join(stateDir, 'volumes'), { recursive: true, mode: 0o700 });
      own = mkdtempSync(join(stateDir, 'volumes', 'instance-'));
    }
    return join(own, name);
  };
  const directories = new Map<string, string>();
  for (const { volume } of mounts) {
    const { name = '' } = volume;
    if (directories.has(name)) continue;
    const directory = sharedDirectory(stateDir, volume) ?? ownDirectory(name);
    mkdirSync(directory, { recursive: true });
    directories.set(name, directory);
    for (const [path, content] of Object.entries(files[name] ?? {})) {
      const file = within(directory, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content, { mode: 0o400 });
    }
  }
  return {
    localPaths(env, ofContainer) {
      const here = (value: string) => {
        const mount = ofContainer.find(({ path }) => value === path || value.startsWith(`${path}/`));
        if (!mount) return value;
        return `${directories.get(mount.volume.name ?? '')}${value.slice(mount.path.length)}`;
      };
      return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, here(value)]));
    },
    remove() {
      if (own !== undefined) rmSync(own, { recursive: true, force: true });
    },
  };
}

/** The folder of a volume that outlives the instance. Undefined for a volume that does not. */
function sharedDirectory(stateDir: string, { gcs, nfs }: Volume): string | undefined {
  if (gcs) return within(join(stateDir, 'buckets'), gcs.bucket || 'unnamed');
  if (nfs) return within(join(stateDir, 'nfs'), `${nfs.server || 'unnamed'}/${nfs.path ?? ''}`);
  return undefined;
}

/** A path below a directory, whatever a template says. */
function within(directory: string, path: string): string {
  const full = resolve(directory, `./${path}`);
  if (!full.startsWith(resolve(directory) + sep)) throw new Error(`${path} leads out of its volume`);
  return full;
}
