import type { Project } from '../contracts.ts';
import type { ContainerTemplate, Desired, Template } from './messages.ts';
import { probeDefaults } from './probes.ts';
import { totalCpu } from './validateContainer.ts';

/** The account that runs what names none. It comes with the project. */
export const defaultAccount = (project: Project) => `${project.number}-compute@developer.gserviceaccount.com`;

/** Fills in what the client left out, as Cloud Run stores and answers it (sandbox facts; vendor's protos). */
export function withDefaults(desired: Desired, project: Project, maxInstances: number): Desired {
  return {
    ...desired,
    ingress: desired.ingress ?? 'INGRESS_TRAFFIC_ALL',
    launchStage: desired.launchStage ?? 'GA',
    ...(desired.template && { template: templateDefaults(desired.template, project, maxInstances) }),
    traffic: desired.traffic?.length
      ? desired.traffic.map(target => ({
          ...target,
          type: target.type ?? (target.revision ? byRevision : latest),
        }))
      : [{ type: latest, percent: 100 }],
  };
}

export const latest = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
export const byRevision = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';

function templateDefaults(template: Template, project: Project, maxInstances: number): Template {
  const given = template.containers ?? [];
  // With several containers the one with a port receives the requests. Only a single container gets a port by default.
  const containers = given.map(container =>
    containerDefaults(container, given.length === 1 || !!container.ports?.length),
  );
  const fraction = totalCpu(containers) < 1;
  return {
    ...template,
    scaling: { ...template.scaling, maxInstanceCount: template.scaling?.maxInstanceCount ?? maxInstances },
    timeout: template.timeout ?? '300s',
    serviceAccount: template.serviceAccount ?? defaultAccount(project),
    maxInstanceRequestConcurrency: template.maxInstanceRequestConcurrency || (fraction ? 1 : 80),
    containers,
  };
}

function containerDefaults(container: ContainerTemplate, takesRequests: boolean): ContainerTemplate {
  const ports = container.ports?.length ? container.ports : [{}];
  const given = container.resources;
  const port = ports[0]?.containerPort ?? 8080;
  return {
    ...container,
    resources: {
      // A template without `resources` gets CPU only during requests. One with `resources` must set `cpuIdle` for that
      // (vendor's protos).
      ...(given ?? { cpuIdle: true, startupCpuBoost: true }),
      limits: { cpu: '1000m', memory: '512Mi', ...given?.limits },
    },
    ...(!takesRequests
      ? {}
      : {
          ports: ports.map(port => ({ name: port.name ?? 'http1', containerPort: port.containerPort ?? 8080 })),
          startupProbe: container.startupProbe ?? {
            timeoutSeconds: 240,
            periodSeconds: 240,
            failureThreshold: 1,
            tcpSocket: { port },
          },
        }),
    ...Object.fromEntries(
      (['startupProbe', 'livenessProbe'] as const).flatMap(name => {
        const probe = container[name];
        return probe ? [[name, probeDefaults(probe, port)] as const] : [];
      }),
    ),
  };
}
