import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { FoundTenant } from '../../operator/cli/discover.ts';
import { renderImport } from '../../operator/cli/importCommand.ts';
import { parseService } from '../../operator/gcp/service.ts';
import type { Policy } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';

/** Shapes of a service that no local Cloud Run runs, or that must not be widened by mistake. */

const EMAIL = 'sa-tenant-a@my-project.iam.gserviceaccount.com';
const accessor = (...members: string[]): Policy => ({
  bindings: [{ role: 'roles/secretmanager.secretAccessor', members }],
});
const secret = (id: string, policy = accessor(`serviceAccount:${EMAIL}`), labels: Record<string, string> = {}) => ({
  external: id,
  secret: { state: 'present' as const, value: { name: `projects/1/secrets/${id}`, labels } },
  policy,
});
/** As gcloud and the console make it. */
const resources = { limits: { cpu: '1000m', memory: '1024Mi' }, cpuIdle: true, startupCpuBoost: true };
const env = [{ name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: 'key', version: 'latest' } } }];

function found(
  over: { service?: JsonObject; template?: JsonObject; container?: JsonObject } & Partial<
    Omit<FoundTenant, 'service'>
  > = {},
) {
  const { service: fields, template, container, ...rest } = over;
  const service = parseService({
    name: 'projects/my-project/locations/asia-northeast1/services/ai-platform-tenant-a',
    etag: 'e',
    invokerIamDisabled: true,
    terminalCondition: { state: 'CONDITION_SUCCEEDED' },
    scaling: { maxInstanceCount: 10 },
    template: {
      serviceAccount: EMAIL,
      timeout: '300s',
      maxInstanceRequestConcurrency: 80,
      containers: [{ image: 'app', resources, env, ...container }],
      ...template,
    },
    ...fields,
  });
  if (!service) throw new Error('no service');
  const tenant: FoundTenant = {
    name: 'tenant-a',
    project: 'my-project',
    service,
    invokers: { bindings: [] },
    email: EMAIL,
    account: {
      state: 'present',
      value: {
        name: `projects/my-project/serviceAccounts/${EMAIL}`,
        email: EMAIL,
        uniqueId: '7',
        description: '',
        disabled: false,
      },
    },
    secrets: [secret('key')],
    externalOf: reference => reference,
    ...rest,
  };
  return tenant;
}

const render = (tenant: FoundTenant, clusterId?: string) => {
  const { yaml, warnings } = renderImport([tenant], {
    project: 'my-project',
    namespace: 'team',
    clusterId,
    plan: 'aitenant plan',
  });
  const documents = parseAllDocuments(yaml);
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  const manifest = documents[1]?.toJS() as { spec: JsonObject } | null;
  return { yaml, warnings, spec: manifest?.spec };
};
const KEYS = [{ name: 'openai', secretRef: { external: 'key' }, env: 'OPENAI_API_KEY', rollout: 'OnRestart' }];

describe('the shortest manifest', () => {
  test('of the manual’s tenant has a region and its key; equal quantities are equal however they are written', () => {
    const { spec, warnings } = render(found());
    expect(spec).toEqual({ region: 'asia-northeast1', keys: KEYS });
    expect(warnings).toEqual([]);
  });

  test('counts minimum and maximum where they are in force, on service or template', () => {
    const scaling = { minInstanceCount: 1, maxInstanceCount: 4 };
    expect(render(found({ service: { scaling: {} }, template: { scaling } })).spec).toMatchObject({
      scaling: { minInstances: 1, maxInstances: 4 },
    });
  });
});

