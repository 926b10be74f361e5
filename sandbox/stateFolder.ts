import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from './progress.ts';

/** Stands in every folder that a sandbox made: what is in such a folder is the sandbox's to write and delete. */
const MARKER = '.aitenant-sandbox';
const MARKER_TEXT =
  'Made by `npm run sandbox`, which writes and deletes files in this folder. It leaves folders without this file alone.\n';

/**
 * Makes the folder, or takes one that is empty or carries the marker. Throws `Failure` for any other: a sandbox deletes
 * `logs` and writes `kubeconfig` and `env`, and those of somebody else would be lost.
 */
export async function claimStateFolder(state: string): Promise<void> {
  const marker = join(state, MARKER);
  const entries = await mkdir(state, { recursive: true })
    .then(() => readdir(state))
    .catch((error: Error) => {
      throw new Failure(`The state folder ${state} can't be made: ${error.message}`);
    });
  if (entries.includes(MARKER)) return withoutLinks(state, entries);
  if (entries.length > 0 && !(await isOfEarlierVersion(state))) {
    throw new Failure(
      `${state} holds files that no sandbox made, and they would be overwritten. Name a new or an empty folder: ` +
        'npm run sandbox -- --state .sandbox-2',
    );
  }
  await withoutLinks(state, entries);
  await writeFile(marker, MARKER_TEXT);
}

/** The files and folders that a sandbox writes into its state folder. */
const WRITTEN = [
  'kubeconfig',
  'env',
  'env.off',
  'operator.log',
  'logs',
  'gcloud',
  'envtest',
  'volumes',
  'buckets',
  'nfs',
];

/** A link in the place of one of them leads to somebody's file, such as ~/.kube/config: the link goes, the file stays as it is. */
async function withoutLinks(state: string, entries: string[]): Promise<void> {
  for (const path of WRITTEN.filter(name => entries.includes(name)).map(name => join(state, name)))
    if ((await lstat(path)).isSymbolicLink()) await rm(path);
}

/** Version 0.1 wrote no marker, but its exports name the folder itself. */
async function isOfEarlierVersion(state: string): Promise<boolean> {
  const exports = await readFile(join(state, 'env'), 'utf8').catch(() => '');
  return /^export CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http:/m.test(exports) && exports.includes(join(state, 'gcloud'));
}
