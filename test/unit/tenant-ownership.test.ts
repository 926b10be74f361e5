import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  accountConflict,
  askForForeignSecret,
  askForSecret,
  commandIn,
  serviceConflict,
} from '../../operator/tenant/consent.ts';
import {
  type ClaimRules,
  claimAccount,
  claimService,
  consentOf,
  describedConsent,
  describedOwner,
  labelledOwner,
  markDescription,
  markedCluster,
  ownerLabels,
  secretConsent,
  unmarkDescription,
  withoutOwnerLabels,
} from '../../operator/tenant/ownership.ts';
import type { InventoryEntry } from '../../operator/tenant/types.ts';
import { accountA, serviceA } from './support/tenantWorld.ts';

const owner = { cluster: 'c1', namespace: 'team', name: 'tenant-a' };
const SERVICE = 'projects/p/locations/r/services/ai-platform-tenant-a';
const entries = (...types: ('ServiceAccount' | 'Service' | 'SecretAccess')[]): InventoryEntry[] =>
  types.map(type => ({ type, name: SERVICE, time: '' }));
const rules: ClaimRules = { owner, policy: 'labelled', inventory: [], namespaceUid: 'u-1' };
const known: ClaimRules = { ...rules, inventory: entries('Service') };
const MARK = 'ai-tenant-owner=c1/team/tenant-a';

const byLabels = (labels: Record<string, string>, given = rules) => claimService({ name: SERVICE, labels }, given);
const byDescription = (description: string, given = rules) => claimAccount({ description, uniqueId: '7' }, given);

/** Every way to take some of the three owner labels off. */
const subsets = Array.from({ length: 8 }, (_, bits) =>
  Object.fromEntries(Object.entries(ownerLabels(owner)).filter((_entry, at) => (bits >> at) & 1)),
);

describe('owner labels', () => {
  test.each(subsets)('%j: ours only if whole, or if the inventory names the service', labels => {
    const count = Object.keys(labels).length;
    expect(byLabels(labels, known)).toBe(count === 0 ? 'unclaimed' : 'ours');
    expect(byLabels(labels)).toBe(['unclaimed', 'partial', 'partial', 'unknown'][count]);
  });

  test('that are not whole are nobody’s who is not on record: whatever consents, asks or restores', () => {
    const consent = { 'ai-tenant-namespace': 'team' };
    const inventory = [
      ...entries('ServiceAccount', 'SecretAccess'),
      { ...entries('Service')[0], name: 'other' } as InventoryEntry,
    ];
    for (const labels of subsets.filter(each => [1, 2].includes(Object.keys(each).length))) {
      const given = { ...rules, adopt: true, restore: true, policy: 'any', inventory } as const;
      expect(byLabels({ ...labels, ...consent }, given)).toBe('partial');
    }
  });

  test('that are not whole make no service of another name the tenant’s, whatever its status says', () => {
    const victim = 'projects/p/locations/r/services/ai-platform-victim';
    const forged = { ...rules, inventory: [{ type: 'Service' as const, name: victim, time: '' }] };
    const labels = { 'ai-tenant-owner-cluster': 'c1' };
    expect(claimService({ name: victim, labels }, forged)).toBe('partial');
    expect(byLabels(labels, known)).toBe('ours');
  });

  test('with one that differs are another’s, whatever is on record, consents, asks or restores', () => {
    const value = fc.option(fc.constantFrom('c1', 'team', 'tenant-a', 'x', ''), { nil: undefined });
    fc.assert(
      fc.property(fc.tuple(value, value, value), fc.boolean(), (values, flag) => {
        const keys = Object.keys(ownerLabels(owner));
        const labels = Object.fromEntries(
          keys.flatMap((key, at) => (values[at] === undefined ? [] : [[key, values[at]]])),
        );
        const differs = Object.entries(labels).some(([key, found]) => ownerLabels(owner)[key] !== found);
        const claim = byLabels({ ...labels, 'ai-tenant-namespace': 'team' } as Record<string, string>, {
          ...known,
          adopt: flag,
          restore: flag,
        });
        expect(claim === 'theirs').toBe(differs);
      }),
    );
  });

  test.each([
    [{ adopt: true }, 'ours'],
    [{ restore: true }, 'ours'],
    [{ policy: 'any' as const }, 'ours'],
    [{}, 'unknown'],
  ])('that are whole and that the inventory does not know, with %j: %s', (over, claim) => {
    expect(byLabels(ownerLabels(owner), { ...rules, ...over })).toBe(claim);
    expect(byDescription(MARK, { ...rules, ...over })).toBe(claim);
  });

  test('come off and leave the rest', () => {
    expect(withoutOwnerLabels({ ...ownerLabels(owner), mine: 'x' })).toEqual({ mine: 'x' });
  });
});

