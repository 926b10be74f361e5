import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readManifests } from '../../operator/cli/manifests.ts';
import { parseAccount } from '../../operator/gcp/account.ts';
import { parsePolicy, policyForWriting } from '../../operator/gcp/iamPolicy.ts';
import { isObject, json, stringMap } from '../../operator/gcp/parse.ts';
import { badName, partsOf, type Shape, sameButProject } from '../../operator/gcp/resourceNames.ts';
import { newestIn, parseSecret, parseVersion } from '../../operator/gcp/secret.ts';
import { parseService } from '../../operator/gcp/service.ts';
import { statusOf } from '../../operator/gcp/status.ts';
import { isProjectId, isServiceAccount } from '../../operator/tenant/names.ts';
import { claimAccount, describedOwner, markDescription, unmarkDescription } from '../../operator/tenant/ownership.ts';
import { printable, quoted } from '../../operator/tenant/printable.ts';
import { quantity, sameQuantity } from '../../operator/tenant/quantity.ts';
import {
  applyScaling,
  applyTemplate,
  pinnedVersions,
  retryCount,
  scalingInForce,
} from '../../operator/tenant/template.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import type { Target } from './fuzzer.ts';
import { mustBeSound, mustLeaveOthersAlone, road } from './road.ts';
import { NOTHING, SCENES } from './scenes.ts';

/** Everything of ours that reads what others wrote, and what must hold of it whatever that is. */

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const OWNER = { cluster: 'c1', namespace: 'team', name: 'tenant-a' };
const SHAPES: Shape[] = ['project', 'location', 'service', 'secret', 'secretVersion', 'account'];

/** A line each: what a target that needs several texts takes them from. */
const lines = (input: string): [string, string, string] => {
  const [a = '', b = '', ...rest] = input.split('\n');
  return [a, b, rest.join('\n')];
};

const asObject = (input: string): JsonObject => {
  const value = json(input);
  return isObject(value) ? value : {};
};

let folder: string | undefined;

