import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readOptions } from '../../operator/process/options.ts';
import { type ConnectorSecret, desiredState, inventoryProject } from '../../operator/tenant/desired.ts';
import { chosenIdentity, deletingIdentity, patternProblem } from '../../operator/tenant/identity.ts';
import { resolveVersion } from '../../operator/tenant/keyVersion.ts';
import {
  accountName,
  isProjectId,
  isServiceAccount,
  matchesAny,
  part,
  serviceAccountEmail,
} from '../../operator/tenant/names.ts';
import { printable, quoted } from '../../operator/tenant/printable.ts';
import { targets } from '../../operator/tenant/targets.ts';
import type { DesiredKey, Settings } from '../../operator/tenant/types.ts';
import {
  absent,
  at,
  atRest,
  desiredOf,
  EMAIL,
  entry,
  failed,
  OPENAI,
  PROJECT,
  present,
  REGION,
  SECRET,
  SERVICE,
  serviceIn,
  settings,
  type TenantGiven,
  tenantA,
} from './support/tenantWorld.ts';

interface Around {
  tenant?: TenantGiven;
  flags?: Partial<Settings>;
  annotations?: Record<string, string>;
  connector?: ConnectorSecret;
}
const nothing = { inventory: [] };
const desire = ({ tenant = { status: nothing }, flags = {}, annotations = {}, connector = absent }: Around) =>
  desiredState(
    tenantA(tenant),
    { ...settings, ...flags },
    { namespaceAnnotations: annotations, connectorSecret: () => connector },
  );
const refusal = (around: Around): string => {
  const result = desire(around);
  return result.ok ? '' : result.message;
};

const OURS = 'ai-platform.dev/project-id';
const THEIRS = 'cnrm.cloud.google.com/project-id';
const ANNOTATE = 'kubectl annotate namespace team ai-platform.dev/project-id=PROJECT --overwrite';

describe('the desired state', () => {
  test('has every name from the tenant’s', () => {
    expect(desire({})).toMatchObject({
      ok: true,
      desired: {
        owner: { cluster: 'c1', namespace: 'team', name: 'tenant-a' },
        project: PROJECT,
        actAs: undefined,
        account: {
          id: 'sa-tenant-a',
          email: EMAIL,
          name: `projects/${PROJECT}/serviceAccounts/${EMAIL}`,
          displayName: 'AI tenant tenant-a',
        },
        keys: [
          {
            name: 'openai',
            secret: `projects/${PROJECT}/secrets/openai-key`,
            env: 'OPENAI_API_KEY',
            version: 'latest',
            rollout: 'OnNewVersion',
          },
        ],
        region: REGION,
        serviceId: 'ai-platform-tenant-a',
      },
    });
  });

  test.each<[string, Around, string]>([
    ['the operator’s own', {}, PROJECT],
    ['the Namespace’s', { annotations: { [OURS]: 'others-1' } }, 'others-1'],
    ['Config Connector’s', { annotations: { [THEIRS]: 'others-2' } }, 'others-2'],
    ['ours before Config Connector’s', { annotations: { [OURS]: 'others-1', [THEIRS]: 'others-2' } }, 'others-1'],
    ['Config Connector’s where ours is empty', { annotations: { [OURS]: '', [THEIRS]: 'others-2' } }, 'others-2'],
    ['an allowed one', { annotations: { [OURS]: 'team-a-1' }, flags: { projects: ['x', 'team-*'] } }, 'team-a-1'],
  ])('is in the project that is %s', (_which, around, project) => {
    expect(desire(around)).toMatchObject({ desired: { project } });
  });

  test.each<[string, Around, string]>([
    [
      'none',
      { flags: { project: undefined } },
      `No Google Cloud project is set for namespace team. Give the operator --project, or name one: ${ANNOTATE}`,
    ],
    [
      'a number',
      { annotations: { [OURS]: '123456' } },
      `"123456" is not a project id (a project number will not do): ${ANNOTATE}`,
    ],
    [
      'not allowed',
      { annotations: { [OURS]: 'others-1' }, flags: { projects: ['tenants-*', 'x'] } },
      `Project others-1 is not among those the operator may use (--projects=tenants-*,x): add it there, or name another one: ${ANNOTATE}`,
    ],
    [
      'another than before',
      { tenant: {}, annotations: { [OURS]: 'others-1' } },
      `This tenant lives in project ${PROJECT} and cannot move to others-1. Put the annotation of namespace team back ` +
        `(ai-platform.dev/project-id=${PROJECT}), or delete the tenant there and create it anew.`,
    ],
  ])('is refused where its project is %s', (_which, around, message) => {
    expect(refusal(around)).toBe(message);
  });

  test('knows the project where a tenant is by its account and its services, not by secrets of others', () => {
    const [account, grant, service] = atRest;
    expect(inventoryProject([])).toBeUndefined();
    expect(inventoryProject(grant ? [grant] : [])).toBeUndefined();
    for (const one of [account, service]) expect(inventoryProject(grant && one ? [grant, one] : [])).toBe(PROJECT);
  });

  const connected = { spec: { keys: [{ ...OPENAI, secretRef: { name: 'mine' } }] }, status: nothing };
  test.each<[ConnectorSecret, object]>([
    [{ state: 'ready', secret: SECRET }, { secret: SECRET }],
    [
      absent,
      {
        blocked: {
          aspect: 'SecretAccess',
          reason: 'DependencyNotFound',
          message:
            'Key openai: there is no SecretManagerSecret mine in namespace team (`kubectl get secretmanagersecret mine -n team`).',
        },
      },
    ],
    [
      { state: 'notReady', why: 'Updating', secret: 'projects/p/secrets/mine' },
      {
        blocked: {
          aspect: 'SecretAccess',
          reason: 'DependencyNotReady',
          message:
            'Key openai: SecretManagerSecret mine is not Ready: Updating (`kubectl get secretmanagersecret mine -n team`).',
        },
      },
    ],
    [
      { state: 'unread' },
      {
        blocked: {
          aspect: 'SecretAccess',
          reason: 'DependencyNotReady',
          message: expect.stringContaining('SecretManagerSecret mine exists is not known'),
        },
      },
    ],
  ])('of a key by Config Connector’s secret that is %j', (connector, key) => {
    expect(desire({ tenant: connected, connector })).toMatchObject({ desired: { keys: [{ name: 'openai', ...key }] } });
  });
});

