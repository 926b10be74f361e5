import { NoBinariesError } from '../../../sandbox/envtest/go.ts';
import { findGitopsBinaries } from './binaries.ts';

/** Builds the programs before the first test. Without them nothing runs, and the exit code is 3. */
export default async function setup(): Promise<void> {
  try {
    await findGitopsBinaries({ progress: console.log });
  } catch (error) {
    if (!(error instanceof NoBinariesError)) throw error;
    console.error(`NOT RUN: npm run test:gitops: ${error.message}`);
    process.exit(3);
  }
}
