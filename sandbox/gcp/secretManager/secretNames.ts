import type { Json } from '../../../ports/json.ts';
import type { Cloud } from '../contracts.ts';
import { failedPrecondition, invalid, notFound } from '../errors.ts';
import type { Secret, SecretStore } from './secrets.ts';

/** What the methods of secrets and versions work with. */
export interface Parts {
  cloud: Cloud;
  secrets: SecretStore;
}

/** ListSecretsRequest.page_size in the proto: "If set to zero, the server decides"; at most 25,000. */
export const PAGES = { default: 25_000, max: 25_000, order: 'newest first' } as const;

/** Splits a name and replaces the project by its number. Regional names are refused. */
export function parse(cloud: Cloud, name: string): { secret: string; version: string } {
  if (/^projects\/[^/]+\/locations\//.test(name)) {
    throw failedPrecondition(`Regional secrets are not supported by the local Google Cloud: ${name}`);
  }
  const [, project, id, , version = ''] =
    name.match(/^projects\/([^/]+)\/secrets\/([^/]+)(\/versions\/([^/]+))?$/) ?? [];
  if (!project || !id) throw invalid(`Resource ID [${name}] is not in a valid format.`);
  return { secret: `projects/${cloud.project(project).number}/secrets/${id}`, version };
}

export function secretOf({ cloud, secrets }: Parts, name: string): Secret {
  const path = parse(cloud, name).secret;
  const secret = secrets.find(path);
  if (!secret) throw notFound(`Secret [${path}] not found.`);
  return secret;
}

export const required = (field: string) => ({ field, description: 'Required or invalid.' });

/**
 * Refuses a stale etag with FAILED_PRECONDITION, as Secret Manager's documentation on etags says. A missing etag is not
 * checked.
 */
export function checkEtag(given: Json | undefined, current: string): void {
  if (given && given !== current) {
    throw failedPrecondition(`The etag provided [${given}] does not match the current etag [${current}].`);
  }
}
