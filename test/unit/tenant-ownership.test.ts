import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  claimByDescription,
  claimByLabels,
  consentCommand,
  describedOwner,
  labelledOwner,
  markDescription,
  markedCluster,
  ownerLabels,
  secretConsent,
  unmarkDescription,
  withoutOwnerLabels,
} from '../../operator/tenant/ownership.ts';

const owner = { cluster: 'c1', namespace: 'team', name: 'tenant-a' };
const rules = { owner, policy: 'labelled' as const };

describe('marks in labels', () => {
  test('are ours with all three, or with those that somebody left', () => {
    expect(claimByLabels(ownerLabels(owner), rules)).toBe('ours');
    expect(claimByLabels({ 'ai-tenant-owner-name': 'tenant-a' }, rules)).toBe('ours');
  });

  test.each([['cluster'], ['namespace'], ['name']])('are another’s when the %s differs', key => {
    expect(claimByLabels({ ...ownerLabels(owner), [`ai-tenant-owner-${key}`]: 'other' }, rules)).toBe('theirs');
  });

  test('beat consent', () => {
    const labels = { ...ownerLabels({ ...owner, name: 'other' }), 'ai-tenant-namespace': 'team' };
    expect(claimByLabels(labels, rules)).toBe('theirs');
  });

  test('come off and leave the rest', () => {
    expect(withoutOwnerLabels({ ...ownerLabels(owner), mine: 'x' })).toEqual({ mine: 'x' });
  });
});

describe('consent', () => {
  test.each([
    [{ 'ai-tenant-namespace': 'team' }, true],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c1' }, true],
    [{ 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c2' }, false],
    [{ 'ai-tenant-namespace': 'teams' }, false],
    [{ 'ai-tenant-cluster': 'c1' }, false],
    [{}, false],
  ])('by labels %j: %s', (labels, given) => {
    expect(secretConsent(labels as Record<string, string>, rules)).toBe(given);
    expect(secretConsent(labels as Record<string, string>, { ...rules, policy: 'any' })).toBe(true);
  });

  test.each([
    ['made by hand ai-tenant-namespace=team', 'consented'],
    ['ai-tenant-namespace=team ai-tenant-cluster=c2', 'unclaimed'],
    ['ai-tenant-namespace=teams', 'unclaimed'],
    ['xai-tenant-namespace=team', 'unclaimed'],
    ['', 'unclaimed'],
    ['ai-tenant-owner=c1/team/tenant-a', 'ours'],
    ['ai-tenant-owner=c1/team/tenant-ab', 'theirs'],
    ['ai-tenant-owner=c2/team/tenant-a ai-tenant-namespace=team', 'theirs'],
  ])('by description "%s": %s', (description, claim) => {
    expect(claimByDescription(description, rules)).toBe(claim);
  });

  test('is asked for with a command that keeps what stands there', () => {
    expect(consentCommand.account('p', 'a@b.c', "Jane's", owner)).toBe(
      "gcloud iam service-accounts update a@b.c --project=p --description='Jane'\\''s ai-tenant-namespace=team'",
    );
    expect(consentCommand.service('projects/p/locations/r/services/s', { mine: 'x' }, owner)).toContain(
      `updateMask=labels' -d '{"labels":{"mine":"x","ai-tenant-namespace":"team"}}'`,
    );
  });
});

describe('the word in a description', () => {
  test('is added beside what stands there and taken off again', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9 .]{0,120}$/), text => {
        const marked = markDescription(text, owner);
        expect(marked).toBeDefined();
        expect(claimByDescription(marked ?? '', rules)).toBe('ours');
        expect(unmarkDescription(marked ?? '').trim()).toBe(text.trim());
      }),
    );
  });

  test('needs room: 256 bytes, not characters', () => {
    expect(markDescription('説'.repeat(80), owner)).toBeUndefined();
    expect(markDescription('x'.repeat(200), owner)).toBeDefined();
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

describe('whose something is', () => {
  test('is told as far as the marks do', () => {
    expect(labelledOwner(ownerLabels(owner))).toBe('c1/team/tenant-a');
    expect(labelledOwner({ 'ai-tenant-owner-name': 'tenant-a', mine: 'x' })).toBe('?/?/tenant-a');
    expect(labelledOwner({ mine: 'x' })).toBeUndefined();
    expect(describedOwner('x\tai-tenant-owner=c/n/t y')).toBe('c/n/t');
    expect(describedOwner('xai-tenant-owner=c/n/t')).toBeUndefined();
  });

  test('is nobody’s yet without marks: consent decides, for one cluster or for any', () => {
    expect(claimByLabels({ 'ai-tenant-namespace': 'team' }, rules)).toBe('consented');
    expect(claimByLabels({ 'ai-tenant-namespace': 'other' }, rules)).toBe('unclaimed');
    const elsewhere = { 'ai-tenant-namespace': 'team', 'ai-tenant-cluster': 'c2' };
    expect(claimByLabels(elsewhere, rules)).toBe('unclaimed');
    expect(claimByLabels(elsewhere, { ...rules, anyCluster: true })).toBe('consented');
    expect(claimByDescription('ai-tenant-namespace=team ai-tenant-cluster=c1', rules)).toBe('consented');
  });
});

describe('a command that gives consent', () => {
  test('names just what it is about', () => {
    expect(consentCommand.secret('p', 's', owner)).toBe(
      'gcloud secrets update s --project=p --update-labels=ai-tenant-namespace=team',
    );
    expect(consentCommand.account('p', 'a@b.c', '  ', owner)).toBe(
      "gcloud iam service-accounts update a@b.c --project=p --description='ai-tenant-namespace=team'",
    );
  });
});

test('a mark comes off wherever it stands, and takes only its own white space along', () => {
  const mark = 'ai-tenant-owner=c1/team/tenant-a';
  expect(unmarkDescription(`${mark} by  hand`)).toBe('by  hand');
  expect(unmarkDescription(`by ${mark} hand`)).toBe('by hand');
  expect(unmarkDescription(`by hand \t ${mark}`)).toBe('by hand');
  expect(unmarkDescription(`x${mark}`)).toBe(`x${mark}`);
  expect(markDescription('by hand  ', owner)).toBe(`by hand ${mark}`);
  expect(markDescription('x'.repeat(256 - mark.length - 1), owner)).toHaveLength(256);
  expect(markDescription('x'.repeat(256 - mark.length), owner)).toBeUndefined();
});
