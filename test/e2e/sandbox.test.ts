import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { answers, givenPorts, givenState, listenOn, sandbox } from './support/sandboxProcess.ts';

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
}

describe('npm run sandbox -- --once', () => {
  test('makes tenant-a as the manual says, calls it, and ends with 0, leaving no key in any file', async () => {
    const [state, base] = [await givenState(), await givenPorts()];

    const run = sandbox(['--once', '--state', state, '--port-base', String(base)]);
    const code = await run.ended;

    expect(run.output()).not.toContain('Failed');
    expect(code).toBe(0);
    const [, url = ''] = /serves at (\S+)/.exec(run.output()) ?? [];
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    for (const fact of [
      `Kubernetes API at http://127.0.0.1:${base}`,
      /aitenant\/tenant-a is Ready: ai-platform-tenant-a-00001-\w+ serves at http:\/\/127\.0\.0\.1:\d+/,
      /service account +sa-tenant-a@demo-project\.iam\.gserviceaccount\.com/,
      /roles\/secretmanager\.secretAccessor on tenant-a-openai-key/,
      /projects\/demo-project\/locations\/asia-northeast1\/services\/ai-platform-tenant-a/,
      '1 CPU, 1Gi, 300s, 0–10 instances, concurrency 80',
      'from secret tenant-a-openai-key, version 1',
      'open to the public',
      '/health answered {"status":"ok"}',
      '/chat {"message":"Hello"} answered {"response":"gpt-3.5-turbo heard: Hello"}',
    ]) {
      if (typeof fact === 'string') expect(run.output()).toContain(fact);
      else expect(run.output()).toMatch(fact);
    }
    expect(await answers(url), 'nothing is left of it').toBe(false);

    const files = await filesBelow(state);
    expect(files.map(file => file.slice(state.length + 1))).toEqual(
      expect.arrayContaining(['env', 'kubeconfig', 'operator.log']),
    );
    for (const file of files) expect(await readFile(file, 'utf8'), file).not.toContain('sk-sandbox-');
  });

  test('a failed step: exit code 1, with what went wrong and what to do', async () => {
    const [state, base] = [await givenState(), await givenPorts()];
    const other = await listenOn(base + 1);

    const run = sandbox(['--once', '--state', state, '--port-base', String(base)]);

    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(`Port ${base + 1} is in use by another program`);
    expect(run.output()).toContain(`--port-base ${base + 101}`);
    other?.close();
  });
});

describe('a sandbox that stays', () => {
  test('survives a rejected promise that nobody handles, and says so', async () => {
    const [state, base] = [await givenState(), await givenPorts()];
    const plant = `process.on('SIGUSR2', () => { Promise.reject(new Error('planted')) })`;
    const env = { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(plant)}` };
    const run = sandbox(['--no-demo', '--state', state, '--port-base', String(base)], env);
    await expect.poll(run.output, { timeout: 40_000 }).toContain('Ctrl-C stops everything.');

    run.child.kill('SIGUSR2');

    await expect.poll(run.output).toMatch(/A bug in the sandbox.*planted/);
    expect(await answers(`http://127.0.0.1:${base}/version`)).toBe(true);
    run.child.kill('SIGTERM');
    expect(await run.ended).toBe(0);
  });

  test('keeps a second one off its state, and leaves no process behind when it is killed', async () => {
    const [state, base] = [await givenState(), await givenPorts()];
    const first = sandbox(['--state', state, '--port-base', String(base)]);
    await expect.poll(first.output, { timeout: 25_000 }).toContain('Ctrl-C stops everything.');

    const second = sandbox(['--once', '--state', state, '--port-base', String(await givenPorts())]);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain('is in use');

    const logs = (await filesBelow(join(state, 'logs'))).map(file => readFile(file, 'utf8'));
    const [, backendPort] = /"port":(\d+)/.exec((await Promise.all(logs)).join('')) ?? [];
    const addresses = [`http://127.0.0.1:${base + 3}/healthz`, `http://127.0.0.1:${backendPort}/health`];
    expect(await Promise.all(addresses.map(answers))).toEqual([true, true]);

    first.child.kill('SIGKILL');
    await first.ended;
    for (const address of addresses) await expect.poll(() => answers(address)).toBe(false);
  });

  test('SIGTERM stops everything in order: exit code 0', async () => {
    const [state, base] = [await givenState(), await givenPorts()];
    const run = sandbox(['--no-demo', '--state', state, '--port-base', String(base)]);
    await expect.poll(run.output, { timeout: 25_000 }).toContain('Ctrl-C stops everything.');

    run.child.kill('SIGTERM');

    expect(await run.ended).toBe(0);
    expect(await readFile(join(state, 'operator.log'), 'utf8')).toContain('"why":"SIGTERM"');
    expect(await answers(`http://127.0.0.1:${base + 3}/healthz`)).toBe(false);
    expect(run.output()).toContain(`Run in it: source ${state}/env.off`);
  });

  test('env.off takes everything back that env and the printed export have set', async () => {
    const [state, base] = [await givenState(), await givenPorts()];
    const run = sandbox(['--no-demo', '--state', state, '--port-base', String(base)]);
    await expect.poll(run.output, { timeout: 25_000 }).toContain('Ctrl-C stops everything.');
    const names = (script: string) =>
      execFileSync(
        'sh',
        ['-c', `${script} env | cut -d= -f1 | grep -E '^(CLOUDSDK|GOOGLE_CLOUD|KUBECONFIG)' || true`],
        {
          encoding: 'utf8',
          env: { PATH: process.env.PATH, KUBECONFIG: join(state, 'kubeconfig') },
        },
      );
    expect(names(`. ${state}/env;`).split('\n').length).toBeGreaterThan(20);
    expect(names(`. ${state}/env; . ${state}/env.off;`)).toBe('');
    expect(names(`KUBECONFIG=/other; . ${state}/env; . ${state}/env.off;`)).toBe('KUBECONFIG\n');
    run.child.kill('SIGTERM');
    await run.ended;
  });

  test('the state folder that the messages suggest is git-ignored', () => {
    expect(execFileSync('git', ['check-ignore', '.sandbox-2/env'], { encoding: 'utf8' })).toBe('.sandbox-2/env\n');
  });
});

describe('options', () => {
  test.each([
    ['--onze', "Unknown option '--onze'"],
    ['--kube=minikube', '--kube=minikube must be one of: memory, envtest, current.'],
    ['--port-base=80', '--port-base 80 must be a whole number from 1024 to 65000.'],
    ['--port-base=x', '--port-base x must be a whole number from 1024 to 65000.'],
    ['tenant-a', "Unexpected argument 'tenant-a'"],
  ])('%s: exit code 2 and where to find help', async (option, message) => {
    const run = sandbox([option]);

    expect(await run.ended).toBe(2);
    expect(run.output()).toContain(message);
    expect(run.output()).toContain('npm run sandbox -- --help');
  });

  test('--help names every option', async () => {
    const run = sandbox(['--help']);

    expect(await run.ended).toBe(0);
    for (const option of [
      '--once',
      '--no-demo',
      '--kube=memory',
      '--kube=envtest',
      '--kube=current',
      '--port-base',
      '--state',
    ]) {
      expect(run.output()).toContain(option);
    }
  });
});
