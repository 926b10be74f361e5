import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, PROJECT, spec, until, type World } from './support/world.ts';

/** The command as users have it: packed by npm, installed without this repository, started from a folder of the user's. */

const ROOT = new URL('../../', import.meta.url).pathname;
const KUBECTL_PATH = `${process.env.PATH}${delimiter}/usr/lib/google-cloud-sdk/bin`;
const hasKubectl = spawnSync('kubectl', ['version', '--client'], { env: { PATH: KUBECTL_PATH } }).status === 0;
if (!hasKubectl) console.warn('kubectl is not installed: `kubectl aitenant` is not tested');
const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;
if (!hasScript) console.warn('script (util-linux) is not installed: --watch on a terminal is not tested');

/** Moves to the top left corner of a terminal. */
const HOME = '\u001b[H';

let installed: string;
beforeAll(() => {
  installed = mkdtempSync(join(tmpdir(), 'aitenant-installed-'));
  const made = spawnSync(
    process.execPath,
    ['scripts/bundle.mjs', `--outdir=${installed}/dist`, '--package', 'aitenant'],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  );
  expect(made).toMatchObject({ status: 0, stderr: '' });
  const npm = (...args: string[]) => spawnSync('npm', args, { cwd: installed, encoding: 'utf8' });
  expect(npm('pack', '--silent', './dist/aitenant')).toMatchObject({ status: 0 });
  const [packed = ''] = readdirSync(installed).filter(name => name.endsWith('.tgz'));
  expect(packed).toBe(`aitenant-${packageJson.version}.tgz`);
  // Offline: it needs nothing but its own file.
  const install = npm(
    'install',
    '--global',
    '--offline',
    '--no-audit',
    '--no-fund',
    '--prefix',
    installed,
    `./${packed}`,
  );
  expect(install).toMatchObject({ status: 0 });
}, 120_000);
afterAll(() => rmSync(installed, { recursive: true, force: true }));

let world: World;
let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'aitenant-user-'));
  world.cluster.adminKubeconfig(join(folder, 'kubeconfig'));
  env = {
    PATH: [join(installed, 'bin'), dirname(process.execPath), KUBECTL_PATH].join(delimiter),
    HOME: folder,
    NO_COLOR: '1',
    KUBECONFIG: join(folder, 'kubeconfig'),
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: world.gcpUrl,
  };
});
afterEach(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function run(command: string, args: string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(command, args, { cwd: folder, env: { ...env, ...more } });
  child.stdin.end();
  const ended: Ended = { code: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    ended.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    ended.err += text;
  });
  return new Promise(resolve => child.on('close', code => resolve({ ...ended, code })));
}
const aitenant = (...args: string[]) => run('aitenant', args);
const sh = (script: string, more?: NodeJS.ProcessEnv) => run('bash', ['-e', '-c', script], more);

function manifest(name: string, over: JsonObject = {}): void {
  mkdirSync(join(folder, 'tenants'), { recursive: true });
  const object = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata: { name }, spec: spec(over) };
  writeFileSync(join(folder, `tenants/${name}.yaml`), stringify(object));
}

