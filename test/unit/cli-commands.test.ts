import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { type Context, programOf } from '../../operator/cli/command.ts';
import { readImportArguments } from '../../operator/cli/importCommand.ts';
import { readLive } from '../../operator/cli/live.ts';
import { OutOfReach, patiently } from '../../operator/cli/patience.ts';
import { planTenant } from '../../operator/cli/planTenant.ts';
import { forReaders, READERS_WORDS } from '../../operator/cli/readersWords.ts';
import { readStatusArguments } from '../../operator/cli/statusCommand.ts';
import type { Reads } from '../../operator/gcp/reads.ts';
import { statusOf } from '../../operator/gcp/status.ts';
import { optionsOf, parseFlags } from '../../operator/process/options.ts';
import { ERRORS, KINDS } from '../../operator/tenant/errorTable.ts';
import type { GcpStatus } from '../../ports/gcp.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { readOptions } from '../../sandbox/options.ts';

/** What the commands say of wrong flags, of a cluster and of a Google Cloud that can't be read. */

const contextOf = (env: NodeJS.ProcessEnv = {}, command = 'import', file = '/usr/bin/aitenant'): Context => ({
  env,
  program: programOf(command, file, env),
});

describe('a wrong flag is told by its name, with what to write', () => {
  const project = ['--project', 'my-project'];

  test.each([
    [['--namespace', 'Bad Ns'], /^--namespace=Bad Ns can't be a namespace: /],
    [['--region', 'a b'], /^--region=a b is no region such as asia-northeast1/],
    [['--region', ''], /^--region= is no region/],
    [['--cluster-id', 'x\ny'], /^--cluster-id=x\ny cannot be a label/],
    [['--output', 'json'], /^-o takes yaml/],
    [['--bogus'], /^Unknown option '--bogus'$/],
    [['--regoin', 'x'], /^Unknown option '--regoin'\. Did you mean --region\?$/],
    [['my-project'], /^What is "my-project"\? All arguments are flags here\.$/],
  ])('import %j', (args, message) => {
    expect(() => readImportArguments([...project, ...args], contextOf())).toThrow(message);
  });

  test('import takes what Google Cloud and Kubernetes take', () => {
    const args = [...project, '--namespace', 'team-1', '--region', 'me-central2', '--cluster-id', 'prod-tokyo'];
    expect(readImportArguments(args, contextOf())).toMatchObject({ regions: ['me-central2'], namespace: 'team-1' });
    expect(readImportArguments([], contextOf({ GOOGLE_CLOUD_PROJECT: 'my-project' }))).toMatchObject({
      project: 'my-project',
    });
  });

  test('one that begins with a dash gets no advice about arguments', () => {
    expect(() => parseFlags(['--bogus'])).toThrow(/^Unknown option '--bogus'$/);
  });

  test.each([
    [['json'], { npm_config_o: 'true' }, 'npm took -o .* Write: npm run -s status -- -o json$'],
    [[], { npm_config_a: 'true' }, 'npm took -A .* Write: npm run -s status -- -A$'],
    [['tenant-b'], { npm_config_namespace: 'x' }, 'Write: npm run -s status -- --namespace=x tenant-b$'],
    [['a b'], { npm_config_context: 'true' }, 'Write: npm run -s status -- tenant-a --watch$'],
  ])('that npm took for itself is told as it was meant: %j %j', (argv, env, expected) => {
    const context = contextOf({ npm_lifecycle_event: 'status', ...env }, 'status');
    expect(() => readStatusArguments(argv, context)).toThrow(new RegExp(expected));
  });

  test('of plan after -- is told without it', () => {
    const { stderr } = spawnSync(process.execPath, ['operator/cli/aitenant.ts', 'plan', '--', '-f', 'a.yaml']);
    expect(stderr.toString()).toMatch(/no -- stands before the flags here: aitenant plan -f a\.yaml\n/);
  });

  test('one that npm took for itself is told, also by the sandbox and the guardrail', () => {
    const env = { npm_lifecycle_event: 'sandbox', npm_config_once: 'true' };
    expect(() => readOptions([], env)).toThrow(/npm took --once for itself.*npm run sandbox -- --once/);
    const { status, stderr } = spawnSync(process.execPath, ['operator/cli/aitenant.ts', 'guardrail', 'my-project'], {
      env: { ...process.env, npm_lifecycle_event: 'guardrail', npm_config_project: 'true', npm_config_check: 'true' },
    });
    expect({ status, said: stderr.toString() }).toMatchObject({ status: 1, said: expect.stringContaining('--check') });
  });
});

test('a SecretManagerSecret that is not among the files of plan is not said to be absent: the cluster was not read', async () => {
  const keys = [{ name: 'k', secretRef: { name: 'mine' } }];
  const object = { metadata: { name: 'tenant-a', namespace: 'team' }, spec: { region: 'us-central1', keys } };
  const around = { namespaces: new Map(), connectorSecrets: new Map() };
  const reads = new Proxy({}, { get: () => async () => ({ state: 'absent' }) }) as Reads;
  const { settings } = optionsOf({ project: 'demo-project' }, {});
  expect((await planTenant(object as KubeObject, around, settings, reads, 0)).blocked).toEqual([
    {
      reason: 'DependencyNotReady',
      message:
        'Key k: SecretManagerSecret mine is in none of the files, and the cluster was not read. Add its file with -f, or read the cluster with --live.',
    },
  ]);
});

describe('a cluster that can not be read: what it answered and what to do', () => {
  test.each([
    [401, 'Unauthorized', /: Unauthorized\. .*log in to the cluster again/],
    [403, 'aitenants is forbidden: no', /: aitenants is forbidden: no\. Ask whoever administers the cluster/],
    [404, '404 page not found\n', /: 404 page not found\. .*does not have the CRD.*kubectl apply -f/],
    [0, 'connect ECONNREFUSED 127.0.0.1:1', /:1\. Check that the address.*kubectl get --raw/],
    [0, "Unexpected token '<'", /'<'\. Check that the address/],
    [0, 'the exec plug-in x failed with exit code 1.', /: the exec plug-in x failed with exit code 1\.$/],
    [500, 'etcdserver: no leader', /: etcdserver: no leader$/],
    [400, '{\n  "error": {}\n}', /: \{ "error": \{\} \}\. Check that the address/],
  ])('%i %s', async (code, message, expected) => {
    const list = async () => ({ ok: false, status: { code, reason: '', message } });
    await expect(readLive({ list } as unknown as KubeApi, undefined)).rejects.toThrow(expected);
  });
});

describe('a Google Cloud that is none', () => {
  const runtime = {
    now: () => 0,
    monotonic: () => 0,
    random: () => 0,
    after: (_: number, fn: () => void) => {
      queueMicrotask(fn);
      return () => {};
    },
  };
  const read = async (status: GcpStatus) => {
    let calls = 0;
    const call = patiently(async () => {
      calls++;
      return { ok: false, status };
    }, runtime);
    const ended = await call('google.cloud.run.v2.Services.GetService', {}).catch((error: unknown) => error);
    return { calls, ended };
  };
  const foreign = (http: number) => statusOf(http, null, '<html>', 0);

  test.each<[GcpStatus, string]>([
    [foreign(401), 'What answers is not Google Cloud'],
    [foreign(302), 'What answers is not Google Cloud'],
    [{ code: 'UNKNOWN', message: 'no JSON', unanswered: 'foreign' }, 'What answers is not Google Cloud'],
    [{ code: 'UNAVAILABLE', message: 'refused', unanswered: 'unreachable' }, "Google Cloud can't be reached"],
  ])('is given up after the second answer: %j', async (status, message) => {
    const { calls, ended } = await read(status);
    expect(calls).toBe(2);
    expect(ended).toBeInstanceOf(OutOfReach);
    expect(String(ended)).toContain(message);
  });

  test('a connection that ends again and again is retried, then nothing was read', async () => {
    const { calls, ended } = await read({ code: 'UNAVAILABLE', message: 'hang up', unanswered: 'lost' });
    expect(calls).toBe(7);
    expect(String(ended)).toContain("Google Cloud can't be reached, so nothing was read (hang up)");
  });

  test('the words of a message of Google Cloud decide nothing', async () => {
    const { ended } = await read({ code: 'NOT_FOUND', message: 'No answer within ECONNREFUSED' });
    expect(ended).toMatchObject({ ok: false });
  });

  test('a proxy in trouble is asked again as long as Google Cloud is', async () => {
    const { calls, ended } = await read(foreign(503));
    expect(calls).toBe(7);
    expect(ended).toMatchObject({ ok: false });
  });
});

describe('the table of errors in the words of a command', () => {
  const advices = [...Object.values(KINDS), ...ERRORS].map(({ advice }) => ` ${advice}`);

  test.each(READERS_WORDS.map(([operators]) => operators))('the table says %j', operators => {
    expect(advices.filter(advice => advice.includes(operators))).not.toEqual([]);
  });

  test('a person is not told what the operator lacks', () => {
    const read = ERRORS.filter(({ name }) => /^project unknown$|^VPC/.test(name)).map(({ advice }) => advice);
    expect([...read, KINDS.PermissionDenied.advice].map(forReaders).filter(text => /operator/i.test(text))).toEqual([]);
  });
});

test.skipIf(process.platform !== 'linux')('a result that can not be written is an error', () => {
  const { status, stderr } = spawnSync('sh', [
    '-c',
    `${process.execPath} operator/cli/aitenant.ts plan --help > /dev/full`,
  ]);
  expect(stderr.toString()).toMatch(/^plan: the result can't be written to standard output: /);
  expect(status).toBe(1);
});