describe('an account', () => {
  const account = (uniqueId?: string): ClaimRules => ({
    ...rules,
    inventory: [{ type: 'ServiceAccount', name: 'n', time: '', ...(uniqueId && { uniqueId }) }],
  });
  test.each([
    ['of the identity on record', account('7'), 'ours'],
    ['of a create call whose answer never came', account(), 'ours'],
    ['of another identity, made by whoever deleted the first', account('6'), 'unknown'],
    ['of none on record', rules, 'unknown'],
  ])('with our word, %s', (_what, given, claim) => {
    expect(byDescription(`by hand ${MARK}`, given)).toBe(claim);
  });

  test('with two owners’ words is another’s', () => {
    expect(byDescription(`${MARK} ai-tenant-owner=c1/victim/x`, account('7'))).toBe('theirs');
    expect(byDescription(`ai-tenant-owner=c1/victim/x ${MARK}`, account('7'))).toBe('theirs');
  });
});

describe('consent', () => {
  test.each([
    [{ 'ai-tenant-namespace': 'team' }, 'given'],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c1' }, 'given'],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c2' }, 'otherCluster'],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-namespace-uid': 'u-1' }, 'given'],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-namespace-uid': 'u-0' }, 'otherUid'],
    [{ 'ai-tenant-namespace': 'teams' }, 'otherNamespace'],
    [{ 'ai-tenant-cluster': 'c1' }, 'none'],
    [{}, 'none'],
  ])('by labels %j: %s', (labels, consent) => {
    const given = labels as Record<string, string>;
    expect(secretConsent(given, rules, false)).toBe(consent === 'given');
    // Another UID takes nothing away that stands: a Namespace that was restored has another one too.
    expect(secretConsent(given, rules, true)).toBe(consent === 'given' || consent === 'otherUid');
    expect(secretConsent(given, { ...rules, policy: 'any' }, false)).toBe(true);
  });

  test('for a UID that is not known is none', () => {
    const labels = { 'ai-tenant-namespace': 'team', 'ai-tenant-namespace-uid': 'u-1' };
    expect(secretConsent(labels, { ...rules, namespaceUid: undefined }, false)).toBe(false);
    expect(secretConsent(labels, { ...rules, namespaceUid: undefined, anyCluster: true }, false)).toBe(true);
  });

  test.each([
    ['made by hand ai-tenant-namespace=team', 'consented'],
    ['made by hand [ai-tenant-namespace=team]', 'consented'],
    ['[ai-tenant-namespace=team] made by hand', 'consented'],
    ['[ai-tenant-namespace=team] ai-tenant-namespace=team', 'consented'],
    ['[ai-tenant-namespace=team] [ai-tenant-namespace-uid=u-1]', 'consented'],
    ['[ai-tenant-namespace=team] [ai-tenant-namespace-uid=u-0]', 'unclaimed'],
    ['ai-tenant-namespace=team ai-tenant-cluster=c2', 'unclaimed'],
    ['ai-tenant-namespace=team-b ai-tenant-namespace=team', 'unclaimed'],
    ['ai-tenant-namespace=team [ai-tenant-namespace=team-b]', 'unclaimed'],
    ['ai-tenant-namespace=teams', 'unclaimed'],
    ['xai-tenant-namespace=team', 'unclaimed'],
    ['never put [ai-tenant-namespace=team], please', 'unclaimed'],
    ['"[ai-tenant-namespace=team]"', 'unclaimed'],
    ['ai-tenant-namespace=team;', 'unclaimed'],
    ['team:\u00a0ai-tenant-namespace=team', 'unclaimed'],
    ['x\u2028ai-tenant-namespace=team', 'unclaimed'],
    ['x\ufeffai-tenant-namespace=team', 'unclaimed'],
    ['x\nai-tenant-namespace=team', 'unclaimed'],
    ['x\tai-tenant-namespace=team', 'unclaimed'],
    ['AI-TENANT-NAMESPACE=team', 'unclaimed'],
    ['', 'unclaimed'],
    ['ai-tenant-owner=c1/team/tenant-a', 'ours'],
    ['[ai-tenant-owner=c1/team/tenant-a]', 'ours'],
    ['ai-tenant-owner=c1/team/tenant-ab', 'theirs'],
    ['ai-tenant-owner=c2/team/tenant-a ai-tenant-namespace=team', 'theirs'],
  ])('by description "%s": %s, if the AiTenant asks for it', (description, claim) => {
    expect(byDescription(description, { ...rules, adopt: true })).toBe(claim);
    if (claim === 'consented') expect(byDescription(description)).toBe('unasked');
  });

  test('by labels on a service: only if the AiTenant asks for it', () => {
    expect(byLabels({ 'ai-tenant-namespace': 'team' })).toBe('unasked');
    expect(byLabels({ 'ai-tenant-namespace': 'team' }, known)).toBe('unasked');
    expect(byLabels({ 'ai-tenant-namespace': 'team' }, { ...rules, adopt: true })).toBe('consented');
    expect(byLabels({}, { ...rules, policy: 'any' })).toBe('consented');
    const elsewhere = { 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c2' };
    expect(byLabels(elsewhere, { ...rules, adopt: true })).toBe('unclaimed');
    expect(byLabels(elsewhere, { ...rules, adopt: true, anyCluster: true })).toBe('consented');
  });
});

