import type { Json, JsonObject } from '../../../ports/json.ts';
import { fieldOf } from '../exchange.ts';
import { containerOf, variablesOf } from './cloudReader.ts';
import type { Life, LifeStep } from './life.ts';
import {
  checkKeyPolicy,
  checkPings,
  checkQuiet,
  checkTraffic,
  idsOf,
  servingWith,
  settled,
  startPings,
} from './rules.ts';

/** One edit of the spec, and where Google Cloud shows it. */
interface Edit {
  /** The field's path in the spec. */
  field: string;
  /** What is done with it, if more than one edit is made. */
  what?: string;
  /** A merge patch of the spec. */
  patch: (life: Life) => JsonObject;
  shows: (service: JsonObject, life: Life) => boolean;
  /** The field changes the service only (S), or the template, which makes a revision (T). */
  level: 'S' | 'T';
}

const shows =
  (path: string, value: Json) =>
  (service: JsonObject): boolean =>
    fieldOf(service, path) === value;

const limit = (service: JsonObject, name: string): string =>
  String(fieldOf(containerOf(service), `resources.limits.${name}`));

const SERVICE_EDITS: Edit[] = [
  {
    field: 'labels',
    patch: () => ({ labels: { acceptance: 'a' } }),
    shows: shows('labels.acceptance', 'a'),
    level: 'S',
  },
  {
    field: 'annotations',
    patch: () => ({ annotations: { 'acceptance.example.com/note': 'a' } }),
    shows: service => (service.annotations as JsonObject | undefined)?.['acceptance.example.com/note'] === 'a',
    level: 'S',
  },
  {
    field: 'description',
    patch: () => ({ description: 'Acceptance' }),
    shows: shows('description', 'Acceptance'),
    level: 'S',
  },
  {
    field: 'customAudiences',
    patch: () => ({ customAudiences: ['https://acceptance.example.com'] }),
    shows: shows('customAudiences.0', 'https://acceptance.example.com'),
    level: 'S',
  },
  {
    field: 'scaling.maxInstances',
    patch: () => ({ scaling: { maxInstances: 3 } }),
    shows: shows('scaling.maxInstanceCount', 3),
    level: 'S',
  },
  {
    field: 'ingress',
    what: 'Internal',
    patch: () => ({ ingress: 'Internal' }),
    shows: shows('ingress', 'INGRESS_TRAFFIC_INTERNAL_ONLY'),
    level: 'S',
  },
  {
    field: 'ingress',
    what: 'All',
    patch: () => ({ ingress: 'All' }),
    shows: shows('ingress', 'INGRESS_TRAFFIC_ALL'),
    level: 'S',
  },
];

const TEMPLATE_EDITS: Edit[] = [
  {
    field: 'env',
    patch: () => ({ env: [{ name: 'MODEL', value: 'a' }] }),
    shows: service => variablesOf(service).MODEL === 'a',
    level: 'T',
  },
  {
    field: 'env',
    what: 'taken out',
    patch: () => ({ env: null }),
    shows: service => !('MODEL' in variablesOf(service)),
    level: 'T',
  },
  {
    field: 'timeoutSeconds',
    patch: () => ({ timeoutSeconds: 60 }),
    shows: shows('template.timeout', '60s'),
    level: 'T',
  },
  {
    field: 'scaling.concurrency',
    patch: () => ({ scaling: { concurrency: 5 } }),
    shows: shows('template.maxInstanceRequestConcurrency', 5),
    level: 'T',
  },
  {
    field: 'resources',
    patch: () => ({ resources: { cpu: 2, memory: '2Gi' } }),
    shows: service => /^(2|2000m)$/.test(limit(service, 'cpu')) && limit(service, 'memory') === '2Gi',
    level: 'T',
  },
  {
    field: 'sessionAffinity',
    patch: () => ({ sessionAffinity: true }),
    shows: shows('template.sessionAffinity', true),
    level: 'T',
  },
  {
    field: 'executionEnvironment',
    patch: () => ({ executionEnvironment: 'Gen2' }),
    shows: shows('template.executionEnvironment', 'EXECUTION_ENVIRONMENT_GEN2'),
    level: 'T',
  },
  {
    field: 'volumes',
    patch: () => ({ volumes: [{ name: 'scratch', mountPath: '/scratch', emptyDir: { sizeLimit: '64Mi' } }] }),
    shows: service => JSON.stringify(containerOf(service).volumeMounts ?? '').includes('/scratch'),
    level: 'T',
  },
  {
    field: 'keys.file',
    patch: life => ({
      keys: [
        {
          name: 'openai',
          secretRef: { external: idsOf(life).key },
          env: 'OPENAI_API_KEY',
          file: '/secrets/openai/key',
        },
      ],
    }),
    shows: (service, life) => {
      const volumes = JSON.stringify(fieldOf(service, 'template.volumes') ?? '');
      return (
        volumes.includes(idsOf(life).key) &&
        JSON.stringify(containerOf(service).volumeMounts).includes('/secrets/openai')
      );
    },
    level: 'T',
  },
];

