import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('a line that is printed at the exit reaches a reader who is slow and has much to read', async () => {
  const printNow = fileURLToPath(new URL('../../scripts/printNow.ts', import.meta.url));
  const program = `
    import { printNow } from ${JSON.stringify(printNow)};
    process.on('exit', () => printNow('7 passed, 0 failed'));
    console.log('x'.repeat(300_000));
    process.exit(0);`;
  const node = JSON.stringify(process.execPath);
  const child = spawn('sh', ['-c', `${node} --input-type=module -e "$PROGRAM" | (sleep 0.3; tail -n 1)`], {
    env: { PROGRAM: program },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of child.stdout) output += chunk;
  expect(output).toBe('7 passed, 0 failed\n');
});
