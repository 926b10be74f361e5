import { expect, test } from 'vitest';
import { METHODS } from '../../operator/gcp/methods.ts';
import { readNeeds } from '../../operator/gcp/needs.ts';
import { observe } from '../../operator/gcp/observe.ts';
import { needOf } from '../../operator/gcp/quota.ts';
import { createReads } from '../../operator/gcp/reads.ts';
import type { Targets } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';

/** The budget that a reconcile claims before its reads is the number of calls that it makes. */

const NUMBER = '123456789012';
const targets = (more: Partial<Targets>): Targets => ({
  account: 'projects/demo-project/serviceAccounts/sa-a@demo-project.iam.gserviceaccount.com',
  keys: [],
  formerGrants: [],
  services: ['projects/demo-project/locations/asia-northeast1/services/ai-platform-a'],
  invokersOf: [],
  isPublic: false,
  ...more,
});
const key = (id: string, project = 'demo-project') => ({
  name: id,
  secret: `projects/${project}/secrets/${id}`,
  want: 'newestEnabled',
});
const grant = (id: string, project = NUMBER) => `projects/${project}/secrets/${id}`;

/** Reads of secrets, as Google Cloud answers them: with the project's number. */
const call: GcpCall = async (_method, { name, parent, resource }) => {
  const asked = String(name ?? parent ?? resource);
  const secret = asked.replace('demo-project', NUMBER);
  if (!asked.includes('/secrets/')) return { ok: false, status: { code: 'NOT_FOUND', message: 'no' } };
  const versions = [{ name: `${secret}/versions/1`, state: 'ENABLED' }];
  return { ok: true, response: { name: secret, etag: 'e', versions } };
};

async function callsOf(wanted: Targets): Promise<Record<string, number>> {
  const calls: Record<string, number> = {};
  const counted: GcpCall = (method, request) => {
    const { api, kind } = needOf(method, request) ?? {};
    calls[`${api}.${kind}`] = (calls[`${api}.${kind}`] ?? 0) + 1;
    return call(method, request);
  };
  await observe(createReads(counted), wanted);
  return calls;
}

test.each<[string, Partial<Targets>]>([
  ['keys without a recorded grant', { keys: [key('a'), key('b')] }],
  ['keys whose grants are recorded', { keys: [key('a'), key('b')], formerGrants: [grant('a'), grant('b')] }],
  ['a grant whose key has left the spec', { keys: [key('a')], formerGrants: [grant('a'), grant('gone')] }],
  [
    'a grant on a secret of one id in another project',
    { keys: [key('a')], formerGrants: [grant('a', 'other'), grant('a')] },
  ],
  ['grants alone', { formerGrants: [grant('a'), grant('b')] }],
])('%s', async (_what, more) => {
  for (const formerConsent of [true, false]) {
    const wanted = targets({ ...more, formerConsent });
    const needs: Record<string, number> = {};
    for (const { api, kind, calls } of readNeeds(wanted)) {
      needs[`${api}.${kind}`] = (needs[`${api}.${kind}`] ?? 0) + calls;
    }
    expect(needs).toEqual(await callsOf(wanted));
  }
});

test.each([...METHODS])(
  '%s: a call is counted in the project that its request names',
  (method, { api, http, write }) => {
    const [, field = '', form = ''] = /\{([\w.]+)=([^}]+)\}/.exec(http) ?? [];
    const name = form.replaceAll('*', 'p-1');
    const request = field.split('.').reduceRight<JsonObject | string>((inner, step) => ({ [step]: inner }), name);
    const expected = { api, kind: write ? 'write' : 'read', project: 'p-1', calls: 1 };
    expect(needOf(method, request as JsonObject)).toMatchObject(expected);
  },
);
