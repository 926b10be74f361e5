import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ObservedService } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import { absent, atRest, LATEST, planFor, present, SERVICE, seen, serviceA } from './support/tenantWorld.ts';

/** Rule 7: a reconcile writes nothing once Google Cloud matches, whatever defaults the server fills in. */

/** What a server fills in where a client sends nothing, and how it writes what the client sent. */
interface Server {
  maximum: number;
  serviceMaximum?: number;
  seconds: string;
  cpu: (given: string) => string;
  startupCpuBoost: boolean;
  mode?: string;
}

const object = (value: unknown): JsonObject => JSON.parse(JSON.stringify(value ?? {}));

function filledIn(service: JsonObject, server: Server): Partial<ObservedService> {
  const template = object(service.template);
  const containers = ((template.containers ?? []) as JsonObject[]).map(container => {
    const resources = object(container.resources);
    const limits = object(resources.limits);
    return {
      ports: [{ name: 'http1', containerPort: 8080 }],
      startupProbe: { timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1, tcpSocket: { port: 8080 } },
      ...container,
      resources: {
        startupCpuBoost: server.startupCpuBoost,
        ...resources,
        limits: { ...limits, cpu: server.cpu(String(limits.cpu ?? '1')) },
      },
    };
  });
  const scaling = object(service.scaling);
  const { minInstanceCount, ...rest } = scaling;
  return {
    ...(service as Partial<ObservedService>),
    scaling: {
      ...(server.serviceMaximum !== undefined && { maxInstanceCount: server.serviceMaximum }),
      ...(server.mode !== undefined && { scalingMode: server.mode }),
      ...rest,
      // proto3 JSON leaves a zero out.
      ...(minInstanceCount !== 0 && minInstanceCount !== undefined && { minInstanceCount }),
    },
    traffic: (service.traffic as JsonObject[] | undefined) ?? [{ type: LATEST, percent: 100 }],
    template: {
      ...template,
      timeout: `${Number.parseFloat(String(template.timeout ?? '300s'))}${server.seconds}`,
      maxInstanceRequestConcurrency: template.maxInstanceRequestConcurrency ?? 80,
      scaling: { maxInstanceCount: server.maximum, ...object(template.scaling) },
      containers,
    },
  };
}

const servers: fc.Arbitrary<Server> = fc.record({
  maximum: fc.constantFrom(100, 20, 5, 1, 3000),
  serviceMaximum: fc.option(fc.constantFrom(100, 20, 5), { nil: undefined }),
  seconds: fc.constantFrom('s', '.0s', '.000000000s'),
  cpu: fc.constantFrom<Server['cpu']>(
    given => given,
    given => (given.endsWith('m') ? given : `${Number(given) * 1000}m`),
  ),
  startupCpuBoost: fc.boolean(),
  mode: fc.constantFrom(undefined, 'AUTOMATIC'),
});

const specs = fc
  .record({
    max: fc.constantFrom(1, 3, 5, 10, 20, 99, 100, 101, 500, 1000),
    min: fc.integer({ min: 0, max: 1000 }),
    concurrency: fc.constantFrom(1, 80, 1000),
    cpu: fc.constantFrom('1', '2', '4', '1000m', '500m'),
    memory: fc.constantFrom('512Mi', '1Gi', '1024Mi', '4Gi'),
    timeoutSeconds: fc.constantFrom(1, 60, 300, 3600),
    env: fc.constantFrom([], [{ name: 'EMPTY', value: '' }], [{ name: 'LOG', value: 'debug' }]),
  })
  .map(({ max, min, concurrency, cpu, memory, ...rest }) => ({
    scaling: { minInstances: Math.min(min, max), maxInstances: max, concurrency },
    resources: { cpu, memory },
    ...rest,
  }));

const updates = (spec: object, service: Partial<ObservedService>) =>
  planFor({ spec, cloud: { services: [seen(present(serviceA(service)))] } }).steps.map(({ call }) => {
    if (call.kind !== 'updateService') throw new Error(call.kind);
    return call;
  });

describe('the second reconcile writes nothing', () => {
  test('whatever the spec says, whatever stands on the service and whatever the server fills in', () => {
    const count = fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined });
    const scaling = fc.record({ minInstanceCount: count, maxInstanceCount: count });
    fc.assert(
      fc.property(specs, servers, scaling, scaling, (spec, server, onService, onTemplate) => {
        const before = filledIn(
          { ...serviceA(), scaling: onService, template: { ...serviceA().template, scaling: onTemplate } } as never,
          server,
        );
        const written = Object.assign({}, before, ...updates(spec, before).map(({ service }) => service));
        expect(updates(spec, filledIn(written, server))).toEqual([]);
      }),
    );
  });

  test('to a new service, unless the server’s own maximum is below the spec’s: that is raised once', () => {
    fc.assert(
      fc.property(specs, servers, (spec, server) => {
        const inventory = atRest.filter(({ name }) => name !== SERVICE);
        const plan = planFor({ spec, status: { inventory }, cloud: { services: [seen(absent)] } });
        const call = plan.steps.map(step => step.call).find(({ kind }) => kind === 'createService');
        if (call?.kind !== 'createService') throw new Error('no service was made');
        const made = filledIn(call.service, server);
        const again = updates(spec, made);
        if (server.maximum >= Math.min(100, spec.scaling.maxInstances)) expect(again).toEqual([]);
        expect(again.length).toBeLessThanOrEqual(1);
        const raised = Object.assign({}, made, ...again.map(({ service }) => service));
        expect(updates(spec, filledIn(raised, server))).toEqual([]);
      }),
    );
  });
});
