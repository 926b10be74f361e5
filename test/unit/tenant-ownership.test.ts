import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  claimByDescription,
  claimByLabels,
  consentCommand,
  markDescription,
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