describe('as whom the operator acts', () => {
  const KEY = 'ai-platform.dev/impersonate-service-account';
  const account = 'ops-team@tenants-1.iam.gserviceaccount.com';
  const allowed = { impersonationAccounts: ['ops-NAMESPACE@tenants-*.iam.gserviceaccount.com'] };
  const hint = `Give --impersonation-accounts a pattern that fits, or name another one: kubectl annotate namespace team ${KEY}=ACCOUNT --overwrite`;

  test('is itself, or the allowed account that the Namespace names', () => {
    expect(desire({ flags: allowed })).toMatchObject({ desired: { actAs: undefined } });
    expect(desire({ flags: allowed, annotations: { [KEY]: account } })).toMatchObject({ desired: { actAs: account } });
  });

  test.each<[string, Partial<Settings>, string]>([
    [
      'ops-other@tenants-1.iam.gserviceaccount.com',
      allowed,
      'is not allowed for it (--impersonation-accounts=ops-NAMESPACE@tenants-*.iam.gserviceaccount.com)',
    ],
    [account, {}, 'is not allowed for it (--impersonation-accounts=)'],
    [account, { impersonationAccounts: ['a', 'b'] }, 'is not allowed for it (--impersonation-accounts=a,b)'],
    ['jane@example.com', { impersonationAccounts: ['*'] }, 'is not the e-mail of a service account'],
    ['', { impersonationAccounts: ['*'] }, 'is not the e-mail of a service account'],
  ])('is never itself instead of %s', (asked, flags, why) => {
    expect(refusal({ flags, annotations: { [KEY]: asked } })).toBe(
      `Namespace team asks the operator to act as "${asked}", which ${why}. ${hint}`,
    );
  });

  test('on the way out: whom the Namespace names if it may, else who made it', () => {
    const before = 'ops-team@tenants-2.iam.gserviceaccount.com';
    const tenant = tenantA({ status: { impersonatedServiceAccount: before } });
    const flags = { ...settings, ...allowed };
    expect(deletingIdentity(tenant, { [KEY]: account }, flags)).toBe(account);
    expect(deletingIdentity(tenant, { [KEY]: 'jane@example.com' }, flags)).toBe(before);
    expect(deletingIdentity(tenant, {}, flags)).toBe(before);
    expect(deletingIdentity(tenantA(), {}, flags)).toBeUndefined();
  });

  test('on the way out is never an account that the status names and the flag does not allow', () => {
    const forged = tenantA({ status: { impersonatedServiceAccount: 'ops-other@tenants-1.iam.gserviceaccount.com' } });
    expect(deletingIdentity(forged, {}, { ...settings, ...allowed })).toBeUndefined();
    expect(deletingIdentity(forged, {}, settings)).toBeUndefined();
    expect(deletingIdentity(forged, { [KEY]: account }, { ...settings, ...allowed })).toBe(account);
  });

  test('must be named by the Namespace with --require-impersonation', () => {
    const flags = { ...allowed, requireImpersonation: true };
    expect(refusal({ flags })).toContain(`kubectl annotate namespace team ${KEY}=ACCOUNT`);
    expect(desire({ flags, annotations: { [KEY]: account } })).toMatchObject({ desired: { actAs: account } });
    // No annotation stops a deletion.
    expect(deletingIdentity(tenantA(), {}, { ...settings, ...flags })).toBeUndefined();
  });

  test.each([
    ['NAMESPACE-*@p.iam.gserviceaccount.com', false],
    ['NAMESPACE*@p.iam.gserviceaccount.com', false],
    ['NAMESPACE-operator@p.iam.gserviceaccount.com', false],
    ['operator@NAMESPACE.iam.gserviceaccount.com', false],
    ['*NAMESPACE@p.iam.gserviceaccount.com', false],
    ['*-NAMESPACE@p.iam.gserviceaccount.com', false],
    ['NAMESPACE@p.iam.gserviceaccount.com', true],
    ['operator-NAMESPACE@*.iam.gserviceaccount.com', true],
    ['operator@p.iam.gserviceaccount.com', true],
    ['*@p.iam.gserviceaccount.com', true],
  ])('the pattern %s may be used: %s', (pattern, fits) => {
    expect(patternProblem(pattern) === undefined).toBe(fits);
    const start = () => readOptions([`--impersonation-accounts=${pattern}`], {});
    if (fits) expect(start()).toMatchObject({ settings: { impersonationAccounts: [pattern] } });
    else expect(start).toThrow(/--impersonation-accounts=/);
  });

  test('by any pattern with NAMESPACE that may be used, an account is one namespace’s at most', () => {
    const label = fc.stringMatching(/^[a-z]([a-z-]{0,5}[a-z])?$/);
    // Another namespace's name, most often one that the first begins or ends with, or the other way round.
    const like = fc.oneof(
      label.map(other => () => other),
      fc.nat(5).map(at => (a: string) => a.slice(at % a.length)),
      fc.nat(5).map(at => (a: string) => a.slice(0, (at % a.length) + 1)),
      label.map(more => (a: string) => `${more}-${a}`),
      label.map(more => (a: string) => `${a}-${more}`),
    );
    const piece = fc.oneof(fc.constantFrom('', '*', '-'), fc.stringMatching(/^[a-z*-]{0,5}$/));
    fc.assert(
      fc.property(label, like, piece, piece, label, (a, make, before, after, star) => {
        const b = make(a);
        const pattern = `${before}NAMESPACE${after}@tenants-1.iam.gserviceaccount.com`;
        if (a === b || patternProblem(pattern) !== undefined) return;
        const flags = { impersonationAccounts: [pattern] };
        // An account that the pattern lets the first namespace name, and that is not one of the other's by the same pattern.
        const filled = (name: string) => `${before}${name}${after}`.replaceAll('*', star);
        const own = `${filled(a)}@tenants-1.iam.gserviceaccount.com`;
        expect(chosenIdentity(a, { [KEY]: own }, { ...settings, ...flags }).ok).toBe(isServiceAccount(own));
        expect(chosenIdentity(b, { [KEY]: own }, { ...settings, ...flags }).ok).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('what is looked at', () => {
  const desired = (spec: object) => desiredOf(tenantA({ spec }));
  const key = (changes: object) => ({ keys: [{ ...OPENAI, ...changes }] });

  test.each<[object, string]>([
    [{}, 'newestEnabled'],
    [{ rollout: 'OnRestart' }, 'latest'],
    [{ version: 7 }, '7'],
    [{ version: 7, rollout: 'OnRestart' }, '7'],
    [{ env: undefined }, 'none'],
    [{ env: undefined, version: 7 }, 'none'],
  ])('of a key %j: version %s', (changes, want) => {
    expect(targets(desired(key(changes)), []).keys).toEqual([
      { name: 'openai', secret: `projects/${PROJECT}/secrets/openai-key`, want },
    ]);
  });

  test('is what the spec names and what is on record, each service once', () => {
    const former = entry({ type: 'Service', name: serviceIn('r2') });
    const caller = entry({ type: 'Invoker', name: SERVICE, member: 'user:x@example.com' });
    const inventory = [...atRest, former, caller];
    expect(targets(desired({}), inventory)).toMatchObject({
      account: accountName(PROJECT, EMAIL),
      formerGrants: [SECRET],
      services: [SERVICE, serviceIn('r2')],
      invokersOf: [SERVICE, serviceIn('r2')],
      isPublic: true,
    });
    const replaced = [...atRest, { ...former, retireAt: at(5_000) }, caller];
    expect(targets(desired({}), replaced).invokersOf).toEqual([SERVICE]);
    expect(targets(desired({ access: 'Authenticated' }), inventory)).toMatchObject({
      invokersOf: [SERVICE, serviceIn('r2')],
      isPublic: false,
    });
    expect(targets(desired({ keys: [{ ...OPENAI, secretRef: { name: 'mine' } }] }), []).keys).toEqual([]);
  });
});

describe('the version of a key', () => {
  const key = (changes: Partial<DesiredKey>): DesiredKey => ({
    name: 'openai',
    env: 'K',
    version: 'latest',
    rollout: 'OnNewVersion',
    ...changes,
  });
  const live = (version: string) => ({ name: 'openai', version, granted: true });
  const found = (version: number, state: 'ENABLED' | 'DISABLED' | 'DESTROYED' | 'UNKNOWN' = 'ENABLED') =>
    present({ version, state });
  const resolve = (changes: Partial<DesiredKey>, read: Parameters<typeof resolveVersion>[3], before?: string) =>
    resolveVersion(key(changes), 's', 'p', read, before === undefined ? undefined : live(before));

  test.each<[string, Partial<DesiredKey>, number, string | undefined, string, string]>([
    ['latest is pinned to its number', {}, 3, undefined, '3', '3'],
    ['latest goes on to a newer one', {}, 4, '3', '4', '4'],
    ['latest stays', {}, 3, '3', '3', '3'],
    ['latest with OnRestart is left to Cloud Run', { rollout: 'OnRestart' }, 3, '9', 'latest', '3'],
    ['a number is itself, back as well', { version: '2' }, 2, '3', '2', '2'],
    ['a number with OnRestart too', { version: '2', rollout: 'OnRestart' }, 2, '3', '2', '2'],
  ])('%s', (_what, changes, newest, before, version, number) => {
    expect(resolve(changes, found(newest), before)).toEqual({ ok: true, version, number });
  });

  test.each<[string, Partial<DesiredKey>, Parameters<typeof resolveVersion>[3], string | undefined, string, string]>([
    [
      'none yet',
      {},
      absent,
      undefined,
      'DependencyNotFound',
      'Key openai: secret s has no usable version. Add one: gcloud secrets versions add s --project=p --data-file=-',
    ],
    [
      'a number that is not there',
      { version: '7' },
      absent,
      undefined,
      'DependencyNotFound',
      'Key openai: secret s has no version 7: name another one, or latest.',
    ],
    [
      'only an older one than was live',
      {},
      found(2),
      '3',
      'DependencyNotReady',
      'Key openai: version 3 of s was live and is no longer enabled; the newest one left, 2, is older, and the operator does ' +
        'not go back by itself. Enable 3, or go back on purpose with version: 2 in the spec, or add a new version: gcloud secrets versions add s --project=p --data-file=-',
    ],
    [
      'a disabled number',
      { version: '2' },
      found(2, 'DISABLED'),
      undefined,
      'DependencyNotReady',
      'Key openai: version 2 of s is disabled. Enable it: gcloud secrets versions enable 2 --secret=s --project=p',
    ],
    [
      'a destroyed latest, with OnRestart',
      { rollout: 'OnRestart' },
      found(5, 'DESTROYED'),
      undefined,
      'DependencyNotReady',
      'Key openai: version 5 of s is destroyed for good. Add a new one: gcloud secrets versions add s --project=p --data-file=-',
    ],
    [
      'a destroyed number',
      { version: '5' },
      found(5, 'DESTROYED'),
      undefined,
      'DependencyNotReady',
      'Key openai: version 5 of s is destroyed for good. Name another version in the spec, or latest',
    ],
    [
      'only a disabled one',
      {},
      found(4, 'DISABLED'),
      '4',
      'DependencyNotReady',
      'Key openai: secret s has no enabled version; the newest one, 4, is disabled. Enable it: gcloud secrets versions enable 4 --secret=s --project=p',
    ],
    [
      'only an older disabled one than was live',
      {},
      found(2, 'DISABLED'),
      '3',
      'DependencyNotReady',
      'Key openai: version 3 of s was live and is no longer enabled; the newest one left, 2, is older, and the operator does ' +
        'not go back by itself. Enable 3, or go back on purpose with version: 2 in the spec, or add a new version: gcloud secrets versions add s --project=p --data-file=-',
    ],
    [
      'an answer that never came',
      {},
      failed('Transient', 'lost'),
      '3',
      'Updating',
      'Cannot read the versions of secret s of key openai: lost. The operator tries again.',
    ],
  ])('%s is said with what to do about it', (_what, changes, read, before, reason, message) => {
    const unread = message.endsWith('The operator tries again.') ? { unread: true } : {};
    const blocker = { aspect: 'SecretAccess', reason, message, ...unread };
    expect(resolve(changes, read, before)).toEqual({ ok: false, blocker });
  });
});

describe('names', () => {
  test.each([
    ['tenants-1', true],
    ['example.com:tenants-1', true],
    ['tenan', false],
    ['tenant', true],
    [`t${'x'.repeat(29)}`, true],
    [`t${'x'.repeat(30)}`, false],
    ['1tenants', false],
    ['tenants-', false],
    ['Tenants-1', false],
    ['tenants-1/x', false],
    ['x/tenants-1', false],
    ['.com:tenants-1', false],
    ['123456', false],
  ])('%s is a project id: %s', (text, is) => expect(isProjectId(text)).toBe(is));

  test.each([
    ['sa@p-123.iam.gserviceaccount.com', true],
    ['123-compute@developer.gserviceaccount.com', true],
    [`${'a'.repeat(63)}@p.iam.gserviceaccount.com`, true],
    [`${'a'.repeat(64)}@p.iam.gserviceaccount.com`, false],
    ['-a@p.iam.gserviceaccount.com', false],
    ['a@p.iam.gserviceaccount.com/x', false],
    ['x a@p.iam.gserviceaccount.com', false],
    ['a@p..iam.gserviceaccount.com', false],
    ['a@example.com', false],
    ['a@piamxgserviceaccountxcom', false],
  ])('%s is a service account: %s', (text, is) => expect(isServiceAccount(text)).toBe(is));

  test.each([
    ['anything', [], true],
    ['team-a', ['team-*'], true],
    ['team-', ['team-*'], true],
    ['a-team-a', ['team-*'], false],
    ['team-a', ['team'], false],
    ['a.b', ['a.b'], true],
    ['axb', ['a.b'], false],
    ['a-x-b', ['a*b'], true],
    ['ab', ['x', 'a*b'], true],
  ])('%s matches any of %j: %s', (text, patterns, is) => expect(matchesAny(text, patterns)).toBe(is));

  test('of a pattern stand for themselves, whatever characters they have', () => {
    fc.assert(
      fc.property(
        fc.string().filter(text => !text.includes('*')),
        fc.string(),
        (text, rest) => {
          expect(matchesAny(text, [text])).toBe(true);
          expect(matchesAny(`${text}x`, [text])).toBe(false);
          if (!/[\r\n\u2028\u2029]/.test(rest)) expect(matchesAny(text + rest, [`${text}*`])).toBe(true);
        },
      ),
    );
  });

  test('of an account in a domain’s project', () => {
    expect(serviceAccountEmail('sa-a', 'example.com:web')).toBe('sa-a@web.example.com.iam.gserviceaccount.com');
  });

  test('are taken apart', () => {
    expect(part(SERVICE, 'locations')).toBe(REGION);
    expect(part(SERVICE, 'projects')).toBe(PROJECT);
    expect(part(SERVICE, 'secrets')).toBe('');
    expect(part('projects/p/secrets', 'secrets')).toBe('');
  });
});

test('what others wrote is fit for a terminal, and cut', () => {
  expect(printable('a\u0000\u001b[31mb\r\n\u202ec é')).toBe('a [31mb c é');
  expect(quoted('x\ny')).toBe('"x y"');
  expect(quoted('x'.repeat(100))).toBe(`"${'x'.repeat(100)}"`);
  expect(quoted('x'.repeat(101))).toBe(`"${'x'.repeat(100)}…"`);
});
