import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { commandLine } from '../commandLine.ts';
import { dashboardSvg, type Panel, type Series } from './dashboard.ts';
import { terminalSvg } from './terminal.ts';

const HELP = `npm run screens [-- --seconds N]
Makes docs/screens/*.svg of what really runs: a sandbox, kubectl, plan, and the dashboard's queries on a Prometheus that
scrapes the operator for N seconds (default 90). Needs kubectl, gcloud and prometheus on the PATH.`;

const { values } = commandLine(HELP, { options: { seconds: { type: 'string', default: '90' } } });

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCREENS = join(ROOT, 'docs/screens');
const BASE = 26_500;
const state = mkdtempSync(join(tmpdir(), 'screens-'));
const PATH = `${process.env.PATH}:/usr/lib/google-cloud-sdk/bin`;
mkdirSync(SCREENS, { recursive: true });

const sandbox = spawn(process.execPath, ['sandbox/main.ts', '--state', state, '--port-base', String(BASE)], {
  cwd: ROOT,
  env: { ...process.env, FORCE_COLOR: '1' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let shown = '';
sandbox.stdout.setEncoding('utf8').on('data', (text: string) => {
  shown += text;
});
try {
  for (let waited = 0; !shown.includes('Ctrl-C stops everything.'); waited++) {
    if (sandbox.exitCode !== null || waited > 600) throw new Error(`the sandbox did not start:\n${shown}`);
    await sleep(100);
  }
  save('sandbox', terminalSvg('npm run sandbox', shown.replaceAll(state, '.sandbox')));

  const prometheus = await startPrometheus();
  const began = Date.now() / 1_000;
  await bash(`printf sk-sandbox-1 | gcloud secrets create careful-key --labels=ai-tenant-namespace=default --data-file=-
    kubectl apply -f examples/rollouts.yaml && kubectl wait --for=condition=Ready aitenant/careful --timeout=60s
    for n in 1 2 3 4 5 6; do sed "s/tenant-a$/tenant-$n/" examples/tenant-a.yaml | kubectl apply -f -; done
    kubectl patch aitenant careful --type=merge -p '{"spec":{"image":"example.com/missing:1"}}'
    sed "s/tenant-a$/unconsented/; s/tenant-a-openai-key/somebodys-key/" examples/tenant-a.yaml | kubectl apply -f -
    kubectl wait --for=condition=Ready aitenant/tenant-6 --timeout=60s`);
  await sleep(Number(values.seconds) * 500);
  await bash(`kubectl patch aitenant tenant-3 --type=merge -p '{"spec":{"timeoutSeconds":60}}'
    kubectl delete aitenant tenant-6`);
  await sleep(Number(values.seconds) * 500);

  const kubectl = ['kubectl get aitenants', 'kubectl get events --field-selector involvedObject.name=careful'];
  save('kubectl', terminalSvg('kubectl', await session(kubectl)));
  await bash('kubectl apply -f examples/plan/namespace.yaml');
  await bash('printf x | gcloud secrets create planned-key --labels=ai-tenant-namespace=planned --data-file=-');
  save(
    'plan',
    terminalSvg('npm run plan', await session(['npm run -s plan -- -f examples/plan --project=demo-project'])),
  );
  save('dashboard', await dashboard(prometheus.url, began));
  prometheus.stop();
} finally {
  sandbox.kill('SIGTERM');
  await new Promise(resolve => (sandbox.exitCode === null ? sandbox.once('exit', resolve) : resolve(undefined)));
  rmSync(state, { recursive: true, force: true });
}

function save(name: string, svg: string): void {
  writeFileSync(join(SCREENS, `${name}.svg`), svg);
  console.log(`docs/screens/${name}.svg`);
}

/** What a terminal shows of these commands, prompts and all. */
async function session(commands: string[]): Promise<string> {
  let text = '';
  for (const command of commands) text += `$ ${command}\n${await bash(command)}\n`;
  return text;
}

/** With the sandbox's exports; what it prints, whatever its exit code. */
function bash(script: string): Promise<string> {
  const env = { ...process.env, PATH, HOME: state, FORCE_COLOR: '1' };
  const exports = `export KUBECONFIG=${state}/kubeconfig; source ${state}/env; `;
  return new Promise(resolve =>
    execFile('bash', ['-c', exports + script], { cwd: ROOT, env }, (_, out, err) =>
      resolve((out + err).replaceAll(/^(?:npm warn|\(node:).*\n/gm, '')),
    ),
  );
}

async function startPrometheus(): Promise<{ url: string; stop(): void }> {
  const config = {
    global: { scrape_interval: '1s' },
    scrape_configs: [{ job_name: 'aitenant', static_configs: [{ targets: [`127.0.0.1:${BASE + 4}`] }] }],
  };
  writeFileSync(join(state, 'prometheus.yml'), JSON.stringify(config));
  const url = `http://127.0.0.1:${BASE + 5}`;
  const flags = [`--config.file=${state}/prometheus.yml`, `--storage.tsdb.path=${state}/tsdb`];
  const child = spawn('prometheus', [...flags, `--web.listen-address=${url.slice(7)}`], { stdio: 'ignore' });
  for (let waited = 0; !(await fetch(`${url}/-/ready`).catch(() => undefined))?.ok; waited++) {
    if (waited > 100) throw new Error('Prometheus did not start');
    await sleep(100);
  }
  return { url, stop: () => void child.kill('SIGKILL') };
}

/** Each panel of the dashboard with what its queries answer. */
async function dashboard(url: string, from: number): Promise<string> {
  const { panels } = JSON.parse(readFileSync(join(ROOT, 'manifests/monitoring/dashboard.json'), 'utf8')) as {
    panels: (Omit<Panel, 'series'> & { targets: { expr: string; legendFormat: string }[] })[];
  };
  const drawn = await Promise.all(
    panels.map(async ({ targets, ...panel }) => {
      const series = await Promise.all(
        targets.map(({ expr, legendFormat }) => query(url, expr.replaceAll('$job', '.*'), legendFormat, from)),
      );
      return { ...panel, series: series.flat() };
    }),
  );
  return dashboardSvg(drawn);
}

async function query(url: string, expr: string, legend: string, from: number): Promise<Series[]> {
  const range = { query: expr, start: String(from), end: String(Date.now() / 1_000), step: '1' };
  const answer = await fetch(`${url}/api/v1/query_range?${new URLSearchParams(range)}`);
  const { data } = (await answer.json()) as {
    data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
  };
  return data.result.map(({ metric, values }) => ({
    name: legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
    points: values
      .map(([at, value]) => [at - from, Number(value)] as [number, number])
      .filter(([, v]) => !Number.isNaN(v)),
  }));
}
