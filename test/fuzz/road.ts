import { parseAccount } from '../../operator/gcp/account.ts';
import { requestOf } from '../../operator/gcp/execute.ts';
import { parsePolicy } from '../../operator/gcp/iamPolicy.ts';
import { object } from '../../operator/gcp/parse.ts';
import { badName } from '../../operator/gcp/resourceNames.ts';
import { newestIn, parseSecret, parseVersion } from '../../operator/gcp/secret.ts';
import { parseService } from '../../operator/gcp/service.ts';
import { deletionPolicy, deletionProject, planAbandon, planDeletion } from '../../operator/tenant/deletion.ts';
import { desiredState } from '../../operator/tenant/desired.ts';
import { claimAccount, claimService } from '../../operator/tenant/ownership.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { deleting, refused, report, suspended } from '../../operator/tenant/report.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import { deletionTargets, targets } from '../../operator/tenant/targets.ts';
import type {
  Failure,
  Observed,
  Policy,
  Read,
  Settings,
  Step,
  Targets,
  TenantStatus,
} from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';

/** The pure part of a reconcile from one end to the other, for objects and answers that nobody vouches for. */

const NOW = Date.UTC(2030, 0, 1);
const settings: Settings = {
  project: 'tenants-1',
  projects: [],
  defaultImage: 'gcr.io/cloudrun/hello',
  claimPolicy: 'labelled',
  clusterId: 'c1',
  regionMoveGraceMs: 3_600_000,
  syncIntervalMs: 600_000,
};

export interface Gone {
  steps: Step[];
  statuses: TenantStatus[];
}

/** Every way that an object can go where Google Cloud answers so. */
export function road(object: KubeObject, answers: Answers): Gone {
  const tenant = readTenant(object);
  const out: Gone = { steps: [], statuses: [] };

  const around = { namespaceAnnotations: {}, connectorSecret: () => ({ state: 'absent' as const }) };
  const wanted = desiredState(tenant, settings, around);
  if (wanted.ok) {
    const asked = targets(wanted.desired, tenant.status.inventory);
    const seen = observed(answers, asked);
    const planned = plan(tenant, wanted.desired, seen, settings, NOW);
    const outcomes = planned.steps.map(step => ({ step, result: 'done' as const, response: {} }));
    out.steps.push(...planned.steps);
    out.statuses.push(
      report(tenant, wanted.desired, seen, planned, undefined, NOW).status,
      report(tenant, wanted.desired, seen, planned, outcomes, NOW).status,
    );
  } else out.statuses.push(refused(tenant, wanted.message, NOW).status);

  const leaving = deletionTargets(tenant, deletionProject(tenant, {}, settings));
  const left = observed(answers, leaving);
  const policy = deletionPolicy(tenant);
  for (const planned of [planDeletion(tenant, left, settings, NOW), planAbandon(tenant, left, settings)]) {
    out.steps.push(...planned.steps);
    out.statuses.push(deleting(tenant, planned, [], NOW, policy.ok ? undefined : policy.message).status);
  }
  out.statuses.push(suspended(tenant, NOW).status);
  return out;
}

/** What must hold of it. Throws where it does not. */
export function mustBeSound({ steps, statuses }: Gone): void {
  for (const { call } of steps) {
    const { method, request } = requestOf(call);
    if (typeof method !== 'string' || typeof request !== 'object') throw new Error('a step is no call');
    if ('policy' in call && call.policy.bindings.some(({ members }) => members.length === 0)) {
      throw new Error('a binding without members');
    }
  }
  for (const { conditions, keys } of statuses) {
    const names = keys.map(({ name }) => name);
    if (new Set(names).size !== names.length) throw new Error('a key is there once');
    const types = conditions.map(({ type }) => type);
    if (types.filter(type => type === 'Ready').length !== 1) throw new Error('a status has one Ready');
    if (new Set(types).size !== types.length) throw new Error('a condition is there once');
    // The others may be carried over as they were.
    for (const { type, message } of conditions)
      if (type === 'Ready' && (message.length > 2_000 || /\p{Cc}/u.test(message)))
        throw new Error('a message is short and printable');
  }
}

/** Answers by what they are about; null: not there. */
export type Answers = Record<'account' | 'secret' | 'policy' | 'version' | 'service' | 'servicePolicy', unknown>;

/** What is observed where every read is answered by these. As in operator/gcp, only without the waiting. */
function observed(answers: Answers, { account, keys, formerGrants, formerConsent, services }: Targets): Observed {
  const odd = { state: 'failed' as const, failure: { kind: 'Transient' as const, message: 'odd' } };
  const read = <T>(answer: unknown, parse: (answer: JsonObject) => T | undefined, bad?: Failure): Read<T> => {
    if (bad) return { state: 'failed', failure: bad };
    if (answer === null) return { state: 'absent' };
    const value = parse(object(answer));
    return value === undefined ? odd : { state: 'present', value };
  };
  const policy = (name: string) => read(answers.policy, parsePolicy, badName('secret', name));
  return {
    account: account ? read(answers.account, parseAccount, badName('account', account)) : { state: 'absent' },
    keys: keys.map(({ name, secret, want }) => ({
      name,
      secret: read(answers.secret, parseSecret, badName('secret', secret)),
      policy: policy(secret),
      ...(want !== 'none' && {
        version: read(answers.version, want === 'newestEnabled' ? page => newestIn('ENABLED', page) : parseVersion),
      }),
    })),
    formerGrants: formerGrants.map(secret => ({
      secret,
      policy: policy(secret),
      ...(formerConsent && { read: read(answers.secret, parseSecret, badName('secret', secret)) }),
    })),
    services: services.map(name => ({
      name,
      region: name.split('/')[3] ?? '',
      service: read(answers.service, parseService, badName('service', name)),
      invokers: read(answers.servicePolicy, parsePolicy),
    })),
  };
}

/** The rules that hold whatever Google Cloud answers: others' members, services and accounts are left alone. Throws. */
export function mustLeaveOthersAlone(answers: Answers, { steps }: Gone): void {
  const others = (policy: Policy | undefined) =>
    (policy?.bindings ?? []).flatMap(({ role, members, condition }) =>
      members
        .filter(member => !/^(deleted:)?serviceAccount:sa-|^all(Authenticated)?Users$/i.test(member))
        .map(member => JSON.stringify([role, member, condition])),
    );
  const before = parsePolicy(object(answers.policy));
  const service = parseService(object(answers.service));
  const account = parseAccount(object(answers.account));
  const rules = {
    owner: { cluster: 'c1', namespace: 'team', name: 'tenant-a' },
    policy: 'labelled' as const,
    inventory: [],
    adopt: true,
  };
  for (const { call } of steps) {
    if (call.kind === 'setSecretPolicy') {
      if (call.policy.etag !== before?.etag) throw new Error('a policy is written with the etag it was read with');
      const [was, will] = [others(before), others(call.policy)];
      if (was.join() !== will.join()) throw new Error('somebody else’s member changes');
      if (JSON.stringify(call.policy.auditConfigs) !== JSON.stringify(before?.auditConfigs)) {
        throw new Error('audit configs change');
      }
    }
    if (call.kind === 'updateService' || call.kind === 'deleteService') {
      if (!service || ['theirs', 'unclaimed'].includes(claimService(service, rules))) {
        throw new Error(`${call.kind} of what is not ours`);
      }
    }
    if (call.kind === 'updateAccount' || call.kind === 'deleteAccount') {
      if (!account || ['theirs', 'unclaimed'].includes(claimAccount(account, rules))) {
        throw new Error(`${call.kind} of what is not ours`);
      }
    }
  }
}
