import { spawn } from 'node:child_process';
import { KUBERNETES_VERSION } from '../../sandbox/envtest/binaries.ts';

/**
 * `npm run test:envtest [-- --kubernetes 1.31] [TEST FILE…]`: the end-to-end tests on a real kube-apiserver. `--kubernetes` chooses an older
 * version, which Go builds at the first run. Every other argument is vitest's.
 */
const args = process.argv.slice(2);
const env = { ...process.env };
const at = args.findIndex(arg => arg.split('=')[0] === '--kubernetes');
if (at >= 0) {
  const [, given] = args[at]?.split('=') ?? [];
  const version = given ?? args[at + 1];
  if (!version) {
    console.error('--kubernetes needs a version: npm run test:envtest -- --kubernetes 1.31');
    process.exit(2);
  }
  args.splice(at, given === undefined ? 2 : 1);
  env[KUBERNETES_VERSION] = version;
}
const child = spawn('vitest', ['run', '--config', 'vitest.envtest.config.ts', ...args], { stdio: 'inherit', env });
// Ctrl-C reaches vitest without this process, which must only outlive it. What else ends this process is handed on.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
child.on('close', (status, signal) => process.exit(signal ? 1 : (status ?? 1)));