describe('installed from its package', () => {
  test('it is one file without dependencies, with its licence', () => {
    const place = join(installed, 'lib/node_modules/aitenant');
    expect(readdirSync(place).sort()).toEqual([
      'LICENSE',
      'README.md',
      'aitenant.cjs',
      'aitenant.cjs.LEGAL.txt',
      'aitenant.cjs.cdx.json',
      'package.json',
    ]);
    expect(JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')).dependencies).toBeUndefined();
  });

  test('it says how it is used, and which version it is', async () => {
    expect(await aitenant('version')).toEqual({ code: 0, out: `aitenant ${packageJson.version}\n`, err: '' });
    const help = await aitenant('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const command of ['status', 'plan', 'import', 'guardrail']) {
      expect(help.out).toMatch(new RegExp(`^ {2}${command} `, 'm'));
      const own = await aitenant(command, '--help');
      expect(own).toMatchObject({ code: 0, err: '', out: expect.stringContaining(`Usage: aitenant ${command} `) });
      expect(await aitenant('help', command)).toEqual(own);
    }
  });

  test.each([
    [[], /^Usage: aitenant COMMAND/],
    [['sttaus'], /^aitenant: there is no command "sttaus"\. Did you mean status\? See aitenant --help\.$/m],
    [['xyz'], /^aitenant: there is no command "xyz"\. See aitenant --help\.$/m],
    [['-n', 'x', 'status'], /the command comes first: aitenant COMMAND -n …/],
    [
      ['status', '--wacth'],
      /^status: Unknown option '--wacth'\. Did you mean --watch\?\nSee aitenant status --help\.$/m,
    ],
    [['plan', '--prject', 'x'], /Did you mean --project\?\nSee aitenant plan --help\.$/m],
    [['constructor'], /there is no command "constructor"/],
  ])('%j: exit code 1 and what to write instead', async (args, expected) => {
    const { code, out, err } = await aitenant(...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(expected);
  });

  test.skipIf(!hasKubectl)('kubectl runs it as a plug-in, and its help says so', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const shown = await run('kubectl', ['aitenant', 'status', 'tenant-a']);
    expect(shown).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^default\/tenant-a {2}ready/) });
    expect((await run('kubectl', ['aitenant', 'plan', '--help'])).out).toMatch(/^Usage: kubectl aitenant plan /);
    expect((await run('kubectl', ['plugin', 'list'])).out).toContain('kubectl-aitenant');
  });

  test('plan needs no cluster: the CRD is in the file', async () => {
    await world.secret('tenant-a-openai-key');
    manifest('tenant-a');
    const planned = await run('aitenant', ['plan', '-f', 'tenants', '--project', PROJECT], { KUBECONFIG: '/nowhere' });
    expect(planned).toMatchObject({
      code: 2,
      err: '',
      out: expect.stringMatching(/\nPlan: \d to add, 0 to change, 0 to remove\.\n$/),
    });
    manifest('tenant-a', { region: 'moon' });
    expect(await aitenant('plan', '-f', 'tenants')).toMatchObject({
      code: 1,
      err: expect.stringContaining('spec.region'),
    });
  });

  test('an old Node.js gets a sentence, not a stack', () => {
    const file = readFileSync(join(installed, 'lib/node_modules/aitenant/aitenant.cjs'), 'utf8');
    const [hashbang = '', check = ''] = file.split('\n');
    expect(hashbang).toBe('#!/usr/bin/env node');
    const old = `Object.defineProperty(process.versions, 'node', { value: '20.1.0' });${check}console.log('goes on')`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', old], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^aitenant needs Node\.js 24 or newer; this is v/);
  });
});

