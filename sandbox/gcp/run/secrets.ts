import type { Cloud, SecretAccess } from '../cloud.ts';
import type { InstanceEnv } from './containers.ts';
import type { ServiceState, Template } from './types.ts';

/**
 * The variables of one instance: plain ones as they are, secrets read now as the revision's account. A failure is told
 * with a line for each variable that cannot be read, as the real service's conditions do.
 */
export function readEnv(cloud: Cloud, service: ServiceState, template: Template): InstanceEnv {
  const account = template.serviceAccount ?? '';
  const env: Record<string, string> = {};
  // A disabled account gets no tokens, so no instance starts as it (IAM documentation, "Disable service accounts").
  const problems: string[] = cloud.account(account)?.disabled ? [`Service account ${account} is disabled.`] : [];
  for (const [c, container] of (template.containers ?? []).entries()) {
    for (const [i, { name = '', value = '', valueSource }] of (container.env ?? []).entries()) {
      const reference = valueSource?.secretKeyRef;
      if (!reference) {
        env[name] = value;
        continue;
      }
      const { secret = '', version = '' } = reference;
      const access = cloud.accessSecret(service.project.id, secret, version, account);
      if (access.ok) env[name] = access.payload.toString();
      else
        problems.push(
          `spec.template.spec.containers[${c}].env[${i}].value_from.secret_key_ref.name: ${problem(access, account)}`,
        );
    }
  }
  return problems.length > 0 ? { ok: false, message: problems.join('\n') } : { ok: true, env };
}

function problem(access: Exclude<SecretAccess, { ok: true }>, account: string): string {
  switch (access.why) {
    case 'denied':
      return `Permission denied on secret: ${access.name} for Revision service account ${account}. The service account used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or higher level.`;
    case 'missing':
    case 'noVersion':
      return `Secret ${access.name} was not found`;
    case 'disabled':
    case 'destroyed':
      return `Secret Version [${access.name}] is in ${access.why.toUpperCase()} state.`;
  }
}
