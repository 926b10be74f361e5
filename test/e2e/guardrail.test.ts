import { execFile } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';

const NUMBER = '123456789012';
const NAME = `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${NUMBER}/denypolicies/aitenant-guardrail`;
const OPERATOR =
  'principal://iam.googleapis.com/projects/-/serviceAccounts/aitenant-operator@demo-project.iam.gserviceaccount.com';
const AGENTS = `principalSet://cloudresourcemanager.googleapis.com/projects/${NUMBER}/type/ServiceAgent`;

let core: GcpCore;
let server: GcpServer;
beforeEach(async () => {
  core = createGcpCore({
    runtime: realRuntime,
    projects: [
      { id: 'demo-project', number: NUMBER },
      { id: 'demo-other', number: '210987654321' },
    ],
    limits: {},
  });
  server = await startGcpServer({ core });
});
afterEach(() => server.close());

interface Ended {
  code: number;
  output: string;
}

/** `npm run guardrail -- … --yes`, without what npm adds. */
const guardrail = (...options: string[]): Promise<Ended> => unanswered(...options, '--yes');

/** The same without --yes: there is no terminal to ask at. */
function unanswered(...options: string[]): Promise<Ended> {
  const address = `${server.url}/`;
  const env = {
    ...process.env,
    NO_COLOR: '1',
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: address,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER: address,
  };
  return new Promise(resolve => {
    const child = execFile(
      process.execPath,
      ['operator/cli/aitenant.ts', 'guardrail', ...options],
      { env },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
    );
  });
}

const writes = () =>
  core.requestLog.filter(({ kind }) => kind === 'write').map(({ method }) => method.split('.').at(-1));

async function policy(): Promise<JsonObject | undefined> {
  const answer = await core.call('google.iam.v2.Policies.GetPolicy', { name: NAME });
  return answer.ok ? answer.response : undefined;
}
async function exceptions(): Promise<unknown> {
  const rules = (await policy())?.rules as { denyRule: JsonObject }[] | undefined;
  return rules?.[0]?.denyRule.exceptionPrincipals;
}

