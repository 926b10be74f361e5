import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { createMetrics } from '../../operator/process/metrics.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import { until } from '../e2e/support/world.ts';

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

interface Rule {
  alert: string;
  expr: string;
  for: string;
  labels: { severity: string };
  annotations: { summary: string; description: string; runbook_url: string };
}
const { spec } = parse(file('manifests/monitoring/rules.yaml')) as {
  spec: { groups: { name: string; rules: Rule[] }[] };
};
const rules = spec.groups.flatMap(group => group.rules);
const dashboard = JSON.parse(file('manifests/monitoring/dashboard.json')) as {
  panels: { id: number; title: string; targets: { expr: string }[]; gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[];
};
const queries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr }, n) => ({
    name: n === 0 ? title : `${title} (${n + 1})`,
    expr: expr.replaceAll('$job', '.*'),
  })),
);
const has = (command: string) => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

const NOW = Date.UTC(2030, 0, 1);
const REASONS = ['UpToDate', 'UpdateFailed', 'PermissionDenied', 'Suspended'];

/** The operator's own metrics after some work. */
function someMetrics() {
  const stats = { depth: { edit: 1, retry: 2, resync: 3 }, running: 1, scheduled: 4, longestRunMs: 1500 };
  const metrics = createMetrics(
    () => stats as ReturnType<Parameters<typeof createMetrics>[0]>,
    () => true,
    () => NOW,
  );
  REASONS.forEach((reason, n) => {
    const lastTransitionTime = new Date(NOW - n * 60_000).toISOString();
    const conditions = [{ type: 'Ready', status: 'False', reason, message: 'm', lastTransitionTime }];
    const tenant = readTenant({ metadata: { name: `tenant-${n}`, namespace: 'n' }, status: { conditions } });
    metrics.onReport(tenant, tenant.status);
  });
  const method = 'google.cloud.run.v2.Services.GetService';
  for (const code of ['OK', 'NOT_FOUND'] as const) {
    metrics.onCall({ api: 'run', method, code, durationMs: 20, resource: '' } as Parameters<typeof metrics.onCall>[0]);
  }
  metrics.onRequest({ verb: 'list', resource: 'aitenants', code: 200 });
  metrics.queueHooks.onAdd?.('edit');
  metrics.queueHooks.onStart?.('n/a', 'edit', 5);
  metrics.queueHooks.onEnd?.('n/a', { kind: 'done' }, 30);
  metrics.queueHooks.onRetry?.('n/a', 1, 100);
  return metrics;
}

describe('the metrics', () => {
  test('tell by reason how long the worst tenant has been out of sync', async () => {
    const text = await someMetrics().registry.metrics();
    expect(text).toContain('aitenant_out_of_sync_seconds{reason="UpdateFailed"} 60');
    expect(text).not.toContain('aitenant_out_of_sync_seconds{reason="UpToDate"}');
  });

  test('have no more series with more tenants', async () => {
    const metrics = someMetrics();
    const series = async () =>
      (await metrics.registry.metrics()).split('\n').filter(line => line.startsWith('aitenant_tenants'));
    const before = (await series()).length;
    for (let n = 0; n < 100; n++) {
      const tenant = readTenant({ metadata: { name: `more-${n}`, namespace: `n-${n}` } });
      const condition = {
        type: 'Ready',
        status: 'True',
        reason: 'UpToDate',
        message: '',
        lastTransitionTime: '',
      } as const;
      metrics.onReport(tenant, { ...tenant.status, conditions: [{ ...condition, observedGeneration: 1 }] });
    }
    expect(await series()).toHaveLength(before);
  });
});

