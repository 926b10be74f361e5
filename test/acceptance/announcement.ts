import { API } from './addresses.ts';
import { type Exchange, fieldIn, succeeded } from './exchange.ts';
import type { Fact } from './fact.ts';
import type { Session } from './session.ts';

/** What the run says before it starts. */

/** Every permission that the run uses. The roles that have them: run.admin, iam.serviceAccountAdmin, iam.serviceAccountUser, secretmanager.admin. */
const PERMISSIONS = [
  'iam.serviceAccounts.actAs',
  'iam.serviceAccounts.create',
  'iam.serviceAccounts.delete',
  'iam.serviceAccounts.disable',
  'iam.serviceAccounts.enable',
  'iam.serviceAccounts.get',
  'iam.serviceAccounts.list',
  'iam.serviceAccounts.undelete',
  'iam.serviceAccounts.update',
  'resourcemanager.projects.get',
  'run.operations.get',
  'run.revisions.get',
  'run.revisions.list',
  'run.services.create',
  'run.services.delete',
  'run.services.get',
  'run.services.getIamPolicy',
  'run.services.list',
  'run.services.setIamPolicy',
  'run.services.update',
  'secretmanager.secrets.create',
  'secretmanager.secrets.delete',
  'secretmanager.secrets.get',
  'secretmanager.secrets.getIamPolicy',
  'secretmanager.secrets.list',
  'secretmanager.secrets.setIamPolicy',
  'secretmanager.secrets.update',
  'secretmanager.versions.access',
  'secretmanager.versions.add',
  'secretmanager.versions.destroy',
  'secretmanager.versions.disable',
  'secretmanager.versions.enable',
  'secretmanager.versions.get',
  'secretmanager.versions.list',
];

const API_NAMES = ['run', 'secretmanager', 'iam', 'cloudresourcemanager'] as const;

/** The permissions that the caller lacks. Undefined: Resource Manager did not answer that. */
export async function missingPermissions({ caller, project }: Session): Promise<string[] | undefined> {
  const url = `${API.cloudresourcemanager}/v3/projects/${project}:testIamPermissions`;
  const answer: Exchange = await caller.call('POST', url, { permissions: PERMISSIONS });
  if (!succeeded(answer)) return undefined;
  const granted = fieldIn(answer, 'permissions');
  return PERMISSIONS.filter(permission => !(Array.isArray(granted) && granted.includes(permission)));
}

/** The most that is made, without the facts that cost quota. */
const MOST = {
  facts: { accounts: 30, secrets: 30, services: 35 },
  life: { accounts: 3, secrets: 2, services: 3 },
};

/** `facts`: those that will be probed; `expensive`: with those that cost quota. */
export function announcement(
  { project, regions, prefix, expires, addresses }: Session,
  facts: readonly Fact[],
  asked: { expensive: boolean; life: boolean },
  missing: string[] | undefined,
): string {
  const place = addresses.isReal ? 'the real Google Cloud' : addresses.destination(API.run).url.origin;
  const dear = asked.expensive ? facts.filter(fact => fact.expensive !== undefined) : [];
  const most = (kind: keyof typeof MOST.life) =>
    (facts.length > 0 ? MOST.facts[kind] : 0) + (asked.life ? MOST.life[kind] : 0);
  const parts = [
    ...(facts.length > 0 ? [`${facts.length} facts`] : []),
    ...(asked.life ? ['the life of a tenant'] : []),
  ];
  return `
Acceptance of ${parts.join(' and ')} in project ${project}, ${regions.join(' and ')}, on ${place}.

It makes, each with the prefix ${prefix}:
  up to ${most('accounts')} service accounts, ${most('secrets')} secrets with made-up values, and ${most('services')} Cloud Run services without minimum instances, most
  with Google's sample image. IAM policies are changed only on these. Nothing else in the project is changed.
${dear.map(({ id, expensive }) => `  ${id}: ${expensive}\n`).join('')}\
It removes all of them at the end, and on Ctrl-C. What a killed run leaves is removed by
  npm run acceptance -- --project ${project} --clean-up
  from here, and from anywhere after ${new Date(Number(expires) * 1000).toISOString().slice(0, 16)} (UTC).
It needs, on the project: roles/run.admin, roles/iam.serviceAccountAdmin, roles/iam.serviceAccountUser,
  roles/secretmanager.admin, and these APIs: ${API_NAMES.map(name => `${name}.googleapis.com`).join(', ')}.
  ${permissionLine(missing)}
It costs a few cents at most: instances run for some minutes in all, and a version of a secret costs 0.06 US dollars a month.
`;
}

function permissionLine(missing: string[] | undefined): string {
  if (missing === undefined) return 'Whether you have the permissions could not be read.';
  return missing.length === 0
    ? 'You have all of the permissions.'
    : `You lack these permissions: ${missing.join(', ')}`;
}
