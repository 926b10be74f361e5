import type { Runtime } from '../../ports/runtime.ts';
import type { Cloud, CloudSettings, Project } from './contracts.ts';
import { GcpError } from './errors.ts';
import { type AccountStore, createAccounts } from './iam/accounts.ts';
import { createPolicies, type PolicyStore } from './iam/policies.ts';
import { createOperations, type OperationStore } from './operations.ts';
import { accessAs, createSecrets, type SecretStore } from './secretManager/secrets.ts';

/** The cloud with the stores of its APIs. */
export interface LocalCloud extends Cloud {
  accounts: AccountStore;
  secrets: SecretStore;
  operationStore: OperationStore;
}

/** Short delays, so that a demonstration does not wait. Tests set the delays that they are about. */
const DEFAULT_SETTINGS: CloudSettings = {
  createVisibleMs: 100,
  serviceVisibleMs: 0,
  policyPropagationMs: 200,
  accountPropagationMs: 300,
  deployMs: 300,
  startupTimeoutMs: 10_000,
  idleMs: 60_000,
  defaultMaxInstances: 100,
  allowedMemberDomains: [],
  requireInvokerIam: false,
};

/** Makes an empty cloud of these projects. `permitted` becomes `Cloud.permitted`; without it every permission is granted. */
export function createCloud(
  runtime: Runtime,
  options: { projects: Project[]; settings?: Partial<CloudSettings>; permitted?: Cloud['permitted'] },
): LocalCloud {
  const settings = { ...DEFAULT_SETTINGS, ...options.settings };
  const byKey = new Map(
    options.projects.flatMap(project => [[project.id, project] as const, [project.number, project]]),
  );
  const accounts = createAccounts(runtime, settings, options.projects, () => policies);
  const policies: PolicyStore = createPolicies(runtime, settings, email => accounts.propagated(email) !== undefined);
  const secrets = createSecrets(runtime, settings);
  const operationStore = createOperations(runtime);

  function project(idOrNumber: string): Project {
    const found = byKey.get(idOrNumber);
    if (found) return found;
    throw new GcpError({
      code: 'PERMISSION_DENIED',
      message: `Permission denied on resource project ${idOrNumber}.`,
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'CONSUMER_INVALID',
          domain: 'googleapis.com',
          metadata: { consumer: `projects/${idOrNumber}` },
        },
      ],
    });
  }

  return {
    runtime,
    settings,
    project,
    policies,
    account: email => accounts.propagated(email),
    accessSecret: (projectId, secret, version, email) =>
      accessAs(
        secrets,
        {
          project: key => byKey.get(key),
          enabledAccount: name => accounts.propagated(name)?.disabled === false,
          has: policies.has,
        },
        { projectId, secret, version, email },
      ),
    operations: operationStore.operations,
    permitted: options.permitted ?? (() => true),
    accounts,
    secrets,
    operationStore,
    projects: options.projects,
  };
}
