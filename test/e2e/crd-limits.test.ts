import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { KUBERNETES_VERSION } from '../../sandbox/envtest/binaries.ts';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { costLines, crdCosts } from '../kube/crdCost.ts';
import { accepted, refusals, tenant } from '../unit/crd.cases.ts';
import { eventually } from './support/access.ts';
import { boundsOf, largestSpecs, SHORTER, type SpecSchema, sizesOf } from './support/largestTenant.ts';

/**
 * The limits of kube-apiserver for the CRD and its objects. The costs of the rules are those of the oldest and the newest version that the
 * operator supports; the rest runs on the version that `npm run test:envtest -- --kubernetes` chooses, `nightly.yml` on the oldest.
 */

const ROOT = new URL('../../', import.meta.url).pathname;
const CRD = parse(readFileSync(join(ROOT, 'crds/aitenants.yaml'), 'utf8')) as KubeObject;
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const TENANTS = '/apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants';
const DRY = '?dryRun=All&fieldValidation=Strict';
/** What kube-apiserver reads of a request for a custom resource. */
const REQUEST_BYTES = 3 * 1024 * 1024;
/** How long Go may take to build a kube-apiserver that is not in the cache yet, about 7 minutes on 2 cores. */
const BUILD_MS = 30 * 60_000;

const [crdVersion] = (CRD.spec as { versions: { schema: { openAPIV3Schema: { properties: { spec: SpecSchema } } } }[] })
  .versions;
const SPEC = crdVersion?.schema.openAPIV3Schema.properties.spec ?? {};
const named = (name: string, spec: JsonObject) => ({
  apiVersion: 'ai-platform.dev/v1alpha1',
  kind: 'AiTenant',
  metadata: { name },
  spec,
});
const examples = readdirSync(join(ROOT, 'examples'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.yaml') && !file.endsWith('crd.yaml'))
  .flatMap(file => parseAllDocuments(readFileSync(join(ROOT, 'examples', file), 'utf8')).map(one => one.toJS()))
  .filter((object): object is KubeObject => object?.kind === 'AiTenant');

test('the CRD has less than 200 kB as JSON', () => {
  const bytes = Buffer.byteLength(JSON.stringify(CRD));
  console.log(`The CRD has ${bytes} bytes as JSON.`);
  expect(bytes).toBeLessThan(200_000);
});

test('no rule costs more than half of the limit of one, and all together no more than half of theirs', {
  timeout: BUILD_MS,
}, async () => {
  const costs = await crdCosts();
  for (const cost of costs) console.log(costLines(cost).join('\n'));
  const tooMuch = costs.flatMap(({ kubernetes, expressions, sum }) => [
    ...expressions.filter(({ share }) => share > 0.5).map(({ path, text }) => `${kubernetes}: ${path}: ${text}`),
    ...(sum > 0.5 ? [`${kubernetes}: the sum`] : []),
  ]);
  expect(tooMuch).toEqual([]);
});

test('the variants of the largest spec reach each bound of the CRD', () => {
  const sizes = largestSpecs(SPEC, 'x').map(spec => sizesOf(spec, SPEC));
  const missed = boundsOf(SPEC).filter(([path, most]) => !sizes.some(size => size.get(path) === most));
  expect(missed.map(([path]) => path).sort()).toEqual(Object.keys(SHORTER).sort());
});

const chosen = process.env[KUBERNETES_VERSION];

describe(`kube-apiserver ${chosen ?? 'of the newest version'}`, () => {
  let folder: string;
  let cluster: Envtest;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'crd-limits-'));
    cluster = await startEnvtest({ stateDir: folder, progress: console.log });
    const created = await cluster.ask('POST', CRDS, CRD);
    expect(created.code, created.body).toBe(201);
    await eventually(async () => (await cluster.ask('GET', TENANTS)).code === 200, 'AiTenants to be served');
  }, BUILD_MS);
  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(examples)('accepts the example $metadata.name', async object => {
    const answer = await cluster.ask('POST', TENANTS + DRY, { ...object, metadata: { name: object.metadata.name } });
    expect(answer.code, answer.body).toBe(201);
  });

  test('accepts and refuses what the tests of the CRD say', async () => {
    const wrong: string[] = [];
    for (const { name, tenant: resource, spec } of accepted) {
      const answer = await cluster.ask('POST', TENANTS + DRY, tenant(resource, spec));
      if (answer.code !== 201) wrong.push(`${name}: ${answer.body}`);
    }
    for (const { name, tenant: resource, spec, causes } of refusals) {
      const answer = await cluster.ask('POST', `${TENANTS}?dryRun=All`, tenant(resource, spec));
      if (answer.code !== 422) wrong.push(`${name}: ${answer.body}`);
      const { details } = JSON.parse(answer.body) as { details?: { causes?: { field: string; message: string }[] } };
      // kube-apiserver's own words and the value before a rule's message differ between the versions.
      for (const { field, message } of causes.filter(cause => cause.reason === 'FieldValueInvalid')) {
        const words = message.replace(/^Invalid value: ((null|\d+|"(\\"|[^"])*"): )?/, '');
        if (!details?.causes?.some(cause => cause.field === field && cause.message.endsWith(words)))
          wrong.push(`${name}: ${field}: ${message}: ${answer.body}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    [1, 'x'],
    [2, 'é'],
    [4, '\u{1f600}'],
  ])('accepts the largest specs with characters of %d bytes', async (_, character) => {
    for (const [i, spec] of largestSpecs(SPEC, character).entries()) {
      const object = named(`largest-${i}`, spec);
      expect(Buffer.byteLength(JSON.stringify(object))).toBeLessThan(REQUEST_BYTES);
      const answer = await cluster.ask('POST', TENANTS + DRY, object);
      expect(answer.code, answer.body.slice(0, 2_000)).toBe(201);
    }
  });
});