describe('a printed command', () => {
  const value = (own: string) => fc.option(fc.constantFrom(own, 'other'), { nil: undefined });
  const marks = fc.record({
    namespace: value('team'),
    cluster: value('c1'),
    uid: value('u-1'),
    consentUid: fc.boolean(),
  });
  const standing = (given: { namespace?: string; cluster?: string; uid?: string }): Record<string, string> =>
    JSON.parse(
      JSON.stringify({
        mine: 'x',
        'ai-tenant-namespace': given.namespace,
        'ai-tenant-cluster': given.cluster,
        'ai-tenant-namespace-uid': given.uid,
      }),
    );
  /** Somebody may use it whom the command would keep from it. */
  const isTheirs = ({ namespace, cluster, uid }: { namespace?: string; cluster?: string; uid?: string }) =>
    namespace !== undefined && (namespace !== 'team' || cluster === 'other' || (uid === 'other' && cluster !== 'c1'));

  test('on a secret works when obeyed, and is printed unless somebody would lose something', () => {
    fc.assert(
      fc.property(marks, ({ consentUid, ...given }) => {
        const labels = standing(given as never);
        const asks = { ...rules, consentUid };
        if (secretConsent(labels, asks, false)) return;
        const command = commandIn(askForSecret({ project: 'p', id: 's', labels }, asks));
        expect(command === undefined).toBe(isTheirs(given as never));
        if (command === undefined) return;
        const [, pairs = ''] = /--update-labels=(\S+)$/.exec(command) ?? [];
        const set = Object.fromEntries(pairs.split(',').map(pair => pair.split('=')));
        expect(secretConsent({ ...labels, ...set }, asks, false)).toBe(true);
        expect('ai-tenant-namespace-uid' in set).toBe(consentUid || given.uid !== undefined);
      }),
    );
  });

  test('on an account works when obeyed, keeps what else stands there, and is printed unless somebody would lose something', () => {
    const prose = fc.stringMatching(/^[A-Za-z0-9.' ]{0,60}$/);
    fc.assert(
      fc.property(marks, prose, ({ consentUid, ...given }, text) => {
        const asks = { ...rules, adopt: true, consentUid };
        const words = Object.entries(standing(given as never)).flatMap(([key, found]) =>
          key === 'mine' ? [] : `[${key}=${found}]`,
        );
        const found = accountA({ description: [text, ...words].join(' ') });
        const claim = claimAccount(found, asks);
        if (claim === 'consented') return;
        const command = commandIn(accountConflict(found, claim, 'p', asks));
        expect(command === undefined).toBe(isTheirs(given as never));
        if (command === undefined) return;
        const described = (/--description='(.*)'$/s.exec(command)?.[1] ?? '').replaceAll("'\\''", "'");
        expect(claimAccount({ ...found, description: described }, asks)).toBe('consented');
        expect(described).toContain(text.trim());
        expect(markDescription(described, owner)).toBeDefined();
      }),
    );
  });

  test('on a service works when obeyed, keeps other labels, and is printed unless somebody would lose something', () => {
    fc.assert(
      fc.property(marks, ({ consentUid, ...given }) => {
        const labels = standing(given as never);
        const asks = { ...rules, adopt: true, consentUid };
        const found = serviceA({ labels });
        const claim = claimService(found, asks);
        if (claim === 'consented') return;
        const command = commandIn(serviceConflict(found, claim, asks));
        expect(command === undefined).toBe(isTheirs(given as never));
        if (command === undefined) return;
        const body = JSON.parse(/-d '(.*)'$/.exec(command)?.[1] ?? '') as { labels: Record<string, string> };
        expect(claimService({ ...found, labels: body.labels }, asks)).toBe('consented');
        expect(body.labels.mine).toBe('x');
      }),
    );
  });

  test('is not printed where it could not work: no room, no label left, or too long to be shown whole', () => {
    const asks = { ...rules, adopt: true };
    const long = accountA({ description: 'x'.repeat(250) });
    expect(commandIn(accountConflict(long, 'unclaimed', 'p', asks))).toBeUndefined();
    const odd = accountA({ description: 'two\nlines' });
    expect(commandIn(accountConflict(odd, 'unclaimed', 'p', asks))).toBeUndefined();
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`label-${at}`, 'x'.repeat(60)]));
    expect(commandIn(askForSecret({ project: 'p', id: 's', labels }, asks))).toBeUndefined();
    const service = serviceA({ labels: Object.fromEntries(Object.entries(labels).slice(0, 40)) });
    expect(commandIn(serviceConflict(service, 'unclaimed', asks))).toBeUndefined();
  });

  test('is never printed for what another owner holds, what is partly marked, and secrets of other projects', () => {
    for (const claim of ['theirs', 'partial', 'unknown', 'unasked'] as const) {
      expect(commandIn(accountConflict(accountA(), claim, 'p', rules))).toBeUndefined();
      expect(commandIn(serviceConflict(serviceA(), claim, rules))).toBeUndefined();
    }
    expect(commandIn(askForForeignSecret('p', 's', rules))).toBeUndefined();
  });
});

