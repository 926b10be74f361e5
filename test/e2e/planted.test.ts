import { afterEach, expect, test } from 'vitest';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, IAM, PROJECT, REGION, RUN, spec, type World } from './support/world.ts';

/**
 * Whoever may create services and accounts in the project can be quicker than the operator: what they make carries the
 * tenant's marks, which are no secret, and is there between the operator's look and its own create call. That call is
 * then refused, so what is there is not the tenant's, and neither a grant nor a key goes to it (rules 2 and 3).
 */

let world: World;
afterEach(() => world.close());

const OWNER = { cluster: 'cluster-1', namespace: 'default', name: 'tenant-a' };
const marked: JsonObject = {
  labels: {
    'ai-tenant-owner-cluster': OWNER.cluster,
    'ai-tenant-owner-namespace': OWNER.namespace,
    'ai-tenant-owner-name': OWNER.name,
  },
  template: {
    serviceAccount: `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`,
    containers: [{ image: 'gcr.io/attacker/app:1', command: ['/steal'], ports: [{ containerPort: 8080 }] }],
  },
};

/** Makes `request` right before the operator's own call of the same method reaches Google Cloud. */
const quicker =
  (method: string, request: JsonObject) =>
  (core: GcpCall): GcpCall =>
  async (called, asked, options) => {
    if (called === method) await core(method, request);
    return core(called, asked, options);
  };

test('a service that somebody else made a moment before gets no key', async () => {
  const parent = `projects/${PROJECT}/locations/${REGION}`;
  const planted = { parent, serviceId: 'ai-platform-tenant-a', service: marked };
  world = await createWorld({ operatorGcp: quicker(`${RUN}.CreateService`, planted) });
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec());
  await world.reason('tenant-a', 'ManagementConflict');
  expect(JSON.stringify((await world.service('tenant-a'))?.template)).not.toContain('OPENAI_API_KEY');
});

test('an account that somebody else made a moment before gets no grant', async () => {
  const serviceAccount = { description: `ai-tenant-owner=${OWNER.cluster}/${OWNER.namespace}/${OWNER.name}` };
  const planted = { name: `projects/${PROJECT}`, accountId: 'sa-tenant-a', serviceAccount };
  world = await createWorld({ operatorGcp: quicker(`${IAM}.CreateServiceAccount`, planted) });
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec());
  await world.reason('tenant-a', 'ManagementConflict');
  expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
});