describe('the guardrail', () => {
  test('without a terminal changes nothing unless --yes agrees to it', async () => {
    const { code, output } = await unanswered('--project', 'demo-project');

    expect(output).toContain('there is no terminal to ask at. Run it with --yes to make this change.');
    expect(code).toBe(1);
    expect(writes()).toEqual([]);
    expect(await policy()).toBeUndefined();
  });

  test('denies keys and impersonation in the project, and never actAs', async () => {
    const { code, output } = await guardrail('--project', 'demo-project');

    expect(output).toContain('Create deny policy aitenant-guardrail of project demo-project:');
    expect(output).toContain('+ deny iam.googleapis.com/serviceAccountKeys.create');
    expect(output).toContain('This applies to EVERY service account of project demo-project, not only to the tenants');
    expect(output).toContain('Done.');
    expect(code).toBe(0);
    expect(await policy()).toMatchObject({
      name: NAME,
      kind: 'DenyPolicy',
      rules: [
        {
          denyRule: {
            deniedPrincipals: ['principalSet://goog/public:all'],
            exceptionPrincipals: [AGENTS, OPERATOR],
            deniedPermissions: [
              'iam.googleapis.com/serviceAccountKeys.create',
              'iam.googleapis.com/serviceAccounts.getAccessToken',
              'iam.googleapis.com/serviceAccounts.getOpenIdToken',
              'iam.googleapis.com/serviceAccounts.implicitDelegation',
              'iam.googleapis.com/serviceAccounts.signBlob',
              'iam.googleapis.com/serviceAccounts.signJwt',
            ],
          },
        },
      ],
    });
  });

  test('is idempotent: a second run writes nothing', async () => {
    await guardrail('--project', 'demo-project');
    const before = await policy();
    core.requestLog.length = 0;

    const { code, output } = await guardrail('--project', 'demo-project');

    expect([code, output.trim()]).toEqual([
      0,
      'Deny policy aitenant-guardrail of project demo-project: nothing to change.',
    ]);
    expect(writes()).toEqual([]);
    expect(await policy()).toEqual(before);
  });

  test('takes the exceptions from the command line: a change is shown line by line', async () => {
    await guardrail('--project', 'demo-project', '--except', 'user:Ci@example.com');

    const changed = await guardrail(
      ...['--project', 'demo-project', '--operator', 'serviceAccount:ops@central.iam.gserviceaccount.com'],
      ...['--except', 'group:admins@example.com', '--except', 'principal://iam.googleapis.com/projects/1/x/subject/y'],
    );

    expect(changed.code).toBe(0);
    expect(changed.output).toContain(`- except for ${OPERATOR}`);
    expect(changed.output).toContain('- except for principal://goog/subject/ci@example.com');
    expect(changed.output).toContain('+ except for principalSet://goog/group/admins@example.com');
    expect(changed.output).not.toContain('deny iam.googleapis.com');
    expect(await exceptions()).toEqual([
      AGENTS,
      'principal://iam.googleapis.com/projects/-/serviceAccounts/ops@central.iam.gserviceaccount.com',
      'principalSet://goog/group/admins@example.com',
      'principal://iam.googleapis.com/projects/1/x/subject/y',
    ]);
  });

  test('--check changes nothing: exit code 2 while there is a difference, 0 once there is none', async () => {
    const missing = await guardrail('--project', 'demo-project', '--check');
    expect(missing.code).toBe(2);
    expect(missing.output).toContain('+ deny iam.googleapis.com/serviceAccounts.signJwt');
    expect(writes()).toEqual([]);

    await guardrail('--project', 'demo-project');
    expect((await guardrail('--project', 'demo-project', '--check')).code).toBe(0);

    const weakened = structuredClone((await policy())?.rules) as { denyRule: { deniedPermissions: string[] } }[];
    weakened[0]?.denyRule.deniedPermissions.pop();
    await core.call('google.iam.v2.Policies.UpdatePolicy', {
      policy: { name: NAME, rules: weakened as unknown as JsonObject[] },
    });
    const drifted = await guardrail('--project', 'demo-project', '--check');
    expect([drifted.code, drifted.output]).toEqual([
      2,
      expect.stringContaining('+ deny iam.googleapis.com/serviceAccounts.signJwt'),
    ]);
  });

  test('--remove takes it away, shows what goes, and is idempotent too', async () => {
    await guardrail('--project', 'demo-project');

    const removed = await guardrail('--project', 'demo-project', '--remove');
    expect([removed.code, removed.output]).toEqual([
      0,
      expect.stringContaining('- deny iam.googleapis.com/serviceAccountKeys.create'),
    ]);
    expect(await policy()).toBeUndefined();

    core.requestLog.length = 0;
    expect((await guardrail('--project', 'demo-project', '--remove')).code).toBe(0);
    expect(writes()).toEqual([]);
  });

  test('leaves other deny policies and other projects alone', async () => {
    const parent = `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${NUMBER}/denypolicies`;
    const rules = [
      {
        denyRule: {
          deniedPrincipals: ['principalSet://goog/public:all'],
          deniedPermissions: ['run.googleapis.com/services.delete'],
        },
      },
    ];
    await core.call('google.iam.v2.Policies.CreatePolicy', { parent, policyId: 'somebodys', policy: { rules } });
    const before = await core.call('google.iam.v2.Policies.GetPolicy', { name: `${parent}/somebodys` });

    await guardrail('--project', 'demo-project');
    await guardrail('--project', 'demo-project', '--remove');

    expect(await core.call('google.iam.v2.Policies.GetPolicy', { name: `${parent}/somebodys` })).toEqual(before);
  });

  test('what somebody else writes between the look and the change is not overwritten', async () => {
    await guardrail('--project', 'demo-project', '--except', 'user:ci@example.com');
    const { rules } = (await policy()) ?? {};
    core.faults.add({
      method: 'UpdatePolicy',
      match: ({ request }) => {
        if (!(request.policy as JsonObject).etag) return false;
        void core.call('google.iam.v2.Policies.UpdatePolicy', { policy: { name: NAME, displayName: 'theirs', rules } });
        return false;
      },
    });

    const { code, output } = await guardrail('--project', 'demo-project');

    expect([code, output]).toEqual([1, expect.stringContaining('run this again')]);
    expect(await policy()).toMatchObject({ displayName: 'theirs', rules });
  });

  test('without the right to it: the role that it takes', async () => {
    core.faults.deny({ permission: 'iam.denypolicies.create' });

    const { code, output } = await guardrail('--project', 'demo-project');

    expect([code, output]).toEqual([1, expect.stringContaining('roles/iam.denyAdmin, granted on the organization')]);
  });

  test.each([
    ['RESOURCE_EXHAUSTED', 'Quota exceeded.', 'run this again in a minute'],
    ['UNAUTHENTICATED', 'Who?', 'gcloud auth application-default login'],
    ['PERMISSION_DENIED', 'No.', 'resourcemanager.projects.get on the project'],
  ] as const)('a read that is refused (%s): what to do', async (code, message, advice) => {
    core.faults.add({ method: 'GetPolicy', error: { code, message } });
    const ended = await guardrail('--project', 'demo-project', '--check');
    expect(ended).toEqual({ code: 1, output: expect.stringContaining(advice) });
  });

  test.each([
    [['--project', '123456'], 'name the project by its id'],
    [['--project', '../demo'], 'name the project by its id'],
    [[], 'name the project by its id'],
    [['--project', 'demo-project', '--check', '--remove'], 'exclude each other'],
    [['--project', 'demo-project', '--except', 'allUsers'], 'cannot be left out'],
    [['--project', 'demo-project', '--except', 'principalSet://goog/public:all'], 'cannot be left out'],
    [['--project', 'demo-project', '--except', 'serviceAccount:demo.svc.id.goog[ns/ksa]'], 'cannot be left out'],
    [['--project', 'demo-project', '--exempt', 'user:a@b.c'], "Unknown option '--exempt'"],
  ])('%j is refused: %s', async (options, message) => {
    const { code, output } = await guardrail(...options);

    expect([code, output]).toEqual([1, expect.stringContaining(message)]);
    expect(core.requestLog).toEqual([]);
  });
});

