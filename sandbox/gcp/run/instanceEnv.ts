import type { Cloud, SecretAccess } from '../contracts.ts';
import type { InstanceEnv } from './containers.ts';
import type { Template } from './messages.ts';
import type { ServiceState } from './serviceState.ts';

/**
 * Returns the variables and files of one instance. Secrets are read at the time of the call, as the revision's account. A failure's
 * message has a line for each variable that cannot be read, like the real service's conditions. Mounted secrets are checked at
 * deployment only; at a later start the file of an unreadable secret is missing (Cloud Run, "Configure secrets").
 */
export function readEnv(
  cloud: Cloud,
  service: ServiceState,
  template: Template,
  at: 'deployment' | 'start',
): InstanceEnv {
  const account = template.serviceAccount ?? '';
  const all: Record<string, string>[] = [];
  // A disabled account gets no tokens, so no instance starts as it (IAM documentation, "Disable service accounts").
  const problems: string[] = cloud.account(account)?.disabled ? [`Service account ${account} is disabled.`] : [];
  for (const [c, container] of (template.containers ?? []).entries()) {
    // The object has no prototype, because a variable or a file may be called __proto__.
    const env: Record<string, string> = Object.create(null);
    all.push(env);
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
  const files: Record<string, Record<string, Buffer>> = {};
  for (const [v, { name = '', secret: source }] of (template.volumes ?? []).entries()) {
    if (!source) continue;
    const { secret = '' } = source;
    const content: Record<string, Buffer> = Object.create(null);
    files[name] = content;
    // A volume without items has one file: the latest version, under the secret's name (run v2, vendor_settings.proto,
    // SecretVolumeSource).
    const items = source.items?.length ? source.items : [{ path: secret.split('/').pop() ?? '', version: 'latest' }];
    for (const { path = '', version = '' } of items) {
      const access = cloud.accessSecret(service.project.id, secret, version, account);
      if (access.ok) content[path] = access.payload;
      else if (at === 'deployment')
        problems.push(`spec.template.spec.volumes[${v}].secret.items[0].key: ${problem(access, account)}`);
    }
  }
  if (problems.length > 0) return { ok: false, message: problems.join('\n') };
  const ingress = ingressOf(template);
  return { ok: true, env: all[ingress] ?? {}, sidecars: all.filter((_, at) => at !== ingress), files };
}

/** The index of the container that receives the requests: the first one with a port, else the first. */
export const ingressOf = ({ containers = [] }: Template): number =>
  Math.max(
    0,
    containers.findIndex(({ ports }) => ports?.length),
  );

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

/** True if a template may refer to a secret by this name: its id, or `projects/P/secrets/ID` for another project. */
export const isSecretReference = (name = ''): boolean =>
  /^(projects\/[^/]+\/secrets\/)?[A-Za-z0-9_-]{1,255}$/.test(name);