describe('status', () => {
  test('shows the way of a tenant that waits, and then is ready', async () => {
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'DependencyNotFound');
    await until(
      async () => {
        const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
        return conditions.some(({ type, status }) => type === 'ServiceAccountReady' && status === 'True') || undefined;
      },
      () => 'the account to be ready',
    );
    const waiting = await aitenant('status', 'tenant-a');
    expect(waiting).toMatchObject({ code: 0, err: '' });
    expect(waiting.out).toMatch(/^default\/tenant-a {2}waits \(DependencyNotFound\), not ready for \d+s$/m);
    expect(waiting.out).toMatch(/^ {2}done +service account +sa-tenant-a@demo-project/m);
    expect(waiting.out).toMatch(/^ {2}waits +keys +0 of 1 granted\n +DependencyNotFound: .*gcloud secrets create/m);
    await world.secret('tenant-a-openai-key');
    await world.ready('tenant-a');
    expect((await aitenant('status', '-A')).out).toMatch(/^default +tenant-a +ready +UpToDate +asia-northeast1 +\S+/m);
    const { tenants } = JSON.parse((await aitenant('status', 'tenant-a', '-o', 'json')).out);
    expect(tenants).toMatchObject([
      { state: 'ready', parts: expect.arrayContaining([expect.objectContaining({ kind: 'Url' })]) },
    ]);
  });

  test('reads the cluster alone', async () => {
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'DependencyNotFound');
    const nowhere = { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://127.0.0.1:1' };
    expect(await run('aitenant', ['status'], nowhere)).toMatchObject({ code: 0, err: '' });
  });

  test.each([
    [['tenant-b'], {}, 'status: there is no AiTenant tenant-b in namespace default. Did you mean tenant-a?'],
    [
      ['tenant-a', '-n', 'other'],
      {},
      'status: there is no AiTenant tenant-a in namespace other. It is in namespace default: add -n default.',
    ],
    [['--context', 'nowhere'], {}, 'status: there is no context "nowhere" in '],
    [['--kubeconfig', '/'], {}, "status: the kubeconfig / can't be read: this is a folder"],
    [[], { KUBECONFIG: '/nowhere' }, 'status: there is no cluster to talk to: KUBECONFIG names /nowhere'],
  ])('%j %j: %s', async (args, more, expected) => {
    await world.apply('tenant-a', spec());
    const { code, out, err } = await run('aitenant', ['status', ...args], more);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain(expected);
  });

  test('an empty namespace is no error', async () => {
    expect(await aitenant('status', '-n', 'empty')).toEqual({
      code: 0,
      out: '',
      err: 'There is no AiTenant in namespace empty.\n',
    });
    expect(JSON.parse((await aitenant('status', '-o', 'json')).out)).toEqual({ schemaVersion: 1, tenants: [] });
  });

  /** Starts `status --watch` and answers what it has printed so far. */
  function watching(command: string, ...args: string[]) {
    const child = spawn(command, args, { cwd: folder, env: { ...env, TERM: 'xterm' } });
    const shown = { out: '', code: undefined as number | null | undefined };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown.out += text;
    });
    const closed = new Promise<void>(resolve =>
      child.on('close', code => {
        shown.code = code;
        resolve();
      }),
    );
    const has = (expected: RegExp) =>
      until(
        async () => expected.exec(shown.out) ?? undefined,
        () => `${expected} in\n${shown.out}`,
      );
    return { child, shown, closed, has };
  }

  test('--watch appends each change to a file, until the tenant is deleted', async () => {
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'DependencyNotFound');
    const one = watching('aitenant', 'status', 'tenant-a', '--watch');
    const all = watching('aitenant', 'status', '-A', '--watch', '-o', 'json');
    await one.has(/waits \(DependencyNotFound/);
    await all.has(/"state":"waiting"/);
    await world.secret('tenant-a-openai-key');
    await one.has(/ready \(UpToDate/);
    await world.remove('tenant-a');
    await one.has(/default\/tenant-a is deleted\.\n$/);
    await one.closed;
    expect(one.shown.code).toBe(0);
    expect(one.shown.out).not.toContain('\u001b');
    await all.has(/"deleted":\[\{"namespace":"default","name":"tenant-a"\}\]\}\n$/);
    for (const line of all.shown.out.trimEnd().split('\n')) expect(JSON.parse(line).schemaVersion).toBe(1);
    all.child.kill();
    await all.closed;
  });

  test.skipIf(!hasScript)('--watch draws a terminal again', async () => {
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'DependencyNotFound');
    const screen = watching('script', '-qfec', 'aitenant status --watch', '/dev/null');
    const frame = (expected: RegExp) =>
      until(
        async () => expected.exec(screen.shown.out.split(HOME).at(-1) ?? '') ?? undefined,
        () => `${expected} in\n${screen.shown.out}`,
      );
    // The terminal of `script` has no size, so nothing is cut.
    await frame(/Ctrl-C ends.*waits +DependencyNotFound.*gcloud secrets create .*\n1 tenant: 1 waits\./s);
    await world.secret('tenant-a-openai-key');
    await frame(/Ctrl-C ends.*ready +UpToDate/s);
    expect(screen.shown.out).toContain(HOME);
    screen.child.kill();
    await screen.closed;
  });
});

