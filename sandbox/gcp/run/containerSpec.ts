import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud } from '../contracts.ts';
import type { ContainerSpec } from './containers.ts';
import { ingressOf, readEnv } from './instanceEnv.ts';
import type { ContainerTemplate } from './messages.ts';
import { serviceName } from './names.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';

/** Makes the specification by which `Containers` runs a revision's instances, from the revision's template. */
export function containerSpec(cloud: Cloud, service: ServiceState, revision: RevisionState): ContainerSpec {
  const { template } = revision;
  const containers = template.containers ?? [];
  const container = containers[ingressOf(template)] ?? {};
  const mounts = ({ volumeMounts = [] }: ContainerTemplate) =>
    volumeMounts.flatMap(({ name, mountPath = '' }) => {
      const volume = template.volumes?.find(one => one.name === name);
      return volume ? { path: mountPath, volume } : [];
    });
  return {
    service: serviceName(service),
    revision: revision.id,
    image: container.image ?? '',
    dependsOn: container.dependsOn ?? [],
    mounts: mounts(container),
    sidecars: containers
      .filter(other => other !== container)
      .map(sidecar => ({
        name: sidecar.name ?? '',
        image: sidecar.image ?? '',
        startupPort: probedPort(sidecar.startupProbe),
        dependsOn: sidecar.dependsOn ?? [],
        mounts: mounts(sidecar),
      })),
    isH2c: container.ports?.[0]?.name === 'h2c',
    containerPort: container.ports?.[0]?.containerPort ?? 8080,
    concurrency: template.maxInstanceRequestConcurrency ?? 80,
    timeoutMs: Number((template.timeout ?? '300s').slice(0, -1)) * 1000,
    startupTimeoutMs: cloud.settings.startupTimeoutMs,
    idleMs: () => cloud.settings.idleMs,
    instanceEnv: () => readEnv(cloud, service, template, 'start'),
  };
}

/** The port that a probe connects to. All kinds of probe call the field `port`. */
function probedPort(probe: JsonObject | undefined): number | undefined {
  for (const kind of ['tcpSocket', 'httpGet', 'grpc']) {
    const { port } = (probe?.[kind] ?? {}) as { port?: number };
    if (typeof port === 'number') return port;
  }
  return undefined;
}
