import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { iam_v1 } from '@googleapis/iam';
import { describe, expect, test } from 'vitest';
import { DENY_RULES } from '../../operator/cli/guardrail.ts';
import { type HttpRule, METHODS, rpc } from '../../operator/gcp/methods.ts';
import { httpRequestOf } from '../../operator/gcp/rest.ts';
import type { JsonObject } from '../../ports/json.ts';

/** The HTTP rules that the operator keeps, held against those that the vendor's packages ship. */

interface Namespace {
  nested?: Record<string, Namespace>;
  methods?: Record<string, { parsedOptions?: Record<string, unknown>[] }>;
}

const shipped = Object.fromEntries(
  ['run', 'secret-manager', 'iam'].map(name => {
    const path = createRequire(import.meta.url).resolve(`@google-cloud/${name}/build/protos/protos.json`);
    return [name, JSON.parse(readFileSync(path, 'utf8')) as Namespace];
  }),
);

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Every binding of a method as the operator writes its own, the first one first. */
function published(pkg: string, method: string): HttpRule[] {
  const names = method.split('.');
  const last = names.pop() ?? '';
  const service = names.reduce<Namespace | undefined>((at, name) => at?.nested?.[name], shipped[pkg]);
  const options = (service?.methods?.[last]?.parsedOptions ?? []) as Record<string, Record<string, string>>[];
  const rules = options.map(option => option['(google.api.http)']).filter(rule => rule !== undefined);
  return rules.map(rule => {
    const verb = ['get', 'post', 'put', 'patch', 'delete'].find(one => rule[one]) ?? '';
    const path = String(rule[verb]).replace(/\{[^=]+/g, camel);
    return {
      http: `${verb.toUpperCase()} ${path}` as HttpRule['http'],
      ...(rule.body && { body: camel(rule.body) }),
    };
  });
}

const ruleOf = ({ http, body }: HttpRule): HttpRule => ({ http, ...(body && { body }) });
const PACKAGES: Record<string, string> = { run: 'run', secretmanager: 'secret-manager' };

test.each([...METHODS].filter(([name]) => !name.includes('iam.admin')))('%s', (name, method) => {
  expect(ruleOf(method)).toEqual(published(PACKAGES[method.api] ?? '', name)[0]);
});

test.each(Object.entries(DENY_RULES).filter(([name]) => name !== 'GetOperation'))('deny policies: %s', (name, rule) => {
  expect(ruleOf(rule)).toEqual(published('iam', `google.iam.v2.Policies.${name}`)[0]);
});

test('operations of deny policies: the rule of the service’s configuration, which its generated client carries', () => {
  const client = createRequire(import.meta.url).resolve('@google-cloud/iam/build/src/v2/policies_client.js');
  expect(readFileSync(client, 'utf8')).toContain(DENY_RULES.GetOperation?.http.replace('GET ', ''));
});

describe('service accounts: the request is the one that @googleapis/iam makes', () => {
  interface Sent {
    url: string;
    method?: string;
    params?: Record<string, string>;
    data?: JsonObject;
  }
  const sent: unknown[] = [];
  const auth = {
    async request({ url, method = 'GET', params = {}, data }: Sent) {
      const query = new URLSearchParams(params);
      const path = new URL(url).pathname;
      sent.push({
        method,
        path: query.size > 0 ? `${path}?${query}` : path,
        ...(data && { body: JSON.stringify(data) }),
      });
      return { data: {} };
    },
  };
  const { serviceAccounts } = new iam_v1.Iam({ auth: auth as unknown as iam_v1.Options['auth'] }).projects;
  const name = 'projects/p-123/serviceAccounts/sa-tenant-a@p-123.iam.gserviceaccount.com';
  const project = 'projects/p-123';
  const account = { accountId: 'sa-tenant-a', serviceAccount: { displayName: 'd', description: 'w' } };
  const change = { serviceAccount: { description: 'w' }, updateMask: 'description' };

  const calls: [keyof typeof rpc, JsonObject, () => unknown][] = [
    ['getAccount', { name }, () => serviceAccounts.get({ name })],
    [
      'listAccounts',
      { name: project, pageSize: 7, pageToken: 'a/b' },
      () => serviceAccounts.list({ name: project, pageSize: 7, pageToken: 'a/b' }),
    ],
    [
      'createAccount',
      { name: project, ...account },
      () => serviceAccounts.create({ name: project, requestBody: account }),
    ],
    [
      'patchAccount',
      { ...change, serviceAccount: { name, ...change.serviceAccount } },
      () => serviceAccounts.patch({ name, requestBody: change }),
    ],
    ['deleteAccount', { name }, () => serviceAccounts.delete({ name })],
  ];

  test.each(calls)('%s', async (short, request, call) => {
    sent.length = 0;
    await call();
    const rule = METHODS.get(rpc[short]);
    expect(sent).toEqual([rule && httpRequestOf(rule, request)]);
  });

  test('and these are all that the operator calls', () => {
    const names = [...METHODS.keys()].filter(method => method.startsWith('google.iam.admin.v1.IAM.'));
    expect(calls.map(([short]) => rpc[short]).sort()).toEqual(names.sort());
  });
});
