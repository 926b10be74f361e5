import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from './progress.ts';

/** Marks a folder as made by a sandbox, which may then write and delete the files in it. */
const MARKER = '.aitenant-sandbox';
const MARKER_TEXT =
  'Made by `npm run sandbox`, which writes and deletes files in this folder. It leaves folders without this file alone.\n';

/**
 * Makes the folder, or uses one that is empty or has the marker. Throws `Failure` for any other folder, because the sandbox would
 * overwrite the user's files in it: it deletes `logs` and writes `kubeconfig` and `env`.
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
      `${state} contains files that were not made by a sandbox and would be overwritten. Name a new or an empty folder: ` +
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

/** Removes symbolic links with these names, so that the sandbox does not overwrite their target, such as ~/.kube/config. */
async function withoutLinks(state: string, entries: string[]): Promise<void> {
  for (const path of WRITTEN.filter(name => entries.includes(name)).map(name => join(state, name)))
    if ((await lstat(path)).isSymbolicLink()) await rm(path);
}

/** True for a folder of version 0.1, which wrote no marker but a file `env` that names the folder. */
async function isOfEarlierVersion(state: string): Promise<boolean> {
  const exports = await readFile(join(state, 'env'), 'utf8').catch(() => '');
  return /^export CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http:/m.test(exports) && exports.includes(join(state, 'gcloud'));
}
