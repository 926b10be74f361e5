import { afterEach, expect, test, vi } from 'vitest';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';

afterEach(() => vi.unstubAllEnvs());

test.each([
  ['the place of compiled code', '/somewhere/compiled', '/somewhere/compiled'],
  ['nothing where this process keeps no compiled code', undefined, undefined],
])('The processes of the built-in images that run a file get %s', (_, here, theirs) => {
  vi.stubEnv('NODE_COMPILE_CACHE', here);

  const ofFiles = builtInImages().filter(({ command }) => command.at(-1)?.endsWith('.ts'));

  expect(ofFiles.length).toBeGreaterThan(3);
  for (const { env } of ofFiles) expect(env?.NODE_COMPILE_CACHE).toBe(theirs);
});
