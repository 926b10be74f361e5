import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A git repository in a folder of this machine. */
export interface GitRepository {
  /** The address for the GitOps tools: `file:///…`. */
  url: string;
  folder: string;
  /** Writes files (null: removes one), paths from the root, and commits them to `main`. Returns the commit. */
  commit(files: Record<string, string | null>, message: string): string;
  /** Reverts the newest commit by a new one. */
  revert(): string;
}

export function createRepository(folder: string): GitRepository {
  mkdirSync(folder, { recursive: true });
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'test',
    GIT_AUTHOR_EMAIL: 'test@example.com',
    GIT_COMMITTER_NAME: 'test',
    GIT_COMMITTER_EMAIL: 'test@example.com',
  };
  const git = (...args: string[]) => execFileSync('git', args, { cwd: folder, encoding: 'utf8', env, stdio: 'pipe' });
  const head = () => git('rev-parse', 'HEAD').trim();
  git('init', '--quiet', '--initial-branch=main');
  git('commit', '--quiet', '--allow-empty', '--message=empty');
  return {
    url: pathToFileURL(folder).href,
    folder,
    commit(files, message) {
      for (const [path, content] of Object.entries(files)) {
        const target = join(folder, path);
        if (content === null) rmSync(target);
        else {
          mkdirSync(dirname(target), { recursive: true });
          writeFileSync(target, content);
        }
      }
      git('add', '--all');
      git('commit', '--quiet', `--message=${message}`);
      return head();
    },
    revert() {
      git('revert', '--no-edit', 'HEAD');
      return head();
    },
  };
}