describe('the metrics', () => {
  const sampled = async (metrics: ReturnType<typeof createMetrics>, name: string) =>
    (await metrics.registry.metrics())
      .split('\n')
      .filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  const empty = (now: () => number = () => NOW) =>
    createMetrics(
      () => ({ depth: { edit: 0, retry: 0, resync: 0 }, running: 0, scheduled: 0, longestRunMs: 0 }),
      () => true,
      now,
    );
  const report = (metrics: ReturnType<typeof createMetrics>, name: string, reason: string, ageMs = 0, interval = 0) => {
    const status = reason === 'UpToDate' ? 'True' : 'False';
    const lastTransitionTime = new Date(NOW - ageMs).toISOString();
    const conditions = [{ type: 'Ready', status, reason, message: 'm', lastTransitionTime }];
    const tenant = readTenant({ metadata: { name, namespace: 'n' }, status: { conditions } });
    metrics.onReport(tenant, tenant.status, interval);
  };
  const call = (metrics: ReturnType<typeof createMetrics>, code: string) =>
    metrics.onCall({
      api: 'run',
      method: 'google.cloud.run.v2.Services.GetService',
      code,
      durationMs: 20,
      resource: '',
    } as Parameters<typeof metrics.onCall>[0]);

  test('have one series for each tenant that is not Ready, the 1,000 longest at most, and count all', async () => {
    const metrics = empty();
    report(metrics, 'good', 'UpToDate');
    report(metrics, 'bad', 'UpdateFailed', 60_000);
    expect(await sampled(metrics, 'aitenant_not_ready')).toEqual([
      'aitenant_not_ready{namespace="n",name="bad",reason="UpdateFailed"} 60',
    ]);
    for (let i = 0; i < 1_500; i++) report(metrics, `more-${i}`, 'Updating', i);
    const series = await sampled(metrics, 'aitenant_not_ready');
    expect(series).toHaveLength(1_000);
    expect(series[0]).toContain('name="bad"');
    expect(await sampled(metrics, 'aitenant_tenants')).toContain('aitenant_tenants{reason="Updating"} 1500');
    for (let i = 0; i < 1_500; i++) metrics.onGone(`n/more-${i}`);
    expect(await sampled(metrics, 'aitenant_not_ready')).toHaveLength(1);
  });

  test('say for how long no call of an API has worked, and forget it when nobody calls', async () => {
    let now = NOW;
    const metrics = empty(() => now);
    const failing = async () =>
      (await sampled(metrics, 'aitenant_gcp_api_failing_seconds')).find(line => line.includes('"run"'))?.split(' ')[1];
    expect(await failing()).toBe('0');
    call(metrics, 'UNAVAILABLE');
    now += 90_000;
    call(metrics, 'DEADLINE_EXCEEDED');
    now += 30_000;
    expect(await failing()).toBe('120');
    call(metrics, 'PERMISSION_DENIED');
    expect(await failing()).toBe('0');
    call(metrics, 'INTERNAL');
    now += 900_000;
    expect(await failing()).toBe('0');
  });

  test('say by how much the latest check is late; a tenant without an interval never is', async () => {
    let now = NOW;
    const metrics = empty(() => now);
    report(metrics, 'often', 'UpToDate', 0, 600_000);
    report(metrics, 'never', 'UpToDate', 0, 0);
    now += 500_000;
    expect(await sampled(metrics, 'aitenant_resync_late_seconds')).toEqual(['aitenant_resync_late_seconds 0']);
    now += 200_000;
    expect(await sampled(metrics, 'aitenant_resync_late_seconds')).toEqual(['aitenant_resync_late_seconds 100']);
  });

  test('count what is abandoned, by kind', async () => {
    const metrics = empty();
    metrics.onAbandoned([{ type: 'Service' }, { type: 'Service' }, { type: 'ServiceAccount' }]);
    expect(await sampled(metrics, 'aitenant_abandoned_total')).toEqual([
      'aitenant_abandoned_total{kind="ServiceAccount"} 1',
      'aitenant_abandoned_total{kind="SecretAccess"} 0',
      'aitenant_abandoned_total{kind="Service"} 2',
    ]);
  });

  test('exist at 0 from the start, with what runs', async () => {
    const text = await empty().registry.metrics();
    expect(text).toContain('aitenant_gcp_calls_total{api="run",method="GetService",code="UNAVAILABLE"} 0');
    expect(text).toContain('controller_runtime_reconcile_total{controller="aitenant",result="error"} 0');
    expect(text).toContain('workqueue_retries_total{name="aitenant"} 0');
    expect(text).toContain('rest_client_requests_total{verb="list",resource="aitenants",code="0"} 0');
    expect(text).toMatch(/aitenant_build_info\{version="[^"]+",node="v\d+[^"]*"\} 1/);
  });
});

describe('the alerts', () => {
  const runbook = file('docs/runbook.md');

  test.each(rules.map(rule => [rule.alert, rule] as const))(
    '%s has words, a severity and its place in the runbook',
    (alert, rule) => {
      expect(rule.annotations.summary).not.toBe('');
      expect(['page', 'ticket']).toContain(rule.labels.severity);
      expect(rule.annotations.runbook_url.split('docs/runbook.md#')[1]).toBe(alert.toLowerCase());
      expect(runbook).toMatch(new RegExp(`^#+ ${alert}$`, 'm'));
    },
  );

  test('wake somebody for three things only', () => {
    expect(rules.filter(({ labels }) => labels.severity === 'page').map(({ alert }) => alert)).toEqual([
      'AiTenantNoLeader',
      'AiTenantManyNotReady',
      'AiTenantGoogleApiDown',
    ]);
  });
});