describe('the word in a description', () => {
  test('is added beside what stands there and taken off again', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9 .\n]{0,120}$/), text => {
        const marked = markDescription(text, owner);
        expect(marked).toBeDefined();
        expect(byDescription(marked ?? '', { ...rules, restore: true })).toBe('ours');
        expect(unmarkDescription(marked ?? '').trim()).toBe(text.trim());
      }),
    );
  });

  test('needs room: 256 bytes, not characters; the words of consent make room, and only where it is needed', () => {
    expect(markDescription('説'.repeat(80), owner)).toBeUndefined();
    expect(markDescription('x'.repeat(200), owner)).toBeDefined();
    expect(markDescription('by hand ai-tenant-namespace=team', owner)).toBe(`by hand ai-tenant-namespace=team ${MARK}`);
    const words = '[ai-tenant-namespace=team] ai-tenant-cluster=c1 [ai-tenant-namespace-uid=u-1]';
    expect(markDescription(`${'x'.repeat(200)} ${words}`, owner)).toBe(`${'x'.repeat(200)} ${MARK}`);
  });

  test('comes off wherever it stands, in both forms, with the plain spaces before it', () => {
    expect(unmarkDescription(`${MARK} by  hand`)).toBe('by  hand');
    expect(unmarkDescription(`by ${MARK} hand`)).toBe('by hand');
    expect(unmarkDescription(`by [${MARK}] hand`)).toBe('by hand');
    expect(unmarkDescription(`by hand   ${MARK}`)).toBe('by hand');
    expect(unmarkDescription(`x${MARK}`)).toBe(`x${MARK}`);
    expect(markDescription('by hand  ', owner)).toBe(`by hand ${MARK}`);
    expect(markDescription('x'.repeat(256 - MARK.length - 1), owner)).toHaveLength(256);
    expect(markDescription('x'.repeat(256 - MARK.length), owner)).toBeUndefined();
  });

  test('is told as far as the marks do', () => {
    expect(labelledOwner(ownerLabels(owner))).toBe('c1/team/tenant-a');
    expect(labelledOwner({ 'ai-tenant-owner-name': 'tenant-a', mine: 'x' })).toBe('?/?/tenant-a');
    expect(labelledOwner({ mine: 'x' })).toBeUndefined();
    expect(describedOwner('x ai-tenant-owner=c/n/t y')).toBe('c/n/t');
    expect(describedOwner('x\tai-tenant-owner=c/n/t y')).toBeUndefined();
    expect(consentOf(describedConsent('ai-tenant-namespace=team'), rules)).toBe('given');
  });
});

describe('whose cluster a mark names', () => {
  const labels = ownerLabels({ ...owner, cluster: 'c9' });
  const described = 'by hand ai-tenant-owner=c8/team/tenant-a';
  test('is told for the same namespace and name only: by the labels first, then by the description', () => {
    expect(markedCluster(labels, described, owner)).toBe('c9');
    expect(markedCluster({}, described, owner)).toBe('c8');
    for (const other of [
      { ...owner, namespace: 'x' },
      { ...owner, name: 'x' },
    ]) {
      expect(markedCluster(labels, described, other)).toBeUndefined();
    }
    expect(markedCluster({}, '', owner)).toBeUndefined();
  });
});
