import { byRevision, latest } from '../defaults.ts';
import { commas, count, flag, json, same, words } from './codecs.ts';
import { type Codec, each, isObject, nested, type Row } from './rows.ts';

/**
 * The settings of a service that are not its template's. Sources: discovery documents of run v1 and v2, revision 20261031, and the
 * annotations that gcloud 528 writes.
 */

const annotation = (key: string, v2: string, codec: Codec = same): Row => ({
  v1: ['metadata', 'annotations', `run.googleapis.com/${key}`],
  v2: v2.split('.'),
  codec,
});

const text = (name: string, v2 = name): Row => ({ v1: [name], v2: [v2], codec: same });
const target = nested(
  [text('percent'), text('tag'), text('revisionName', 'revision'), text('latestRevision', 'type')],
  {},
  ['url'],
);

/** v1 says `latestRevision: true`, v2 a type. */
const trafficTarget: Codec = {
  toV2(value, at) {
    const read = target.toV2(value, at);
    return isObject(read) ? { ...read, type: read.type === true ? latest : byRevision } : undefined;
  },
  toV1(value) {
    const written = target.toV1(value);
    return isObject(written) ? { ...written, latestRevision: written.latestRevision !== byRevision } : undefined;
  },
};

/** google.api.LaunchStage has the same words in both APIs. */
const LAUNCH_STAGES = Object.fromEntries(
  ['UNIMPLEMENTED', 'PRELAUNCH', 'EARLY_ACCESS', 'ALPHA', 'BETA', 'GA', 'DEPRECATED'].map(stage => [stage, stage]),
);

export const serviceRows: readonly Row[] = [
  annotation(
    'ingress',
    'ingress',
    words({
      all: 'INGRESS_TRAFFIC_ALL',
      internal: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
      'internal-and-cloud-load-balancing': 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
      none: 'INGRESS_TRAFFIC_NONE',
    }),
  ),
  annotation('launch-stage', 'launchStage', words(LAUNCH_STAGES, { hidden: 'GA' })),
  annotation('client-name', 'client'),
  annotation('client-version', 'clientVersion'),
  annotation('description', 'description'),
  annotation('minScale', 'scaling.minInstanceCount', count),
  annotation('maxScale', 'scaling.maxInstanceCount', count),
  annotation('scalingMode', 'scaling.scalingMode', words({ automatic: 'AUTOMATIC', manual: 'MANUAL' })),
  annotation('manualInstanceCount', 'scaling.manualInstanceCount', count),
  annotation('invoker-iam-disabled', 'invokerIamDisabled', flag),
  annotation('default-url-disabled', 'defaultUriDisabled', flag),
  annotation('iap-enabled', 'iapEnabled', flag),
  annotation('custom-audiences', 'customAudiences', json),
  annotation('regions', 'multiRegionSettings.regions', commas),
  {
    v1: ['metadata', 'annotations', 'run.googleapis.com/binary-authorization'],
    v2: ['binaryAuthorization'],
    codec: {
      toV2: value => (value === 'default' ? { useDefault: true } : { policy: value }),
      toV1: value => (isObject(value) ? (value.useDefault ? 'default' : value.policy) : undefined),
    },
  },
  annotation('binary-authorization-breakglass', 'binaryAuthorization.breakglassJustification'),
  annotation('build-name', 'buildConfig.name'),
  annotation('build-source-location', 'buildConfig.sourceLocation'),
  annotation('build-function-target', 'buildConfig.functionTarget'),
  annotation('build-image-uri', 'buildConfig.imageUri'),
  annotation('build-base-image', 'buildConfig.baseImage'),
  annotation('build-enable-automatic-updates', 'buildConfig.enableAutomaticUpdates', flag),
  annotation('build-worker-pool', 'buildConfig.workerPool'),
  annotation('build-environment-variables', 'buildConfig.environmentVariables', json),
  annotation('build-service-account', 'buildConfig.serviceAccount'),
  { v1: ['spec', 'traffic'], v2: ['traffic'], codec: each(trafficTarget) },
];
