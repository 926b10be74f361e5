import type { FactContext } from '../fact.ts';

/** The public addresses of what the probes ask about. */

type Project = Pick<FactContext, 'project'>;
type Place = Pick<FactContext, 'project' | 'region'>;

export const accountsOf = ({ project }: Project): string =>
  `https://iam.googleapis.com/v1/projects/${project}/serviceAccounts`;

export const emailOf = ({ project }: Project, id: string): string => `${id}@${project}.iam.gserviceaccount.com`;

export const accountOf = (context: Project, id: string): string => `${accountsOf(context)}/${emailOf(context, id)}`;

export const secretsOf = ({ project }: Project): string =>
  `https://secretmanager.googleapis.com/v1/projects/${project}/secrets`;

export const secretOf = (context: Project, id: string): string => `${secretsOf(context)}/${id}`;

export const locationOf = ({ project, region }: Place): string =>
  `https://run.googleapis.com/v2/projects/${project}/locations/${region}`;

export const servicesOf = (context: Place): string => `${locationOf(context)}/services`;

export const serviceOf = (context: Place, id: string): string => `${servicesOf(context)}/${id}`;

/** A resource's name as the body of a request has it, from its address. */
export const nameIn = (address: string): string => address.replace(/^https:\/\/[^/]+\/v\d\//, '');
