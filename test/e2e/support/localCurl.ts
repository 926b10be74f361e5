import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Writes a `curl` that reaches the local Google Cloud by Cloud Run's own address, which printed commands have, into a new folder
 * `bin` of `folder`. Answers that folder, for the front of `PATH`. The shell must have read `DIR/env`.
 */
export function localCurl(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const real = spawnSync('sh', ['-c', 'command -v curl'], { encoding: 'utf8' }).stdout.trim();
  const words = `"\${@//https:\\/\\/run.googleapis.com\\//$CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN}"`;
  writeFileSync(join(bin, 'curl'), `#!/bin/bash\nexec ${real} ${words}\n`);
  chmodSync(join(bin, 'curl'), 0o755);
  return bin;
}
