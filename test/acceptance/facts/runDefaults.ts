import type { Json } from '../../../ports/json.ts';
import { type Exchange, fieldIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { described, sharedService, validate } from './made.ts';
import { allOf, fieldFits, notObservable } from './verdicts.ts';

/** Cloud Run Admin v2: what it fills in, and the addresses that it gives. */

const section = 'Cloud Run: defaults and addresses';

/** A quantity's value. */
function quantity(text: Json | undefined): number {
  const [, number = '', unit = ''] = /^([0-9.]+)(m|Ki|Mi|Gi)?$/.exec(String(text)) ?? [];
  const units: Record<string, number> = { '': 1, m: 1e-3, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
  return Number(number || 'NaN') * (units[unit] ?? Number.NaN);
}

/** A fact about a field of the service that most probes share, which names none of these fields itself. */
function defaulted(
  id: string,
  text: string,
  source: string,
  path: string,
  fits: Json | ((value: Json | undefined) => boolean),
): Fact {
  const probe = async (context: FactContext) => fieldFits((await sharedService(context)).settled, path, fits);
  return { id, text, source, unsure: false, section, probe };
}

const CONTAINER = 'template.containers.0';
const SEEN = 'C: answers to services that clients made without the field';

/** The sandbox serves its services at addresses of this machine. */
const LOCAL = 'this endpoint serves the services at addresses of one machine';
const isLocal = (service: Exchange): boolean => String(fieldIn(service, 'uri')).startsWith('http://');

export const runDefaults: Fact[] = [
  defaulted('run-default-launch-stage', 'Default of `launchStage`: `GA`.', SEEN, 'launchStage', 'GA'),
  defaulted(
    'run-default-ingress',
    'Default of `ingress`: `INGRESS_TRAFFIC_ALL`.',
    SEEN,
    'ingress',
    'INGRESS_TRAFFIC_ALL',
  ),
  defaulted('run-default-timeout', 'Default of `template.timeout`: `300s`.', SEEN, 'template.timeout', '300s'),
  defaulted(
    'run-default-concurrency',
    'Default of `template.maxInstanceRequestConcurrency`: 80.',
    'P: google/cloud/run/v2/revision_template.proto',
    'template.maxInstanceRequestConcurrency',
    80,
  ),
  {
    id: 'run-default-concurrency-fraction',
    text: 'Default of `template.maxInstanceRequestConcurrency` with less than one CPU: 1.',
    source: 'P: google/cloud/run/v2/revision_template.proto',
    unsure: false,
    section,
    probe: async context => {
      const asked = await validate(context, { container: { resources: { limits: { cpu: '500m' } } } });
      return fieldFits(described(asked), 'template.maxInstanceRequestConcurrency', 1);
    },
  },
  {
    id: 'run-default-account',
    text: 'Default of `template.serviceAccount`: `NUMBER-compute@developer.gserviceaccount.com`.',
    source: 'D: https://cloud.google.com/run/docs/securing/service-identity',
    unsure: false,
    section,
    probe: async context => {
      const asked = await validate(context, { serviceAccount: '' });
      const account = fieldIn(described(asked), 'template.serviceAccount');
      if (succeeded(asked) && (account === undefined || account === '')) {
        return notObservable('the answer to a request that is only validated has no service account');
      }
      return fieldFits(described(asked), 'template.serviceAccount', email =>
        new RegExp(`^${context.projectNumber ?? '\\d+'}-compute@developer\\.gserviceaccount\\.com$`).test(
          String(email),
        ),
      );
    },
  },
  defaulted(
    'run-default-cpu',
    'Default of the CPU limit: 1.',
    SEEN,
    `${CONTAINER}.resources.limits.cpu`,
    cpu => quantity(cpu) === 1,
  ),
  defaulted(
    'run-default-memory',
    'Default of the memory limit: 512Mi.',
    SEEN,
    `${CONTAINER}.resources.limits.memory`,
    memory => quantity(memory) === 512 * 2 ** 20,
  ),
  defaulted(
    'run-default-startup-boost',
    'Default of `resources.startupCpuBoost`: true.',
    SEEN,
    `${CONTAINER}.resources.startupCpuBoost`,
    true,
  ),
  defaulted(
    'run-default-startup-probe',
    'Default of the start-up probe: one try of 240 s at TCP port 8080.',
    SEEN,
    `${CONTAINER}.startupProbe`,
    {
      timeoutSeconds: 240,
      periodSeconds: 240,
      failureThreshold: 1,
      tcpSocket: { port: 8080 },
    },
  ),
  defaulted('run-default-ports', 'Default of `ports`: `http1`, 8080.', SEEN, `${CONTAINER}.ports`, [
    { name: 'http1', containerPort: 8080 },
  ]),
  defaulted('run-default-traffic', 'Default of `traffic`: 100 % to the latest revision.', SEEN, 'traffic', [
    { type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 },
  ]),
  defaulted(
    'run-default-max-instances',
    'Default of `template.scaling.maxInstanceCount`: 100, or less in a project of small quota (20 and 5 are reported); it comes back.',
    'C: https://github.com/GoogleCloudPlatform/magic-modules/pull/18394',
    'template.scaling.maxInstanceCount',
    count => typeof count === 'number' && count >= 1 && count <= 100,
  ),
  {
    id: 'run-cpu-always-allocated',
    text: 'Setting `resources` without `cpuIdle: true` switches to always-allocated CPU.',
    source: 'P: google/cloud/run/v2/k8s.min.proto',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await sharedService(context);
      const asked = await validate(context, { container: { resources: { limits: { cpu: '1' } } } });
      return allOf(
        () => fieldFits(settled, `${CONTAINER}.resources.cpuIdle`, true),
        () => fieldFits(described(asked), `${CONTAINER}.resources.cpuIdle`, value => value !== true),
      );
    },
  },
  {
    id: 'run-uri',
    text: 'The `uri` of a service is `https://SERVICE-HASH-uc.a.run.app`; `uc` stands for the region.',
    source: 'C: https://github.com/GoogleCloudPlatform/cloud-run-mcp/issues/16',
    unsure: false,
    section,
    probe: async context => {
      const { settled, id } = await sharedService(context);
      if (isLocal(settled)) return notObservable(LOCAL);
      return fieldFits(settled, 'uri', uri =>
        new RegExp(`^https://${id}-[a-z0-9]{10}-[a-z]{2,3}\\.a\\.run\\.app$`).test(String(uri)),
      );
    },
  },
  {
    id: 'run-urls',
    text: '`urls` has besides the `uri` an address `https://SERVICE-NUMBER.REGION.run.app`.',
    source: 'C: quoted in public repositories: the annotation run.googleapis.com/urls of exported services',
    unsure: false,
    section,
    probe: async context => {
      const { settled, id } = await sharedService(context);
      if (isLocal(settled)) return notObservable(LOCAL);
      const numbered = new RegExp(`^https://${id}-${context.projectNumber ?? '\\d+'}\\.${context.region}\\.run\\.app$`);
      return allOf(
        () => fieldFits(settled, 'urls', list => Array.isArray(list) && list.some(url => numbered.test(String(url)))),
        () => fieldFits(settled, 'urls', list => Array.isArray(list) && list.includes(fieldIn(settled, 'uri') ?? null)),
      );
    },
  },
  {
    id: 'gke-metadata-server',
    text: 'GKE with Dataplane V2 rewrites the address of the metadata server to that of the node, port 988, before NetworkPolicy is judged.',
    source: 'C: https://github.com/gke-labs/kube-agents/pull/676',
    unsure: false,
    section: 'GKE',
    probe: async () => notObservable('this needs a cluster of GKE, and a run makes none'),
  },
];
