import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../../../ports/json.ts';
import { answerIn, fieldOf, succeeded } from '../exchange.ts';
import { made, makeAccount, makeSecret } from './birth.ts';
import { isServing } from './cloudReader.ts';
import type { Life, LifeStep } from './life.ts';
import { ACCESSOR, checkMarks, checkQuiet, idsOf } from './rules.ts';

/** What `gcloud run deploy` sends (Cloud Run Admin API v1), as recorded from gcloud 528. */
function knativeService(life: Life, id: string, email: string, secret: string): JsonObject {
  const client = { 'run.googleapis.com/client-name': 'gcloud', 'run.googleapis.com/client-version': '528.0.0' };
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: {
      name: id,
      namespace: life.project,
      annotations: client,
      labels: { ...life.labels, 'ai-tenant-namespace': 'default' },
    },
    spec: {
      template: {
        metadata: {
          annotations: {
            ...client,
            'autoscaling.knative.dev/maxScale': '10',
            'run.googleapis.com/startup-cpu-boost': 'true',
          },
        },
        spec: {
          serviceAccountName: email,
          timeoutSeconds: 300,
          containers: [
            {
              image: 'gcr.io/cloudrun/hello',
              env: [{ name: 'OPENAI_API_KEY', valueFrom: { secretKeyRef: { name: secret, key: 'latest' } } }],
              resources: { limits: { cpu: '1', memory: '1Gi' } },
            },
          ],
        },
      },
    },
  };
}

/** The parts of a service that an adoption must not change. */
const lasting = (service: JsonObject): JsonObject => {
  const { template, ingress, scaling, traffic, invokerIamDisabled, latestReadyRevision, client, description, uri } =
    service;
  return { template, ingress, scaling, traffic, invokerIamDisabled, latestReadyRevision, client, description, uri };
};

/**
 * Deploys the service, if it is not there. Answers with it once it is ready. One whose first revision has failed is deleted, because a grant
 * takes some seconds to be effective: Cloud Run checks the key's grant when a revision is made, and never again.
 */
async function deployed(life: Life, email: string): Promise<JsonObject | undefined> {
  const { call, cloud, region, project } = life;
  const { adopted: tenant, adoptedKey } = idsOf(life);
  const service = await cloud.service(tenant, region);
  if (isServing(service)) return service;
  if (service === undefined) {
    const namespace = `https://${region}-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/${project}`;
    const body = knativeService(life, `ai-platform-${tenant}`, email, adoptedKey);
    const answer = await call('POST', `${namespace}/services`, body);
    // 409: the service is still being deleted.
    if (!succeeded(answer) && answer.status !== 409) throw new Error(answerIn(answer));
  } else if (fieldOf(service, 'terminalCondition.state') === 'CONDITION_FAILED') {
    await call('DELETE', cloud.url.service(tenant, region));
  }
  return undefined;
}

export const adopted: LifeStep = {
  id: 'adopted',
  text: 'A service that was made with gcloud run deploy is adopted',
  async run(life) {
    const { call, cloud, region } = life;
    const { adopted: tenant, adoptedKey } = idsOf(life);
    const email = cloud.email(`sa-${tenant}`);
    const member = `${ACCESSOR} serviceAccount:${email}`;
    await makeSecret(life, adoptedKey, 'acceptance-b');
    await makeAccount(life, `sa-${tenant}`, `${life.description} ai-tenant-namespace=default`);
    await made(life, 'the account may read the key', () =>
      call('POST', `${cloud.url.secret(adoptedKey)}:setIamPolicy`, {
        policy: { bindings: [{ role: ACCESSOR, members: [`serviceAccount:${email}`] }] },
      }),
    );
    const before = await life.until('a service deployed as gcloud does is ready', () => deployed(life, email));
    const revisions = await cloud.revisions(tenant, region);

    const key = { name: 'openai', secretRef: { external: adoptedKey }, env: 'OPENAI_API_KEY', rollout: 'OnRestart' };
    const spec = { region, keys: [key], scaling: { minInstances: 0, maxInstances: 10 }, access: 'Authenticated' };
    await life.operator.apply(tenant, spec, { 'ai-platform.dev/adopt': 'true' });
    const after = await life.until('the service carries the owner labels', async () => {
      const service = await cloud.service(tenant, region);
      const isMarked = JSON.stringify(service?.labels ?? {}).includes('ai-tenant-owner-name');
      return service && isMarked && isServing(service) ? service : undefined;
    });
    checkMarks(life, after, tenant);
    await checkQuiet(life, tenant);
    const last = (await cloud.service(tenant, region)) ?? {};
    life.check('adopting changes nothing but labels', isDeepStrictEqual(lasting(last), lasting(before)), {
      before: lasting(before),
      after: lasting(last),
    });
    const now = await cloud.revisions(tenant, region);
    life.check('adopting makes no revision', now.length === revisions.length, { before: revisions, after: now });
    const account = await cloud.account(tenant);
    life.check(
      'the account carries the owner mark beside what stood there',
      String(account?.description).startsWith(life.description) &&
        String(account?.description).includes('ai-tenant-owner='),
      account?.description,
    );
    const members = await cloud.secretMembers(adoptedKey);
    life.check('the grant is there once', members.length === 1 && members[0] === member, members);
  },
};
