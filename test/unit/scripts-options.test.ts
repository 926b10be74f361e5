import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

/** Every script of package.json with options of ours: `--help` explains it, and an option that there is not is named. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What a wrong option ends with. `plan` and `guardrail` keep 2 for "there is something to change", and the other commands do as they do. */
const WRONG: Record<string, number> = {
  sandbox: 2,
  operator: 2,
  plan: 1,
  import: 1,
  guardrail: 1,
  status: 1,
  bench: 2,
  fuzz: 2,
  'test:browser': 2,
  'test:sim': 2,
  'test:mutants': 2,
  'test:defences': 2,
};

function run(script: string, option: string): Promise<{ code: number | null; out: string; err: string }> {
  const command = (packageJson.scripts as Record<string, string>)[script] ?? '';
  const [, file = '', ...words] = /\bnode (\S+\.ts)(?: (\w+))?$/.exec(command) ?? [];
  expect(file).not.toBe('');
  return new Promise(resolve => {
    const child = spawn(process.execPath, [file, ...words.filter(word => word !== undefined), option], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const text = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text.out += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text.err += chunk;
    });
    child.on('close', code => resolve({ code, ...text }));
  });
}

test.each(Object.entries(WRONG))('npm run %s', { timeout: 60_000 }, async (script, wrong) => {
  const [help, unknown] = await Promise.all([run(script, '--help'), run(script, '--nonsense')]);
  expect(help).toMatchObject({ code: 0, err: '' });
  expect(help.out.length).toBeGreaterThan(100);
  expect(unknown).toMatchObject({ code: wrong, out: '' });
  expect(unknown.err).toMatch(/--nonsense|-f/);
  expect(unknown.err).toMatch(/--help|^Usage: /m);
  expect(unknown.err).not.toMatch(/^ {4}at /m);
});