describe('the workflow for pull requests', () => {
  const workflow = parse(readFileSync(join(ROOT, 'examples/pull-request/plan.yml'), 'utf8'));
  const steps: { name?: string; run?: string }[] = workflow.jobs.plan.steps;
  const step = (name: string) => steps.find(each => each.name === name)?.run ?? '';

  /** A `gh` that keeps its arguments, and has a comment of each bot and person. */
  function installGh(comments: { id: number; user: { login: string }; body: string }[]): void {
    const path = join(installed, 'bin/gh');
    writeFileSync(join(folder, 'comments.json'), JSON.stringify(comments));
    writeFileSync(
      path,
      `#!/usr/bin/env node
const fs = require('node:fs');
const args = process.argv.slice(2);
fs.appendFileSync('gh.log', JSON.stringify(args) + '\\n');
if (args.includes('--jq')) {
  const mark = /startswith\\("(.*?)"\\)/.exec(args.at(-1))[1];
  const login = /login == "(.*?)"/.exec(args.at(-1))[1];
  for (const { id, user, body } of JSON.parse(fs.readFileSync('comments.json', 'utf8')))
    if (user.login === login && body.startsWith(mark)) console.log(id);
}
`,
    );
    chmodSync(path, 0o755);
  }

  async function playPlan(): Promise<{ comment: string; calls: string[][]; result: number | null }> {
    const github = {
      ...Object.fromEntries(Object.entries(workflow.env).map(([name, value]) => [name, String(value)])),
      AITENANT_PROJECT: PROJECT,
      GITHUB_OUTPUT: join(folder, 'output'),
      GITHUB_REPOSITORY: 'acme/tenants',
      NUMBER: '7',
    };
    for (const name of ['Plan', 'Comment']) expect(await sh(step(name), github)).toMatchObject({ code: 0 });
    const [, code = ''] = /^code=(\d)$/m.exec(readFileSync(join(folder, 'output'), 'utf8')) ?? [];
    const { code: result } = await sh(step('Result'), { CODE: code });
    const calls = readFileSync(join(folder, 'gh.log'), 'utf8').trimEnd().split('\n');
    const comment = readFileSync(join(folder, 'comment.md'), 'utf8');
    return { comment, calls: calls.map(line => JSON.parse(line) as string[]), result };
  }

  test('comments, and changes its own comment later', async () => {
    await world.secret('tenant-a-openai-key');
    manifest('tenant-a');
    const mark = '<!-- aitenant-plan -->\n';
    installGh([{ id: 1, user: { login: 'octocat' }, body: mark }]);
    const first = await playPlan();
    expect(first.comment).toMatch(/^<!-- aitenant-plan -->\n### Plan: \d to add, 0 to change, 0 to remove\.\n/);
    expect(first.calls.at(-1)).toEqual([
      ...['api', '--silent', '--method', 'POST', 'repos/acme/tenants/issues/7/comments'],
      ...['--field', 'body=@comment.md'],
    ]);
    expect(first.result).toBe(0);
    installGh([
      { id: 1, user: { login: 'octocat' }, body: mark },
      { id: 2, user: { login: 'github-actions[bot]' }, body: 'another one' },
      { id: 3, user: { login: 'github-actions[bot]' }, body: first.comment },
    ]);
    const second = await playPlan();
    expect(second.calls.at(-1)).toContain('repos/acme/tenants/issues/comments/3');
  });

  test('a manifest that the API server would refuse fails the workflow, with a comment', async () => {
    manifest('tenant-a', { region: 'moon' });
    installGh([]);
    const { comment, result } = await playPlan();
    expect(comment).toBe('<!-- aitenant-plan -->\n### The plan failed. The log of the workflow says why.\n');
    expect(result).toBe(1);
    expect(existsSync(join(folder, 'plan.md'))).toBe(true);
  });
});
