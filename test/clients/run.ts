import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';

const USAGE = `Usage: npm run test:clients [-- node python go java]

The manual's steps with Google's own clients against the local Google Cloud. What is installed is used, and what the clients need is
fetched from the package registries once, into ~/.cache/aitenant-operator/clients. A language without its tools is NOT RUN.
Exit code 0 if every client that ran saw what it should.
`;

const here = fileURLToPath(new URL('.', import.meta.url));
const cache = join(homedir(), '.cache/aitenant-operator/clients');
const { positionals, values } = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } });
const LANGUAGES = ['node', 'python', 'go', 'java'] as const;
type Language = (typeof LANGUAGES)[number];
const PYTHON = [
  'google-cloud-run==0.16.2',
  'google-cloud-secret-manager==2.32.0',
  'google-cloud-resource-manager==1.19.0',
  'google-cloud-service-usage==1.18.0',
  'google-api-python-client==2.202.0',
  'google-crc32c==1.9.0',
];

/** Runs a command to its end; the shell's exit code, 127 where there is none such. */
function run(cwd: string, command: string, ...args: string[]): number {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit', timeout: 600_000 });
  return error ? 127 : (status ?? 1);
}

const has = (command: string, ...args: string[]) => !spawnSync(command, args, { stdio: 'ignore' }).error;

/** What a language needs, then the command that takes the endpoint as its last argument; a text: why it is not run. */
const PREPARE: Record<Language, () => string[] | string> = {
  node: () => [process.execPath, join(here, 'manual.ts')],
  python() {
    if (!has('python3', '--version')) return 'python3 is not installed';
    const python = join(cache, 'python/bin/python');
    if (!existsSync(python) && run(cache, 'python3', '-m', 'venv', 'python') !== 0) return 'python3 has no venv';
    if (run(cache, python, '-m', 'pip', 'install', '--quiet', ...PYTHON) !== 0)
      return 'pip could not fetch the clients';
    return [python, join(here, 'manual.py')];
  },
  go() {
    if (!has('go', 'version')) return 'go is not installed';
    const built = run(join(here, 'go'), 'go', 'build', '-o', join(cache, 'manual-go'), '.');
    return built === 0 ? [join(cache, 'manual-go')] : 'the clients could not be fetched or built';
  },
  java() {
    if (!has('mvn', '--version')) return 'mvn is not installed';
    cpSync(join(here, 'java/pom.xml'), join(cache, 'java/pom.xml'));
    cpSync(join(here, 'java/Manual.java'), join(cache, 'java/src/main/java/Manual.java'));
    if (run(join(cache, 'java'), 'mvn', '-q', '-B', 'compile') !== 0)
      return 'the clients could not be fetched or built';
    return [
      'mvn',
      '-q',
      '-B',
      '-f',
      join(cache, 'java/pom.xml'),
      'exec:java',
      '-Dexec.mainClass=Manual',
      '-Dexec.args=',
    ];
  },
};

async function main(): Promise<number> {
  const chosen = positionals.length > 0 ? positionals : [...LANGUAGES];
  const unknown = chosen.find(one => !LANGUAGES.includes(one as Language));
  if (unknown !== undefined) {
    console.error(`There is no client in ${unknown}: choose among ${LANGUAGES.join(', ')}.`);
    return 2;
  }
  mkdirSync(cache, { recursive: true });
  const stateDir = mkdtempSync(join(tmpdir(), 'aitenant-clients-'));
  const instances = await startInstances({ runtime: realRuntime, stateDir, images: builtInImages() });
  const core = createGcpCore({
    runtime: realRuntime,
    projects: [{ id: 'demo-project', number: '123456789012' }],
    containers: instances.containers,
    urls: instances.urls,
    logUri: instances.logUri,
    logLines: instances.logLines,
  });
  instances.attach(core.run);
  const server = await startGcpServer({ core });
  const lines: string[] = [];
  let failed = 0;
  for (const language of chosen as Language[]) {
    console.log(`── ${language}`);
    const command = PREPARE[language]();
    if (typeof command === 'string') {
      lines.push(`${language}: NOT RUN: ${command}`);
      continue;
    }
    const last = command.at(-1)?.endsWith('=') ? [`${command.pop()}${server.url}`] : [server.url];
    const [file = '', ...args] = [...command, ...last];
    const status = await new Promise<number>(resolve => {
      spawn(file, args, { stdio: 'inherit' })
        .once('exit', code => resolve(code ?? 1))
        .once('error', () => resolve(127));
    });
    if (status !== 0) failed++;
    lines.push(`${language}: ${status === 0 ? 'ok' : `FAILED (exit code ${status})`}`);
  }
  await server.close();
  core.run.close();
  await instances.stop();
  rmSync(stateDir, { recursive: true, force: true });
  console.log(lines.join('\n'));
  return failed > 0 ? 1 : 0;
}

if (values.help) console.log(USAGE);
else process.exitCode = await main();
