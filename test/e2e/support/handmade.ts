import type { JsonObject } from '../../../ports/json.ts';
import { PROJECT, REGION, until, type World } from './world.ts';

/** One call of the vendor's REST API, as curl would make it. */
export async function rest(world: World, method: string, path: string, body?: JsonObject): Promise<JsonObject> {
  const response = await fetch(`${world.gcpUrl}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const answer = (await response.json()) as JsonObject;
  if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

export const IMAGE = 'asia-northeast1-docker.pkg.dev/acme/web/ai-backend:7';

/**
 * A tenant made by hand, step by step as in the manual: a key in Secret Manager, a service account that may read it, a
 * Cloud Run service that runs as it, open to the public one way or the other. Named as the operator would name it.
 */
export async function makeByHand(world: World, name: string, openedBy: 'allUsers' | 'noCheck'): Promise<void> {
  const email = `sa-${name}@${PROJECT}.iam.gserviceaccount.com`;
  const secret = `projects/${PROJECT}/secrets/${name}-openai-key`;
  const service = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-${name}`;

  await rest(world, 'POST', `/v1/projects/${PROJECT}/serviceAccounts`, {
    accountId: `sa-${name}`,
    serviceAccount: { displayName: `Tenant ${name}`, description: 'Made by hand' },
  });
  await rest(world, 'POST', `/v1/projects/${PROJECT}/secrets?secretId=${name}-openai-key`, {
    replication: { automatic: {} },
  });
  const data = Buffer.from('sk-by-hand').toString('base64');
  await rest(world, 'POST', `/v1/${secret}:addVersion`, { payload: { data } });
  await rest(world, 'POST', `/v1/${secret}:setIamPolicy`, {
    policy: { bindings: [{ role: 'roles/secretmanager.secretAccessor', members: [`serviceAccount:${email}`] }] },
  });
  await rest(world, 'POST', `/v2/projects/${PROJECT}/locations/${REGION}/services?serviceId=ai-platform-${name}`, {
    labels: { team: 'blue' },
    ...(openedBy === 'noCheck' && { invokerIamDisabled: true }),
    template: {
      // What the console and gcloud leave behind.
      revision: `ai-platform-${name}-00001-abc`,
      serviceAccount: email,
      timeout: '300s',
      maxInstanceRequestConcurrency: 80,
      scaling: { minInstanceCount: 0, maxInstanceCount: 10 },
      containers: [
        {
          image: IMAGE,
          resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true, startupCpuBoost: true },
          env: [
            {
              name: 'OPENAI_API_KEY',
              valueSource: { secretKeyRef: { secret: `${name}-openai-key`, version: 'latest' } },
            },
            { name: 'BY_HAND', value: 'kept' },
          ],
        },
      ],
    },
  });
  if (openedBy === 'allUsers') {
    await rest(world, 'POST', `/v2/${service}:setIamPolicy`, {
      policy: { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] },
    });
  }
  await until(
    async () => ((await world.service(name))?.reconciling ? undefined : true),
    () => `${name} to be up`,
  );
}

/** A shell command's words, quotes taken off. */
const words = (command: string): string[] =>
  [...command.matchAll(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+/g)].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"|\\(.)/g, (_, ...parts: string[]) => parts.slice(0, 3).find(part => part) ?? ''),
  );

/** Does what the command at the end of a message does: curl over real HTTP, gcloud by the API call that it makes. */
export async function obey(world: World, message: string): Promise<void> {
  const command = /(?:gcloud|curl) .*$/s.exec(message)?.[0];
  if (command === undefined) throw new Error(`no command in: ${message}`);
  const given = words(command);
  const flag = (name: string) => {
    const word = given.find(other => other.startsWith(`--${name}=`));
    if (word === undefined) throw new Error(`no --${name} in: ${command}`);
    return word.slice(name.length + 3);
  };
  if (given[0] === 'curl') {
    const after = (option: string) => given[given.indexOf(option) + 1] ?? '';
    const url = new URL(given.find(word => word.startsWith('https://')) ?? '');
    await rest(world, after('-X'), url.pathname + url.search, JSON.parse(after('-d')) as JsonObject);
  } else if (given.slice(1, 3).join(' ') === 'secrets update') {
    const more = Object.fromEntries(
      flag('update-labels')
        .split(',')
        .map(pair => pair.split('=') as [string, string]),
    );
    const path = `/v1/projects/${flag('project')}/secrets/${given[3]}`;
    const { labels } = await rest(world, 'GET', path);
    const all = { ...(labels as JsonObject | undefined), ...more };
    await rest(world, 'PATCH', `${path}?updateMask=labels`, { labels: all });
  } else if (given.slice(1, 4).join(' ') === 'iam service-accounts update') {
    await rest(world, 'PATCH', `/v1/projects/${flag('project')}/serviceAccounts/${given[4]}`, {
      serviceAccount: { description: flag('description') },
      updateMask: 'description',
    });
  } else {
    throw new Error(`not understood: ${command}`);
  }
}
