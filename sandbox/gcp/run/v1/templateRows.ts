import { count, flag, hours, json, same, seconds, words } from './codecs.ts';
import { containerRows, envRows, mountRows } from './containerRows.ts';
import { each, nested, type Row } from './rows.ts';
import { volumeRows } from './volumeRows.ts';

/**
 * The settings of a revision's template that have one place in each API. What v1 says once for all containers stands in
 * `spread.ts`. Sources: discovery documents of run v1 and v2, revision 20261031, and the annotations that gcloud 528 writes.
 */

const annotation = (key: string, v2: string, codec = same): Row => ({
  v1: ['metadata', 'annotations', key],
  v2: v2.split('.'),
  codec,
});
const spec = (field: string, v2: string, codec = same): Row => ({ v1: ['spec', field], v2: v2.split('.'), codec });

const sandboxes = nested([
  {
    v1: ['templates'],
    v2: ['templates'],
    codec: each(
      nested([
        ...['name', 'image', 'command', 'args', 'workingDir'].map(field => ({ v1: [field], v2: [field], codec: same })),
        { v1: ['env'], v2: ['env'], codec: each(nested(envRows)) },
        { v1: ['volumeMounts'], v2: ['volumeMounts'], codec: each(nested(mountRows)) },
      ]),
    ),
  },
]);

export const templateRows: readonly Row[] = [
  { v1: ['metadata', 'name'], v2: ['revision'], codec: same },
  annotation('autoscaling.knative.dev/minScale', 'scaling.minInstanceCount', count),
  annotation('autoscaling.knative.dev/maxScale', 'scaling.maxInstanceCount', count),
  annotation('run.googleapis.com/client-name', 'client'),
  annotation('run.googleapis.com/client-version', 'clientVersion'),
  annotation(
    'run.googleapis.com/execution-environment',
    'executionEnvironment',
    words({ gen1: 'EXECUTION_ENVIRONMENT_GEN1', gen2: 'EXECUTION_ENVIRONMENT_GEN2' }),
  ),
  annotation('run.googleapis.com/vpc-access-connector', 'vpcAccess.connector'),
  annotation(
    'run.googleapis.com/vpc-access-egress',
    'vpcAccess.egress',
    words(
      { 'all-traffic': 'ALL_TRAFFIC', 'private-ranges-only': 'PRIVATE_RANGES_ONLY' },
      { also: { all: 'ALL_TRAFFIC' } },
    ),
  ),
  annotation('run.googleapis.com/network-interfaces', 'vpcAccess.networkInterfaces', json),
  annotation('run.googleapis.com/encryption-key', 'encryptionKey'),
  annotation(
    'run.googleapis.com/post-key-revocation-action-type',
    'encryptionKeyRevocationAction',
    words({ 'prevent-new': 'PREVENT_NEW', 'shut-down': 'SHUTDOWN' }),
  ),
  annotation('run.googleapis.com/encryption-key-shutdown-hours', 'encryptionKeyShutdownDuration', hours),
  annotation('run.googleapis.com/sessionAffinity', 'sessionAffinity', flag),
  annotation('run.googleapis.com/health-check-disabled', 'healthCheckDisabled', flag),
  annotation('run.googleapis.com/gpu-zonal-redundancy-disabled', 'gpuZonalRedundancyDisabled', flag),
  annotation('run.googleapis.com/mesh', 'serviceMesh.mesh'),
  annotation('run.googleapis.com/identity', 'workloadIdentityConfig.identity'),
  annotation(
    'run.googleapis.com/enable-workload-certificate',
    'workloadIdentityConfig.identityCertificateEnabled',
    flag,
  ),
  spec('containerConcurrency', 'maxInstanceRequestConcurrency'),
  spec('timeoutSeconds', 'timeout', seconds),
  spec('serviceAccountName', 'serviceAccount'),
  { v1: ['spec', 'nodeSelector', 'run.googleapis.com/accelerator'], v2: ['nodeSelector', 'accelerator'], codec: same },
  spec('sandboxes', 'sandboxes', sandboxes),
  spec('containers', 'containers', each(nested(containerRows, {}, ['imagePullPolicy']))),
  spec('volumes', 'volumes', each(nested(volumeRows))),
];