describe('what a manifest cannot say', () => {
  test.each<[string, Parameters<typeof found>[0], RegExp]>([
    ['no maximum', { service: { scaling: {} } }, /names no maximum/],
    ['manual scaling', { service: { scaling: { scalingMode: 'MANUAL', maxInstanceCount: 10 } } }, /scaled by hand/],
    [
      'a traffic split',
      { service: { traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision: 'r1', percent: 100 }] } },
      /Traffic is split \(r1=100%\)/,
    ],
    [
      'Config Connector',
      { service: { labels: { 'managed-by-cnrm': 'true' } } },
      /Config Connector manages this service/,
    ],
    [
      'a service that is not ready',
      { service: { terminalCondition: { state: 'CONDITION_FAILED', message: 'why' } } },
      /not ready: why/,
    ],
    [
      'a grant that is not the secret’s own',
      { secrets: [secret('key', { bindings: [] })] },
      /has no grant on secret key itself/,
    ],
    ['a secret that is gone', { secrets: [] }, /Secret key is gone/],
    [
      'consent for another namespace',
      { secrets: [secret('key', undefined, { 'ai-tenant-namespace': 'other' })] },
      /it names namespace "other", and it can name one only/,
    ],
    [
      'fractions of a second',
      { template: { timeout: '1.5s', serviceAccount: EMAIL, containers: [{ image: 'app', env }] } },
      /1\.5 s becomes 2 s/,
    ],
  ])('%s is told, above the manifest and as a warning', (_, over, words) => {
    const { yaml, warnings } = render(found(over));
    expect(warnings.filter(warning => words.test(warning))).toHaveLength(1);
    expect(yaml).toMatch(new RegExp(`^# NOTE .*${words.source}`, 'm'));
  });

  test('a volume’s secret is a key if the service gets another account, which could not read it otherwise', () => {
    const volumes = [{ name: 'v', secret: { secret: 'tenant-a-file', items: [{ path: 'k', version: 'latest' }] } }];
    const template = { serviceAccount: 'default@my-project.iam.gserviceaccount.com', volumes };
    const secrets = [secret('tenant-a-file', accessor('serviceAccount:default@my-project.iam.gserviceaccount.com'))];
    const { spec, warnings, yaml } = render(found({ template, container: { env: [] }, secrets }));
    expect(spec?.keys).toEqual([{ name: 'file', secretRef: { external: 'tenant-a-file' } }]);
    expect(warnings.join('\n')).toContain(`key file has no env, so that ${EMAIL} may read it`);
    expect(warnings.join('\n')).not.toContain('stays as it is: that');
    expect(yaml).toContain('#$ gcloud secrets update tenant-a-file ');
  });

  test('a service that reads no secret is refused with what a tenant needs', () => {
    const { yaml, spec } = render(found({ container: { env: [] }, secrets: [] }));
    expect(spec).toBeUndefined();
    expect(yaml).toMatch(
      /^# REFUSED spec\.keys: this service reads no secret, and a tenant has at least one key: name the secret/m,
    );
  });

  test('a sidecar’s and a volume’s secrets are standby keys where they are granted, and else stay as they are', () => {
    const side = { name: 'SIDE', valueSource: { secretKeyRef: { secret: 'side', version: '1' } } };
    const { spec, warnings } = render(
      found({
        template: {
          serviceAccount: EMAIL,
          containers: [
            { image: 'proxy', env: [side] },
            { image: 'app', ports: [{ containerPort: 8080 }], resources: { limits: { cpu: '1', memory: '1Gi' } }, env },
          ],
          volumes: [
            { name: 'v', secret: { secret: 'mounted' } },
            { name: 'w', secret: { secret: 'by-role' } },
          ],
        },
        secrets: [secret('key'), secret('side'), secret('mounted'), secret('by-role', { bindings: [] })],
      }),
    );
    expect(spec?.keys).toEqual([
      ...KEYS,
      { name: 'side', secretRef: { external: 'side' } },
      { name: 'mounted', secretRef: { external: 'mounted' } },
    ]);
    expect(warnings.join()).toContain('Secret by-role is read by a volume or sidecar without a grant of its own');
    for (const name of ['side', 'mounted']) {
      expect(warnings.join()).toContain(
        `Secret ${name} is read by a volume or sidecar, which stays as it is: key ${name} has no env, so that ${EMAIL} may read it. It is in use.`,
      );
    }
    expect(warnings.join()).toContain('1 more container(s)');
  });

  test('a grant under a condition does not become one without: the key is left out, and the note says why', () => {
    const condition = { title: 'until June', expression: 'request.time < timestamp("2030-06-01T00:00:00Z")' };
    const limited: Policy = {
      bindings: [
        { role: 'roles/secretmanager.secretAccessor', members: [`serviceAccount:${EMAIL.toUpperCase()}`], condition },
      ],
    };
    const both = { bindings: [...limited.bindings, ...accessor(`serviceAccount:${EMAIL}`).bindings] };
    const second = { name: 'SECOND_KEY', valueSource: { secretKeyRef: { secret: 'second', version: '1' } } };
    const { spec, warnings } = render(
      found({
        container: { env: [...env, second] },
        secrets: [secret('key'), secret('second', limited), secret('standby', limited)],
      }),
    );
    expect(spec?.keys).toEqual(KEYS);
    for (const name of ['second', 'standby']) {
      expect(
        warnings.filter(line => line.includes(`may read secret ${name} only under a condition (until June)`)),
      ).toHaveLength(1);
    }
    expect(warnings.join()).not.toContain('the operator adds one');
    expect(render(found({ secrets: [secret('key', both)] })).spec?.keys).toEqual(KEYS);
    // Without a key there is no AiTenant, and no consent to give.
    const alone = render(found({ secrets: [secret('key', limited)] }));
    expect(alone.spec).toBeUndefined();
    expect(alone.yaml).not.toMatch(/^#\$/m);
  });

  test('what the API would refuse is printed as a comment, with the CRD’s own message', () => {
    const { yaml, spec, warnings } = render(
      found({
        template: { serviceAccount: EMAIL, scaling: { minInstanceCount: 20 }, containers: [{ image: 'app', env }] },
      }),
    );
    expect(spec).toBeUndefined();
    expect(yaml).toContain('# REFUSED spec.scaling.minInstances: ');
    expect(yaml).toMatch(/^# kind: AiTenant$/m);
    expect(yaml, 'nobody is asked to consent to a tenant that is refused').not.toMatch(/^#\$/m);
    expect(warnings.join()).toContain('minInstances 20 is more than maxInstances 10');
  });
});

describe('access', () => {
  const invoker = (members: string[], condition?: JsonObject): Policy => ({
    bindings: [{ role: 'roles/run.invoker', members, ...(condition && { condition }) }],
  });
  const closed = (invokers: Policy) => render(found({ service: { invokerIamDisabled: false }, invokers }));

  test('is never widened: allUsers alone is public', () => {
    expect(closed(invoker(['allUsers'])).spec?.access).toBeUndefined();
    const { spec, warnings } = closed(invoker(['allAuthenticatedUsers', 'user:jane@example.com']));
    expect(spec).toMatchObject({ access: 'Authenticated', invokers: ['user:jane@example.com'] });
    expect(warnings.join()).toContain('allAuthenticatedUsers may call the service');
    expect(closed(invoker(['allUsers'], { title: 'until', expression: 'false' })).spec?.access).toBe('Authenticated');
  });

  test('of accounts that are deleted is left out', () => {
    const { spec } = closed(invoker(['deleted:serviceAccount:x@p.iam.gserviceaccount.com?uid=1']));
    expect(spec).toMatchObject({ access: 'Authenticated' });
    expect(spec?.invokers).toBeUndefined();
  });
});

describe('consent', () => {
  const commands = (tenant: FoundTenant, clusterId?: string) =>
    render(tenant, clusterId).yaml.match(/^#\$ .*$/gm) ?? [];

  test('is asked for where it is missing, and only there', () => {
    expect(commands(found()).map(line => line.split(' ')[1])).toEqual(['gcloud', 'gcloud', 'curl']);
    const given = { 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'prod' };
    const account = found().account;
    if (account.state === 'present') account.value.description = 'ai-tenant-namespace=team';
    const all = found({ service: { labels: given }, secrets: [secret('key', undefined, given)], account });
    expect(commands(all)).toEqual([]);
    expect(commands(all, 'prod')).toEqual([]);
    // Another cluster has it: no command takes it from there.
    expect(commands(all, 'test')).toEqual([]);
    expect(render(all, 'test').warnings.filter(warning => /of cluster "prod", not of test/.test(warning))).toHaveLength(
      2,
    );
  });

  test('nothing that was typed into Google Cloud leaves its comment', () => {
    const account = found().account;
    if (account.state === 'present') account.value.description = "it's\nkind: Evil\r\u2028$(reboot)\u0085";
    const { yaml } = render(found({ account, container: { image: 'app\nkind: Evil' } }));
    expect(yaml).not.toMatch(/^kind: Evil/m);
    // No command could keep such a description as it is.
    expect(yaml).not.toContain('--description=');
    expect(yaml).toMatch(/^# NOTE .*put \[ai-tenant-namespace=team\] into its description/m);
  });
});

describe('values that look like keys', () => {
  test.each([
    ['sk-proj-abcdefghijklmnop'],
    ['sk_live_abc'],
    ['AIzaSyABC'],
    ['ghp_abcdefghij'],
    ['xoxb-1-2-abc'],
    ['AKIAABCDEFGHIJKL'],
    ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x'],
    ['postgres://user:hunter2@db/x'],
    ['https://x.example/a?sig=abc'],
    ['-----BEGIN RSA KEY-----'],
    ['{"type":"service_account","private_key":"x"}'],
    ['Server=db;Password=hunter2'],
    // Of vendors whose form is not listed.
    ['hooks.example/services/T0/B0/aZ3bY4cX5dW6eV7fU8gT9hS0'],
    ['gsk_1aB2cD3eF4gH5iJ6kL7mN8'],
    ['AccountKey=Zm9vYmFyMTIzNDU2Nzg5MEFCQ0Q=='],
    ['0123456789abcdef0123456789abcdef'],
    ['dapi0123456789abcdef0123456789abcdef'],
  ])('%s is left out and named, with how to make a secret of it', value => {
    const plain = { name: 'LOG_LEVEL', value: 'debug' };
    const { spec, yaml, warnings } = render(found({ container: { env: [...env, plain, { name: 'BACKEND', value }] } }));
    expect(spec?.env).toEqual([plain]);
    expect(yaml).not.toContain(value);
    expect(warnings.join('\n')).not.toContain(value);
    expect(warnings).toEqual([
      expect.stringMatching(
        /Variable BACKEND looks like a key.*gcloud secrets create tenant-a-backend --project=my-project/,
      ),
    ]);
  });

  test.each([
    'https://api.example.com/v1',
    'gpt-4o',
    'asia-northeast1',
    'key',
    'task-force',
    'user@example.com',
    'projects/my-project-123456/locations/asia-northeast1/services/ai-platform-tenant-a',
    'asia-northeast1-docker.pkg.dev/p/r/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    '3f2504e0-4f89-11d3-9a0c-0305e82c3301',
    'https://MyAccount2.example.com/Some/Path/Of/Mixed/Case',
    'A sentence of More than 20 characters',
  ])('%s is none', value => {
    const { spec } = render(found({ container: { env: [...env, { name: 'BACKEND', value }] } }));
    expect(spec?.env).toEqual([{ name: 'BACKEND', value }]);
  });
});

test('a value reads back as it was, in YAML 1.1 and 1.2, and says nothing to a terminal or a CI system', () => {
  const pieces = [
    '##[error]',
    '##vso[task.x]',
    '##teamcity[x]',
    '::error::x',
    '\n',
    '\r',
    ' ',
    '\u001b[2J',
    '\u202e',
    '\u2028',
    '"',
    '\\',
  ];
  const text = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string())).map(parts => parts.join(''));
  fc.assert(
    fc.property(text, value => {
      const member = `user:${value.replaceAll(' ', '')}`;
      const { yaml, spec } = render(
        found({
          container: { env: [...env, { name: 'PLAIN', value }] },
          service: { invokerIamDisabled: false },
          invokers: { bindings: [{ role: 'roles/run.invoker', members: [member] }] },
        }),
      );
      const manifests = yaml.slice(yaml.indexOf('---\n') + 4);
      // What the CRD refuses is a comment; a value that may be a key is left out.
      for (const version of spec ? (['1.1', '1.2'] as const) : []) {
        const read = parse(manifests, { version }).spec;
        expect(read.invokers).toEqual([member]);
        if (spec?.env) expect(read.env).toEqual([{ name: 'PLAIN', value }]);
      }
      expect(yaml.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
      expect(yaml).not.toMatch(/##(?:\[|vso\[|teamcity\[)|^\s*::/m);
    }),
  );
});

test('an alias of a version is written as the number that it means now; one that the secret does not have becomes latest', () => {
  const aliased = [{ name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: 'key', version: 'prod' } } }];
  const { spec, warnings } = render(found({ container: { env: aliased } }));
  expect(spec?.keys).toEqual(KEYS);
  expect(warnings).toEqual([expect.stringMatching(/OPENAI_API_KEY reads the version with the alias prod/)]);
  const prod = secret('key');
  if (prod.secret.state === 'present') Object.assign(prod.secret.value, { aliases: { prod: '7' } });
  const known = render(found({ container: { env: aliased }, secrets: [prod] }));
  expect(known.spec?.keys).toMatchObject([{ env: 'OPENAI_API_KEY', version: 7 }]);
  expect(known.warnings.join()).toContain('the alias prod, which is 7 now');
});

test('where every tenant has an owner already, nothing is printed to be applied', () => {
  const labels = {
    'ai-tenant-owner-cluster': 'c',
    'ai-tenant-owner-namespace': 'n',
    'ai-tenant-owner-name': 'tenant-a',
  };
  const { yaml, warnings } = renderImport([found({ service: { labels } })], {
    project: 'my-project',
    namespace: 'team',
    plan: 'aitenant plan',
  });
  expect(yaml).toBe('');
  expect(warnings).toEqual([expect.stringContaining('has an owner already (c/n/tenant-a): left out')]);
});

describe('sidecars', () => {
  const ports = [{ name: 'http1', containerPort: 8080 }];
  const reference = (name: string, id: string, version: string) => ({
    name,
    valueSource: { secretKeyRef: { secret: id, version } },
  });
  const beside = (...sidecars: JsonObject[]) =>
    found({
      template: { containers: [{ image: 'app', resources, env, ports, dependsOn: ['b'] }, ...sidecars] },
      secrets: [secret('key'), secret('token')],
    });
  const probe = { startupProbe: { tcpSocket: { port: 4317 } } };
  const small = { resources: { limits: { cpu: '1', memory: '512Mi' } } };

  test('are written after those that they wait for, with keys of the manifest', () => {
    const { spec, warnings } = render(
      beside(
        { name: 'b', image: 'b', dependsOn: ['c'], ...probe, ...small, env: [reference('T', 'token', '4')] },
        {
          name: 'c',
          image: 'c',
          ...probe,
          ...small,
          env: [reference('K', 'key', 'latest'), { name: 'PLAIN', value: 'x' }],
        },
      ),
    );
    expect(spec).toMatchObject({
      keys: [
        { name: 'openai', secretRef: { external: 'key' }, env: 'OPENAI_API_KEY', rollout: 'OnRestart' },
        { name: 'token', secretRef: { external: 'token' }, version: 4 },
      ],
      container: { dependsOn: ['b'] },
      sidecars: [
        { name: 'c', keys: [{ name: 'openai', env: 'K' }], env: [{ name: 'PLAIN', value: 'x' }] },
        {
          name: 'b',
          keys: [{ name: 'token', env: 'T' }],
          dependsOn: ['c'],
          probes: { startup: { tcp: true, port: 4317 } },
        },
      ],
    });
    expect(Object.keys((spec as { keys: JsonObject[] }).keys[1] ?? {})).toEqual(['name', 'secretRef', 'version']);
    expect(warnings.join()).not.toContain('sidecar');
  });

  test.each<[string, JsonObject, string]>([
    ['a key in plain text', { env: [{ name: 'API_TOKEN', value: 'abc' }] }, 'variable API_TOKEN looks like a key'],
    ['a name that no spec holds', { env: [{ name: 'a.b', value: 'c' }] }, "variable a.b has a name that a spec can't"],
    ['a wait for the main container', { dependsOn: ['app'] }, 'cannot say sidecar b'],
  ])('with %s stay as they are', (_what, more, note) => {
    const { spec, warnings, yaml } = render(beside({ name: 'b', image: 'b', ...probe, ...small, ...more }));
    expect(spec?.sidecars).toBeUndefined();
    expect(warnings.join()).toContain(note);
    expect(yaml).not.toContain('abc');
  });
});