test('Alerts and dashboard name metrics that the operator has', async () => {
  const known = new Set(
    (await someMetrics().registry.getMetricsAsJSON()).flatMap(({ name, type }) =>
      String(type) === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  const named = [...rules.map(({ expr }) => expr), ...queries.map(({ expr }) => expr)].flatMap(
    expr => expr.match(/\b(aitenant|workqueue|controller_runtime|leader_election|rest_client)_\w+/g) ?? [],
  );
  expect(named.filter(name => !known.has(name))).toEqual([]);
});

test('The panels of the dashboard do not overlap', () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos } of dashboard.panels) {
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.get(`${x},${y}`), title).toBeUndefined();
        taken.set(`${x},${y}`, title);
      }
    }
  }
});

// .ci/run says NOT RUN where it is missing (Debian package prometheus).
if (!has('promtool') || !has('prometheus')) console.warn('NOT RUN: Prometheus is not installed, so no alert was tried');

describe.skipIf(!has('promtool'))('promtool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'promtool-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  type Series = Record<string, string>;
  const leader = { 'leader_election_master_status{name="aitenant"}': '1x200' };
  const tenants = (reason: string) => `aitenant_tenants{reason="${reason}"}`;
  const bad = (reason: string, name = 'bad') =>
    `aitenant_not_ready{namespace="team",name="${name}",reason="${reason}"}`;
  const calls = (code: string) => `aitenant_gcp_calls_total{api="run",method="GetService",code="${code}"}`;
  const failing = 'aitenant_gcp_api_failing_seconds{api="run"}';
  const refusedIn = 'aitenant_gcp_api_failing_seconds{api="run",project="team-project"}';
  const good = { ...leader, [tenants('UpToDate')]: '100x200', [calls('OK')]: '0+60x200', [failing]: '0x200' };

  const asked = (series: Series, expr: string, samples: object[], at = '2h') => ({
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [{ expr, eval_time: at, exp_samples: samples }],
  });
  const firing = (alert: string) => `count(ALERTS{alertname="${alert}", alertstate="firing"})`;
  const fires = (alert: string, series: Series, at?: string) =>
    asked(series, firing(alert), [{ labels: '{}', value: 1 }], at);
  const quiet = (alert: string, series: Series) => asked(series, firing(alert), []);
  const nobodyWakes = (series: Series) => asked(series, 'count(ALERTS{severity="page"})', []);

  const pages = 'count(ALERTS{severity="page", alertstate="firing"})';
  const everPages = 'count(count_over_time(ALERTS{severity="page", alertstate="firing"}[200m]))';
  const everyApi = (values: string): Series =>
    Object.fromEntries(
      ['run', 'iam', 'secretmanager'].map(api => [`aitenant_gcp_api_failing_seconds{api="${api}"}`, values]),
    );

  /** What makes each alert fire, and what is as near to that as it may be without firing it. */
  const cases: Record<string, { fires: Series; quiet: Series }> = {
    AiTenantNoLeader: { fires: { 'leader_election_master_status{name="aitenant"}': '0x200' }, quiet: leader },
    AiTenantManyNotReady: {
      fires: { ...leader, [tenants('UpToDate')]: '10x200', [tenants('DependencyNotFound')]: '6x200' },
      quiet: { ...leader, [tenants('UpToDate')]: '10x200', [tenants('DependencyNotFound')]: '4x200' },
    },
    AiTenantGoogleApiDown: {
      fires: { ...good, [failing]: '0+60x200' },
      quiet: { ...good, [failing]: '0 60 120 0 60 120 0 60 0x190' },
    },
    AiTenantPermissionDenied: {
      fires: { ...good, [tenants('PermissionDenied')]: '1x200' },
      quiet: { ...good, [tenants('PermissionDenied')]: '1x10 0x190' },
    },
    AiTenantQuotaExceeded: {
      fires: { ...good, [tenants('QuotaExceeded')]: '1x200' },
      quiet: { ...good, [tenants('QuotaExceeded')]: '1x20 0x180' },
    },
    AiTenantStalled: {
      fires: { ...good, [tenants('InvalidSpec')]: '1x200' },
      quiet: { ...good, [tenants('InvalidSpec')]: '1x20 0x180' },
    },
    AiTenantUpdateFailed: {
      fires: { ...good, [tenants('UpdateFailed')]: '1x200' },
      quiet: { ...good, [tenants('UpdateFailed')]: '1x10 0x190' },
    },
    AiTenantDeleteFailed: {
      fires: { ...good, [tenants('DeleteFailed')]: '1x200' },
      quiet: { ...good, [tenants('DeleteFailed')]: '1x20 0x180' },
    },
    AiTenantOutOfSync: {
      fires: { ...good, 'aitenant_out_of_sync_seconds{reason="Updating"}': '0+60x200' },
      quiet: { ...good, 'aitenant_out_of_sync_seconds{reason="UpdateFailed"}': '0+60x200' },
    },
    AiTenantReconcileStuck: {
      fires: { ...good, 'workqueue_longest_running_processor_seconds{name="aitenant"}': '0+60x200' },
      quiet: { ...good, 'workqueue_longest_running_processor_seconds{name="aitenant"}': '290x200' },
    },
    AiTenantEditsWait: {
      fires: { ...good, 'workqueue_depth{name="aitenant",priority="edit"}': '3x200' },
      quiet: { ...good, 'workqueue_depth{name="aitenant",priority="resync"}': '300x200' },
    },
    AiTenantGoogleErrors: {
      fires: { ...good, [calls('UNAVAILABLE')]: '0+60x200' },
      quiet: { ...good, [calls('UNAVAILABLE')]: '0+10x200' },
    },
    AiTenantBug: {
      fires: { ...good, 'aitenant_bugs_total{kind="request"}': '0x100 1x100' },
      quiet: { ...good, 'aitenant_bugs_total{kind="request"}': '3x200' },
    },
    AiTenantLateResyncs: {
      fires: { ...good, aitenant_resync_late_seconds: '0+60x200' },
      quiet: { ...good, aitenant_resync_late_seconds: '1700x200' },
    },
  };

  test('finds every rule well formed; each fires when it should, and not just short of that', () => {
    writeFileSync(join(folder, 'rules.yaml'), stringify(spec));
    expect(Object.keys(cases).sort()).toEqual(rules.map(({ alert }) => alert).sort());
    const tests = [
      asked({ ...good, [tenants('Suspended')]: '30x200' }, 'count(ALERTS)', []),
      fires('AiTenantNoLeader', {}),
      ...Object.entries(cases).flatMap(([alert, one]) => [fires(alert, one.fires), quiet(alert, one.quiet)]),
      // Google Cloud goes down at minute 60 and is down for good: somebody is woken five minutes later.
      fires(
        'AiTenantGoogleApiDown',
        { ...good, [failing]: '0x60 0+60x140', [tenants('NotVerified')]: '0x60 100x140' },
        '65m',
      ),
      // The operator's role is taken away in one project at minute 60: the same.
      {
        ...fires('AiTenantGoogleApiDown', { ...good, [refusedIn]: '_x60 0+60x140' }, '65m'),
        alert_rule_test: [
          {
            eval_time: '65m',
            alertname: 'AiTenantGoogleApiDown',
            exp_alerts: [
              {
                exp_labels: { severity: 'page' },
                exp_annotations: {
                  summary: 'No call of an API of Google Cloud (in one project, or in all) has succeeded for 5m 0s',
                  description:
                    "Affected: run in team-project. Google Cloud or the network path to it is down, or the operator's identity is refused. Tenants continue to serve.",
                  runbook_url: rules.find(({ alert }) => alert === 'AiTenantGoogleApiDown')?.annotations.runbook_url,
                },
              },
            ],
          },
        ],
      },
      // Two hours without credentials, as Google Cloud may answer them: one page fires in all, whichever it is.
      ...[
        { ...everyApi('0x30 0+60x120 0x50'), [tenants('NotVerified')]: '0x60 0+10x10 100x80 0x50' },
        { ...good, [tenants('NotVerified')]: '0x60 0+10x10 100x80 0x50' },
        { ...everyApi('0x30 0+60x120 0x50'), [tenants('PermissionDenied')]: '0x60 0+10x10 100x80 0x50' },
      ].flatMap(series => {
        const outage = { ...good, ...series, [tenants('UpToDate')]: '100x60 100-10x10 0x80 100x50' };
        return [
          asked(outage, pages, [{ labels: '{}', value: 1 }], '120m'),
          asked(outage, everPages, [{ labels: '{}', value: 1 }], '200m'),
        ];
      }),
      // One tenant in whatever state, and one whose calls fail while others' work: nobody is woken.
      ...['UpdateFailed', 'PermissionDenied', 'InvalidSpec', 'DeleteFailed', 'QuotaExceeded', 'NotVerified'].map(
        reason =>
          nobodyWakes({
            ...good,
            [tenants(reason)]: '1x200',
            [bad(reason)]: '0+60x200',
            [calls('INTERNAL')]: '0+6x200',
          }),
      ),
      {
        ...asked({ ...good, [tenants('UpdateFailed')]: '1x200', [bad('UpdateFailed', 'tenant-a')]: '0+60x200' }, '1', [
          { value: 1 },
        ]),
        alert_rule_test: [
          {
            eval_time: '1h',
            alertname: 'AiTenantUpdateFailed',
            exp_alerts: [
              {
                exp_labels: { severity: 'ticket' },
                exp_annotations: {
                  summary: '1 tenants have a revision that does not become ready',
                  description: 'The last good revision continues to serve. The longest: team/tenant-a (UpdateFailed)',
                  runbook_url: rules.find(({ alert }) => alert === 'AiTenantUpdateFailed')?.annotations.runbook_url,
                },
              },
            ],
          },
        ],
      },
    ];
    writeFileSync(
      join(folder, 'tests.yaml'),
      stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }),
    );
    const out = spawnSync('promtool', ['test', 'rules', 'tests.yaml'], { cwd: folder, encoding: 'utf8' });
    expect(out.stdout + out.stderr).toContain('SUCCESS');
    expect(out.status).toBe(0);
    expect(execFileSync('promtool', ['check', 'rules', 'rules.yaml'], { cwd: folder, encoding: 'utf8' })).toContain(
      `SUCCESS: ${rules.length} rules found`,
    );
  });
});