/** The edits of fields that the installed CRD has. */
const possible = ({ operator }: Life, edits: Edit[]): Edit[] => edits.filter(({ field }) => operator.hasField(field));

/** Makes one edit and checks that it arrives, that it makes as many revisions as its level says, and that nothing is left to do. */
async function edit(life: Life, { field, what, patch, shows: fits, level }: Edit): Promise<void> {
  const named = what === undefined ? field : `${field} (${what})`;
  const { tenant } = idsOf(life);
  const before = await life.cloud.revisions(tenant, life.place.region);
  await life.operator.edit(tenant, patch(life));
  const service = await servingWith(life, `${named} is on the service`, one => fits(one, life));
  await settled(life);
  const made = (await life.cloud.revisions(tenant, life.place.region)).length - before.length;
  life.check(
    `${named} arrives, with ${level === 'T' ? 'one revision' : 'no revision'}`,
    made === (level === 'T' ? 1 : 0),
    `${made} revisions`,
  );
  checkTraffic(life, service);
}

const serviceEdited: LifeStep = {
  id: 'service-edited',
  text: 'The fields of the service are edited one by one',
  async run(life) {
    for (const each of possible(life, SERVICE_EDITS)) await edit(life, each);
    await checkQuiet(life);
  },
};

const templateEdited: LifeStep = {
  id: 'template-edited',
  text: 'The fields of the template are edited one by one',
  async run(life) {
    startPings(life);
    for (const each of possible(life, TEMPLATE_EDITS)) await edit(life, each);
    await checkKeyPolicy(life, true);
    await checkQuiet(life);
    await checkPings(life);
  },
};

const closed: LifeStep = {
  id: 'closed',
  text: 'It is closed to the public, and opened again',
  async run(life) {
    const { tenant, other } = idsOf(life);
    const invoker = `serviceAccount:${life.cloud.email(other)}`;
    const before = await life.cloud.revisions(tenant, life.place.region);
    await life.operator.edit(tenant, { access: 'Authenticated', invokers: [invoker] });
    await servingWith(life, 'IAM checks callers', service => service.invokerIamDisabled !== true);
    await life.until('the invoker is on the service', async () =>
      (await life.cloud.serviceMembers(tenant, life.place.region)).includes(`roles/run.invoker ${invoker}`)
        ? true
        : undefined,
    );
    const members = await life.cloud.serviceMembers(tenant, life.place.region);
    life.check('the public may not call it', !members.some(member => /all(Authenticated)?Users/.test(member)), members);
    if (life.place.url !== undefined) {
      const { url } = life.place;
      await life.until('a call without a token is refused', async () =>
        (await life.pinger.once(url)).status === 403 ? true : undefined,
      );
    }
    await life.operator.edit(tenant, { access: 'Public', invokers: null });
    await servingWith(life, 'IAM does not check callers', service => service.invokerIamDisabled === true);
    await settled(life);
    const left = await life.cloud.serviceMembers(tenant, life.place.region);
    life.check('the invoker that left the spec is taken off', !left.includes(`roles/run.invoker ${invoker}`), left);
    const made = (await life.cloud.revisions(tenant, life.place.region)).length - before.length;
    life.check('neither made a revision', made === 0, `${made} revisions`);
    if (life.place.url !== undefined) {
      const { url } = life.place;
      await life.until('the tenant answers 200 again', async () =>
        (await life.pinger.once(url)).status === 200 ? true : undefined,
      );
    }
  },
};

export const EDITS: readonly LifeStep[] = [serviceEdited, templateEdited, closed];
