import { same } from './codecs.ts';
import { type Codec, each, isObject, nested, type Row } from './rows.ts';

/** The parts of a container. What v1 writes as an annotation of the template stands in `spread.ts`. */

const field = (name: string, codec = same, v2 = name): Row => ({ v1: name.split('.'), v2: v2.split('.'), codec });

export const envRows: readonly Row[] = [
  field('name'),
  field('value'),
  field(
    'valueFrom',
    nested([field('secretKeyRef', nested([field('name', same, 'secret'), field('key', same, 'version')]))]),
    'valueSource',
  ),
];

export const mountRows: readonly Row[] = [field('name'), field('mountPath'), field('subPath')];

const header: readonly Row[] = [field('name'), field('value')];

/** v1's `successThreshold`, `scheme` and `host` have no place in v2: Cloud Run allows one value for them. */
const probeFields = nested(
  [
    field('initialDelaySeconds'),
    field('timeoutSeconds'),
    field('periodSeconds'),
    field('failureThreshold'),
    field('httpGet', nested([field('path'), field('port'), field('httpHeaders', each(nested(header)))])),
    field('tcpSocket', nested([field('port')])),
    field('grpc', nested([field('port'), field('service')])),
  ],
  {},
  ['successThreshold'],
);

/** Numbers that nobody asked for are shown with their defaults (run v2, vendor's protos, Probe). */
const probe: Codec = {
  toV2: probeFields.toV2,
  toV1(value) {
    const written = probeFields.toV1(value);
    return isObject(written) ? { timeoutSeconds: 1, periodSeconds: 10, failureThreshold: 3, ...written } : undefined;
  },
};

export const containerRows: readonly Row[] = [
  field('name'),
  field('image'),
  field('command'),
  field('args'),
  field('workingDir'),
  field('sandboxLauncher'),
  field('env', each(nested(envRows))),
  // `requests` has no effect in Cloud Run.
  field('resources', nested([field('limits')], {}, ['requests'])),
  field('ports', each(nested([field('name'), field('containerPort')], {}, ['protocol']))),
  field('volumeMounts', each(nested(mountRows, {}, ['readOnly']))),
  field('startupProbe', probe),
  field('livenessProbe', probe),
  field('readinessProbe', probe),
];