describe.skipIf(!has('prometheus'))('a real Prometheus that scrapes the operator’s metrics', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
  let metrics: Server;
  let prometheus: ChildProcess;
  let url = '';

  beforeAll(async () => {
    const { registry } = someMetrics();
    metrics = createServer(async (_request, response) => {
      response.setHeader('content-type', registry.contentType).end(await registry.metrics());
    });
    await new Promise<void>(resolve => metrics.listen(0, '127.0.0.1', resolve));
    const target = `127.0.0.1:${(metrics.address() as AddressInfo).port}`;
    writeFileSync(
      join(folder, 'prometheus.yml'),
      stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: ['rules.yaml'],
        scrape_configs: [{ job_name: 'aitenant-operator', static_configs: [{ targets: [target] }] }],
      }),
    );
    writeFileSync(join(folder, 'rules.yaml'), stringify(spec));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const flags = [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    prometheus = spawn('prometheus', flags, { cwd: folder, stdio: 'ignore' });
    await until(
      async () => (((await ask('count_over_time(aitenant_tenants[1m]) > 2')) ?? []).length > 0 ? true : undefined),
      () => 'Prometheus to have scraped three times',
      30_000,
    );
  }, 40_000);
  afterAll(async () => {
    prometheus?.kill('SIGKILL');
    await new Promise(resolve => metrics?.close(resolve));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  /** The samples that a query comes to; undefined if it can't be asked yet. */
  async function ask(query: string): Promise<unknown[] | undefined> {
    const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`).catch(() => undefined);
    if (response === undefined || response.status === 503) return undefined;
    const answer = (await response.json()) as { status: string; error?: string; data?: { result: unknown[] } };
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data?.result;
  }

  test.each(queries)('answers the dashboard’s “$name”', async ({ expr }) => {
    expect(await ask(expr)).not.toHaveLength(0);
  });

  test('has taken every alert', async () => {
    const response = await fetch(`${url}/api/v1/rules`);
    const { data } = (await response.json()) as {
      data: { groups: { rules: { name: string; lastError?: string }[] }[] };
    };
    const taken = data.groups.flatMap(group => group.rules);
    expect(taken.map(({ name }) => name)).toEqual(rules.map(({ alert }) => alert));
    expect(taken.flatMap(({ lastError }) => lastError ?? [])).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  const probe = createTcp();
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise(resolve => probe.close(resolve));
  return port;
}
