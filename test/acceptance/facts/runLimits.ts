import type { JsonObject } from '../../../ports/json.ts';
import { answerIn, type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { serviceOf, servicesOf } from './addresses.ts';
import {
  described,
  makeSecret,
  mustAnswer,
  onceVisible,
  serviceBody,
  sharedAccount,
  sharedService,
  validate,
} from './made.ts';
import { accepts, allOf, fieldFits, isRefusal, judge, refuses, refusesInput, refuted } from './verdicts.ts';

/** Cloud Run Admin v2: what it refuses, with which text, and the fields of newer revisions of the API. */

const section = 'Cloud Run: limits, names and texts';

const limits = (context: FactContext, cpu: string, memory: string, concurrency?: number): Promise<Exchange> =>
  validate(context, {
    container: { resources: { limits: { cpu, memory }, cpuIdle: true } },
    ...(concurrency !== undefined && { maxInstanceRequestConcurrency: concurrency }),
  });

const withEnv = (context: FactContext, env: JsonObject[]): Promise<Exchange> =>
  validate(context, { container: { env } });

const RESERVED = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION'];
const DOMAINS = ['run.googleapis.com', 'cloud.googleapis.com', 'serving.knative.dev', 'autoscaling.knative.dev'];

/** Asks for a service of this id, and makes none. */
async function validateId(context: FactContext, id: string): Promise<Exchange> {
  const body = await serviceBody(context);
  const ask = `${servicesOf(context)}?serviceId=${id}&validateOnly=true`;
  return onceVisible(context, () => context.call('POST', ask, body));
}

/**
 * A fact about fields that the published protos do not have. The probe gives each field a value of a wrong type: an API that knows the
 * field says so, and one that does not says "Unknown name". Nothing is changed either way.
 */
function newer(id: string, text: string, body: JsonObject, fields: string[]): Fact {
  return {
    id,
    text,
    source: 'P: discovery document of run v2, revision 20261031',
    unsure: false,
    section: 'Cloud Run: newer fields',
    probe: async context => {
      const ask = `${servicesOf(context)}?serviceId=${context.name('service', 'newer')}&validateOnly=true`;
      const answer = await context.call('POST', ask, { labels: context.labels, ...body });
      const message = String(fieldIn(answer, 'error.message') ?? '');
      const unknown = fields.filter(field =>
        new RegExp(`Unknown name "${field}"[^\\n]*: Cannot find field`).test(message),
      );
      return judge(answer.status === 400 && unknown.length === 0, answer, `unknown: ${unknown.join(', ') || message}`);
    },
  };
}

/** No field of the API has this type at these places. */
const WRONG = [['wrong']];

export const runLimits: Fact[] = [
  {
    id: 'run-cpu-values',
    text: 'The CPUs of a container are 1, 2, 4, 6, 8 or a fraction below 1: 3 and 16 are refused.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/cpu',
    unsure: false,
    section,
    probe: context =>
      allOf(
        ...['1', '2', '4', '6', '8'].map(cpu => async () => accepts(await limits(context, cpu, '4Gi'))),
        ...['3', '16'].map(cpu => async () => refusesInput(await limits(context, cpu, '4Gi'))),
      ),
  },
  {
    id: 'run-cpu-four-memory',
    text: '4 CPUs need at least 2Gi of memory.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/cpu',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await limits(context, '4', '2Gi')),
        async () => refusesInput(await limits(context, '4', '1Gi')),
      ),
  },
  {
    id: 'run-cpu-six-memory',
    text: '6 CPUs take 4–24 GiB of memory.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/cpu',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await limits(context, '6', '24Gi')),
        async () => refusesInput(await limits(context, '6', '3Gi')),
        async () => refusesInput(await limits(context, '6', '25Gi')),
      ),
  },
  {
    id: 'run-cpu-fraction-concurrency',
    text: 'A fraction of a CPU goes only with a concurrency of 1.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/cpu',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await limits(context, '500m', '512Mi', 1)),
        async () => refusesInput(await limits(context, '500m', '512Mi', 2)),
      ),
  },
  {
    id: 'run-memory-most',
    text: 'A container has at most 32 GiB of memory.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/memory-limits',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await limits(context, '8', '32Gi')),
        async () => refusesInput(await limits(context, '8', '33Gi')),
      ),
  },
  {
    id: 'run-concurrency-most',
    text: 'The concurrency is at most 1,000.',
    source: 'P: google/cloud/run/v2/revision_template.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await validate(context, { maxInstanceRequestConcurrency: 1000 })),
        async () => refusesInput(await validate(context, { maxInstanceRequestConcurrency: 1001 })),
      ),
  },
  {
    id: 'run-quantity-by-value',
    text: 'Quantities count by value: `1000m` is 1 CPU, and `1024Mi` is `1Gi`.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/cpu',
    unsure: false,
    section,
    probe: async context => accepts(await limits(context, '1000m', '1024Mi')),
  },
  {
    id: 'run-reserved-variables',
    text: 'The variables `PORT`, `K_SERVICE`, `K_REVISION` and `K_CONFIGURATION` are refused.',
    source: 'D: https://cloud.google.com/run/docs/container-contract',
    unsure: false,
    section,
    probe: context =>
      allOf(...RESERVED.map(name => async () => refusesInput(await withEnv(context, [{ name, value: 'x' }])))),
  },
  {
    id: 'run-reserved-variables-text',
    text: '"spec.template.spec.containers[0].env: The following reserved env names were provided: PORT. These values are automatically set by the system.", or with `template.containers[0].env` at the beginning, as the API v2 was seen to answer.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/26877',
    unsure: false,
    section,
    probe: async context =>
      refusesInput(
        await withEnv(context, [{ name: 'PORT', value: '1' }]),
        /^(spec\.template\.spec|template)\.containers\[0\]\.env: The following reserved env names were provided: PORT\. These values are automatically set by the system\./,
      ),
  },
  {
    id: 'run-secret-reference-id',
    text: 'A secret of the same project is named by its bare id, and comes back so.',
    source: 'P: google/cloud/run/v2/k8s.min.proto',
    unsure: false,
    section,
    probe: async context => {
      const { id } = await makeSecret(context, 'referenced');
      const secretKeyRef = { secret: id, version: '1' };
      const asked = await withEnv(context, [{ name: 'KEY', valueSource: { secretKeyRef } }]);
      return fieldFits(described(asked), 'template.containers.0.env.0.valueSource.secretKeyRef.secret', id);
    },
  },
  {
    id: 'run-secret-reference-project',
    text: 'A secret of another project is named `projects/P/secrets/S`.',
    source: 'P: google/cloud/run/v2/k8s.min.proto',
    unsure: false,
    section,
    probe: async context => {
      const secret = `projects/${context.projectNumber ?? context.project}/secrets/${context.name('secret', 'elsewhere')}`;
      const asked = await withEnv(context, [{ name: 'KEY', valueSource: { secretKeyRef: { secret, version: '1' } } }]);
      const isUnknown = isRefusal(asked, { status: 400, text: 'not a valid secret' });
      return isUnknown ? refuted(answerIn(asked)) : accepts(asked);
    },
  },
  {
    id: 'run-no-regional-secret',
    text: 'A regional secret, `projects/P/locations/R/secrets/S`, cannot be named.',
    source: 'P: google/cloud/run/v2/k8s.min.proto',
    unsure: false,
    section,
    probe: async context => {
      const secret = `projects/${context.project}/locations/${context.region}/secrets/${context.name('secret', 'regional')}`;
      return refusesInput(
        await withEnv(context, [{ name: 'KEY', valueSource: { secretKeyRef: { secret, version: '1' } } }]),
      );
    },
  },
  {
    id: 'run-missing-text',
    text: "A service that does not exist: 404 \"Resource 'S' of kind 'SERVICE' in region 'R' in project 'P' does not exist.\"",
    source: 'C: https://github.com/GoogleCloudPlatform/generative-ai/issues/1795',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('service', 'never-made');
      const text = `Resource '${id}' of kind 'SERVICE' in region '${context.region}' in project '${context.project}' does not exist.`;
      return refuses(await context.call('GET', serviceOf(context, id)), { status: 404, code: 'NOT_FOUND', text });
    },
  },
  {
    id: 'run-list-pages',
    text: 'The list of services has pages: `pageSize` and `pageToken`.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      await sharedService(context);
      const id = context.name('service', 'second');
      const body = await serviceBody(context);
      await onceVisible(context, () => context.call('POST', `${servicesOf(context)}?serviceId=${id}`, body));
      const first = await context.call('GET', `${servicesOf(context)}?pageSize=1`);
      const token = String(fieldIn(first, 'nextPageToken') ?? '');
      const next = await context.call(
        'GET',
        `${servicesOf(context)}?pageSize=1&pageToken=${encodeURIComponent(token)}`,
      );
      return allOf(
        () => fieldFits(first, 'services', list => Array.isArray(list) && list.length === 1),
        () => fieldFits(first, 'nextPageToken', value => typeof value === 'string' && value !== ''),
        () =>
          fieldFits(
            next,
            'services.0.name',
            name => typeof name === 'string' && name !== fieldIn(first, 'services.0.name'),
          ),
      );
    },
  },
  {
    id: 'run-list-no-wildcard',
    text: 'The API v2 lists the services of one region: `-` is no location.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      await sharedService(context);
      await mustAnswer(context, servicesOf(context));
      const listed = await context.call('GET', servicesOf({ project: context.project, region: '-' }));
      return judge(
        !succeeded(listed) || objectIn(listed).services === undefined,
        listed,
        'it was answered with services',
      );
    },
  },
  {
    id: 'run-name-longest',
    text: 'The name of a service has at most 49 characters.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('service', 'long');
      return allOf(
        async () => accepts(await validateId(context, id.padEnd(49, 'x'))),
        async () => refusesInput(await validateId(context, id.padEnd(50, 'x'))),
      );
    },
  },
  {
    id: 'run-name-pattern',
    text: 'The name of a service has lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen; any other is refused.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('service', 'form');
      return allOf(...['-', '-X', '_x'].map(end => async () => refusesInput(await validateId(context, `${id}${end}`))));
    },
  },
  {
    id: 'run-reserved-label-keys',
    text: 'Keys of labels under `run.googleapis.com`, `cloud.googleapis.com`, `serving.knative.dev` and `autoscaling.knative.dev` are refused.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        ...DOMAINS.map(
          domain => async () => refusesInput(await validate(context, {}, { labels: { [`${domain}/x`]: 'x' } })),
        ),
      ),
  },
  {
    id: 'run-reserved-annotation-keys',
    text: 'Keys of annotations under the same four domains are refused.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await validate(context, {}, { annotations: { 'example.com/x': 'x' } })),
        ...DOMAINS.map(
          domain => async () => refusesInput(await validate(context, {}, { annotations: { [`${domain}/x`]: 'x' } })),
        ),
      ),
  },
  newer(
    'run-newer-template-fields',
    'A template has besides the published protos `ambientNetworking`, `workloadIdentityConfig`, `sandboxes`, `client` and `clientVersion`.',
    {
      template: {
        ambientNetworking: WRONG,
        workloadIdentityConfig: WRONG,
        sandboxes: WRONG,
        client: WRONG,
        clientVersion: WRONG,
      },
    },
    ['ambientNetworking', 'workloadIdentityConfig', 'sandboxes', 'client', 'clientVersion'],
  ),
  newer(
    'run-newer-scaling-fields',
    'The scaling of a template has besides the published protos `cpuUtilization` and `concurrencyUtilization`.',
    { template: { scaling: { cpuUtilization: WRONG, concurrencyUtilization: WRONG } } },
    ['cpuUtilization', 'concurrencyUtilization'],
  ),
  newer(
    'run-newer-container-fields',
    'A container has besides the published protos `sandboxLauncher` and `buildConfig`.',
    { template: { containers: [{ sandboxLauncher: WRONG, buildConfig: WRONG }] } },
    ['sandboxLauncher', 'buildConfig'],
  ),
  newer(
    'run-newer-volume-fields',
    'A volume has besides the published protos `filestore`.',
    { template: { volumes: [{ filestore: WRONG }] } },
    ['filestore'],
  ),
  newer(
    'run-newer-source-fields',
    'The source code of a container has besides the published protos `inlinedSource`.',
    { template: { containers: [{ sourceCode: { inlinedSource: WRONG } }] } },
    ['inlinedSource'],
  ),
  newer(
    'run-newer-service-fields',
    'A service has besides the published protos `sshEnabled` and `functionalType`.',
    { sshEnabled: WRONG, functionalType: WRONG },
    ['sshEnabled', 'functionalType'],
  ),
  {
    id: 'run-force-new-revision',
    text: '`services.patch` has the parameter `forceNewRevision`.',
    source: 'P: discovery document of run v2, revision 20261031',
    unsure: false,
    section: 'Cloud Run: newer fields',
    probe: async context => {
      const { url } = await sharedService(context);
      await sharedAccount(context);
      const query = 'updateMask=labels&forceNewRevision=wrong&validateOnly=true';
      const answer = await context.call('PATCH', `${url}?${query}`, { labels: context.labels });
      const message = String(fieldIn(answer, 'error.message') ?? '');
      return judge(answer.status === 400 && !/Unknown name|could not be found/.test(message), answer);
    },
  },
];
