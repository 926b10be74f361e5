import type { JsonObject } from '../../ports/json.ts';
import { serviceName } from './names.ts';
import type { Observed, ObservedService, Step } from './types.ts';

/**
 * What would be observed once a step had been done: lets `plan` show also those steps that only become possible after
 * others. Pure guesswork about Google Cloud, never used to decide on a call.
 */
export function foresee(observed: Observed, steps: Step[]): Observed {
  return steps.reduce(after, observed);
}

type Seen = Observed['services'][number];

/** What comes about by itself while the operator waits: revisions come up, services that are being deleted are gone. */
export function afterWaiting(observed: Observed): Observed {
  return {
    ...observed,
    services: observed.services.map(seen => {
      const { service } = seen;
      if (service.state !== 'present') return seen;
      if (service.value.deleteTime !== undefined) return gone(seen);
      return { ...seen, service: { state: 'present', value: settled(service.value) } };
    }),
  };
}

function after(observed: Observed, { call }: Step): Observed {
  switch (call.kind) {
    case 'createAccount':
      return {
        ...observed,
        account: {
          state: 'present',
          value: {
            name: `projects/${call.project}/serviceAccounts/${call.email}`,
            email: call.email,
            uniqueId: 'new',
            description: call.description,
            disabled: false,
          },
        },
      };
    case 'updateAccount': {
      if (observed.account.state !== 'present') return observed;
      const { value } = observed.account;
      return { ...observed, account: { state: 'present', value: { ...value, description: call.description } } };
    }
    case 'deleteAccount':
      return { ...observed, account: { state: 'absent' } };
    case 'setSecretPolicy': {
      const policy = { state: 'present' as const, value: call.policy };
      return {
        ...observed,
        keys: observed.keys.map(key =>
          key.secret.state === 'present' && key.secret.value.name === call.secret ? { ...key, policy } : key,
        ),
        formerGrants: observed.formerGrants.map(grant => (grant.secret === call.secret ? { ...grant, policy } : grant)),
      };
    }
    case 'createService': {
      const [, project = '', , region = ''] = call.parent.split('/');
      return withService(observed, newService(serviceName(project, region, call.serviceId), region, call.service));
    }
    case 'updateService': {
      const seen = observed.services.find(({ name }) => name === call.service.name);
      if (seen?.service.state !== 'present') return observed;
      return withService(observed, settled({ ...seen.service.value, ...(call.service as Partial<ObservedService>) }));
    }
    case 'deleteService':
      return {
        ...observed,
        services: observed.services.map(seen => (seen.name === call.name ? gone(seen) : seen)),
      };
    case 'setServicePolicy':
      return {
        ...observed,
        services: observed.services.map(seen =>
          seen.name === call.service ? { ...seen, invokers: { state: 'present', value: call.policy } } : seen,
        ),
      };
  }
}

/** A service takes its IAM policy along. */
const gone = ({ name, region }: Seen): Seen => ({ name, region, service: { state: 'absent' } });

/** Its latest revision has come up and has all the traffic. */
const settled = (service: ObservedService): ObservedService => ({
  ...service,
  reconciling: false,
  terminal: { state: 'SUCCEEDED', reason: '', message: '' },
  observedGeneration: service.generation,
  latestReadyRevision: service.latestCreatedRevision,
  trafficStatuses: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
});

function newService(name: string, region: string, service: JsonObject): ObservedService {
  return settled({
    name,
    region,
    etag: 'new',
    generation: '1',
    observedGeneration: '',
    reconciling: true,
    terminal: { state: 'PENDING', reason: '', message: '' },
    latestReadyRevision: '',
    latestCreatedRevision: 'new',
    uri: '',
    urls: [],
    traffic: [],
    trafficStatuses: [],
    labels: service.labels as Record<string, string>,
    invokerIamDisabled: service.invokerIamDisabled === true,
    scaling: (service.scaling ?? {}) as JsonObject,
    template: (service.template ?? {}) as JsonObject,
    raw: service,
  });
}

function withService(observed: Observed, value: ObservedService): Observed {
  return {
    ...observed,
    services: observed.services.map(seen =>
      seen.name === value.name
        ? {
            ...seen,
            service: { state: 'present', value },
            invokers: seen.invokers ?? { state: 'present', value: { bindings: [], etag: 'new' } },
          }
        : seen,
    ),
  };
}