export const targets: Target[] = [
  {
    name: 'quantities',
    seeds: ['1', '1000m', '512Mi', '1e3', '.5', '+1.5E-2', '1\n1000m'],
    words: ['m', 'k', 'Ki', 'Mi', 'Gi', 'E', 'e-', '.', '1e308'],
    run(input) {
      const [a, b] = lines(input);
      const value = quantity(a);
      must(value === undefined || typeof value === 'number', 'a quantity is a number or none');
      must(value === undefined || !Number.isNaN(value), 'a quantity is not NaN');
      must(sameQuantity(a, a), 'a quantity is the same as itself');
      must(sameQuantity(a, b) === sameQuantity(b, a), 'sameness goes both ways');
    },
  },
  {
    name: 'names',
    seeds: [
      'projects/p-123/locations/us-central1/services/ai-platform-a',
      'projects/123456/secrets/k/versions/latest',
      'projects/example.com:p-1/serviceAccounts/sa-a@p-1.example.com.iam.gserviceaccount.com',
      'projects/p-1\nprojects/1',
    ],
    words: [
      'projects/',
      '/locations/',
      '/services/',
      '/secrets/',
      '/versions/',
      '@',
      '.gserviceaccount.com',
      '..',
      '%2f',
      'latest',
    ],
    run(input) {
      const [a, b] = lines(input);
      for (const shape of SHAPES) {
        const parts = partsOf(shape, a);
        must((parts === undefined) === (badName(shape, a) !== undefined), 'a name has parts or is refused');
        must(parts === undefined || /^[A-Za-z0-9_.@:/-]+$/.test(a), 'a name that is taken needs no escaping');
        must(parts === undefined || !a.includes('..'), 'a name that is taken goes nowhere else');
        must(/^[\x20-\x7e…]*$/.test(badName(shape, a)?.message ?? ''), 'what is said of a bad name is printable');
        must(sameButProject(shape, a, b) === sameButProject(shape, b, a), 'sameness goes both ways');
      }
      for (const taken of [isProjectId(a), isServiceAccount(a)])
        must(!taken || /^[a-z0-9@.:-]+$/.test(a), 'an id is plain');
      must(
        !/\p{Cc}/u.test(printable(input)) && !/[\p{Cc}\p{Bidi_Control}]/u.test(quoted(input)),
        'what is shown is printable',
      );
    },
  },
  {
    name: 'marks in descriptions',
    seeds: ['by hand', 'ai-tenant-owner=c1/team/tenant-a', 'x ai-tenant-namespace=team ai-tenant-cluster=c1'],
    words: ['ai-tenant-owner=', 'ai-tenant-namespace=', 'ai-tenant-cluster=', 'c1/team/tenant-a', ' ', '\t', '\u00a0'],
    run(input) {
      const rules = { owner: OWNER, policy: 'labelled' as const, inventory: [], adopt: true };
      const claimOf = (description: string) => claimAccount({ description, uniqueId: '1' }, rules);
      const claim = claimOf(input);
      must(
        (describedOwner(input) !== undefined) === (claim === 'ours' || claim === 'theirs'),
        'an owner beats consent',
      );
      const marked = markDescription(input, OWNER);
      if (marked === undefined) return;
      must(Buffer.byteLength(marked) <= 256, 'a description has room');
      must(describedOwner(input) !== undefined || claimOf(marked) === 'ours', 'what we mark is ours');
      must(describedOwner(unmarkDescription(marked)) === undefined, 'a mark comes off');
    },
  },
  {
    name: 'error answers, Retry-After, durations',
    seeds: [
      '429\n7\n{"error":{"code":429,"message":"Slow.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"t/google.rpc.RetryInfo","retryDelay":"3.5s"}]}}',
      '503\nWed, 21 Oct 2065 07:28:00 GMT\n<html>',
      '404\n\n[{"error":{"status":"NOT_FOUND"}}]',
    ],
    words: [
      '"error":',
      '"status":',
      '"details":[',
      '"retryDelay":"',
      's"',
      '"@type":"x/google.rpc.RetryInfo"',
      '429',
      '503',
      'GMT',
    ],
    run(input) {
      const [http, retryAfter, body] = lines(input);
      const status = statusOf(Number(http) || 500, retryAfter, body, 0);
      must(status.message.length <= 4_097, 'a message is bounded');
      const { retryAfterMs } = status;
      must(retryAfterMs === undefined || (retryAfterMs >= 0 && Number.isFinite(retryAfterMs)), 'a delay is finite');
      must(
        status.code !== 'NOT_FOUND' || isObject(json(body)) || Array.isArray(json(body)),
        'only Google says what is not there',
      );
    },
  },
  {
    name: 'answers of Google Cloud',
    seeds: [
      '{"name":"projects/p-1/locations/r/services/s","etag":"e","labels":{"a":"b"},"terminalCondition":{"state":"CONDITION_FAILED"},"template":{"containers":[{}]}}',
      '{"name":"projects/1/secrets/s/versions/3","state":"ENABLED","versions":[{"name":"projects/1/secrets/s/versions/4","state":"ENABLED"}]}',
      '{"etag":"e","version":3,"bindings":[{"role":"r","members":["m"],"condition":{"title":"t"}}],"auditConfigs":[{}]}',
      '{"name":"n","email":"e","uniqueId":"7","description":"d","disabled":true}',
    ],
    words: [
      '"name":',
      '"etag":',
      '"bindings":[',
      '"members":[',
      '"condition":',
      '"versions":[',
      '"labels":{',
      '"template":{',
      '{}',
      '[]',
      '""',
      '1',
      'null',
      ',',
    ],
    run(input) {
      const answer = asObject(input);
      const service = parseService(answer);
      if (service)
        must(/^projects\/[^/]+\/locations\/[^/]+\/services\/[^/]+$/.test(service.name), 'a service has its name');
      const policy = parsePolicy(answer);
      if (policy)
        must(JSON.stringify(policyForWriting(policy)).length > 0 && policy.etag !== '', 'a policy has its etag');
      for (const version of [parseVersion(answer), newestIn('ENABLED', answer)])
        must(!version || version.version > 0, 'a version is a number');
      parseAccount(answer);
      const secret = parseSecret(answer);
      must(!secret || Object.values(secret.labels).every(value => typeof value === 'string'), 'labels are texts');
    },
  },
  {
    name: 'templates, time-outs, key versions',
    seeds: [
      '{"timeout":"300s","maxInstanceRequestConcurrency":80,"containers":[{"image":"i","ports":[{}],"env":[{"name":"K","valueSource":{"secretKeyRef":{"secret":"k","version":"3"}}}],"resources":{"limits":{"cpu":"1"}}}],"scaling":{"minInstanceCount":1},"annotations":{"ai-platform.dev/retry":"2"}}',
      '{"containers":[{"env":[{"name":"P","value":"x"}]}],"volumes":[{"secret":{"secret":"s"}}]}',
    ],
    words: [
      '"timeout":',
      '"containers":[',
      '"env":[',
      '"valueSource":{"secretKeyRef":',
      '"scaling":{',
      '"annotations":{',
      's"',
      '{}',
      '[]',
      'null',
      ',',
    ],
    run(input) {
      const template = asObject(input);
      const key = { secret: 'k', projects: ['', 'p'], version: '3' };
      const wanted = {
        serviceAccount: 'sa',
        image: 'i',
        cpu: '1',
        memory: '1Gi',
        timeoutSeconds: 300,
        concurrency: 80,
        variables: [
          { name: 'K', key },
          { name: 'P', value: 'x' },
        ],
        dropVariables: ['OLD'],
      };
      const laid = applyTemplate(template, wanted);
      must(applyTemplate(laid.template, wanted).changes.length === 0, 'what was laid is as wanted');
      must(
        pinnedVersions(laid.template).some(({ version }) => version === '3'),
        'the key is pinned',
      );
      must(Number.isInteger(retryCount(template)) && retryCount(template) >= 0, 'retries are counted');
      const scaled = applyScaling({}, template, 1, 5);
      const inForce = scalingInForce(scaled.scaling ?? {}, scaled.template ?? template);
      must(inForce.min === 1 && inForce.max === 5, 'instances are as wanted');
    },
  },
  {
    name: 'AiTenants from a watch and answers of Google Cloud, the whole road',
    seeds: SCENES.map(scene => JSON.stringify(scene)),
    words: [
      '"spec":{',
      '"inventory":[',
      '"SecretAccess"',
      '"Service"',
      '"Invoker"',
      '"Variable"',
      '../',
      '%2f',
      'CONDITION_FAILED',
      'CONDITION_TOMORROW',
      'allUsers',
      'ai-tenant-owner=c2/x/y',
      '{}',
      '[]',
      'null',
      ',',
    ],
    run(input) {
      const { tenant, ...answers } = asObject(input);
      const whole = isObject(tenant) ? tenant : {};
      const metadata = isObject(whole.metadata) ? whole.metadata : {};
      // What any API server guarantees: names and annotations are texts.
      const named = {
        ...metadata,
        name: 'tenant-a',
        namespace: 'team',
        annotations: stringMap(metadata.annotations),
      };
      const seen = { ...NOTHING, ...answers };
      const gone = road({ ...whole, metadata: named } as unknown as KubeObject, seen);
      mustBeSound(gone);
      mustLeaveOthersAlone(seen, gone);
    },
  },
  {
    name: 'manifests on the command line',
    seeds: [
      'apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant\nmetadata: {name: tenant-a}\nspec:\n  region: asia-northeast1\n  keys:\n    - {name: k, secretRef: {external: s}}\n',
      'kind: List\nitems:\n  - {apiVersion: v1, kind: Namespace, metadata: {name: team}}\n',
      '---\n{"kind": "SecretManagerSecret", "metadata": {"name": "x"}}\n',
    ],
    words: [
      '---\n',
      'kind: AiTenant\n',
      'metadata: ',
      'spec:\n',
      '  - ',
      '&a ',
      '*a',
      '<<: ',
      '!!binary ',
      '? ',
      '{}',
      '[]',
      '|\n',
      'items:\n',
      '"',
    ],
    run(input) {
      folder ??= mkdtempSync(join(tmpdir(), 'aitenant-fuzz-'));
      const file = join(folder, 'manifest.yaml');
      writeFileSync(file, input);
      const { tenants, problems } = readManifests([file]);
      must(
        problems.every(problem => problem.startsWith(file)),
        'a problem says where it is',
      );
      must(
        tenants.every(({ object }) => object.kind === 'AiTenant'),
        'only tenants are tenants',
      );
    },
  },
];