describe('with the guardrail', () => {
  const key = (email: string, caller: string) =>
    core.invoke(
      'google.iam.admin.v1.IAM.CreateServiceAccountKey',
      { name: `projects/demo-project/serviceAccounts/${email}` },
      { caller: { email: caller } },
    );
  const refusedWith = async (email: string, caller: string) => {
    const answer = await key(email, caller);
    return answer.ok ? 'OK' : answer.status.code;
  };

  test('a key is made by nobody but those left out; without it, and elsewhere, by whoever has the role', async () => {
    for (const project of ['demo-project', 'demo-other']) {
      await core.call('google.iam.admin.v1.IAM.CreateServiceAccount', {
        name: `projects/${project}`,
        accountId: 'sa-tenant-a',
      });
    }
    const email = 'sa-tenant-a@demo-project.iam.gserviceaccount.com';
    // The local cloud has no keys: who gets that far was not denied.
    expect(await refusedWith(email, 'owner@example.com')).toBe('FAILED_PRECONDITION');

    await guardrail('--project', 'demo-project', '--except', 'user:breakglass@example.com');

    expect(await refusedWith(email, 'owner@example.com')).toBe('PERMISSION_DENIED');
    expect(await refusedWith(email, email)).toBe('PERMISSION_DENIED');
    expect(await refusedWith(email, 'breakglass@example.com')).toBe('FAILED_PRECONDITION');
    expect(await refusedWith(email, `service-${NUMBER}@serverless-robot-prod.iam.gserviceaccount.com`)).toBe(
      'FAILED_PRECONDITION',
    );
    const elsewhere = await core.invoke(
      'google.iam.admin.v1.IAM.CreateServiceAccountKey',
      { name: 'projects/demo-other/serviceAccounts/sa-tenant-a@demo-other.iam.gserviceaccount.com' },
      { caller: { email: 'owner@example.com' } },
    );
    expect(elsewhere.ok ? '' : elsewhere.status.code).toBe('FAILED_PRECONDITION');
  });
});
