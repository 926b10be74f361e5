import { createRecent } from '../collections/recent.ts';
import { part } from '../tenant/names.ts';
import type { CallEnd } from './callHooks.ts';
import { OUTAGE_CODES } from './status.ts';

/**
 * Finds APIs that answer every call in a project with PERMISSION_DENIED. This counts as an outage (for example, the operator's role was
 * removed) only under two conditions: more than one tenant is refused, and either the operator could read accounts or services in that
 * project before, or the API works in no project at all. Otherwise it is the problem of one tenant, such as a secret
 * without consent, or a Namespace that names another team's project.
 */
interface RefusedProjects {
  onCall(end: CallEnd): void;
  /** The 100 longest outages. */
  list(): { api: string; project: string; forMs: number }[];
}

/** A refusal is dropped if the API was not called in that project for this long, milliseconds. */
const FORGOTTEN_MS = 900_000;
const MOST = 1_000;
const MOST_LISTED = 100;

interface Refused {
  api: string;
  project: string;
  since: number;
  tenant: string | undefined;
  ofSeveral: boolean;
}

export function createRefusedProjects(now: () => number): RefusedProjects {
  const clock = { monotonic: now };
  const refused = createRecent<Refused>(clock, { forMs: FORGOTTEN_MS, most: MOST });
  /** Projects in which the IAM or Cloud Run API answered, so that tenants live there. */
  const tenantProjects = createRecent<true>(clock, { most: MOST });
  /** APIs that answered in at least one project. */
  const working = createRecent<true>(clock, { forMs: FORGOTTEN_MS });

  return {
    onCall({ api, resource, code, tenant }) {
      const project = part(resource, 'projects');
      const key = `${api} ${project}`;
      const known = refused.get(key);
      if (tenantProjects.get(project)) tenantProjects.set(project, true);
      if (code === 'PERMISSION_DENIED') {
        const first = known?.tenant ?? tenant;
        const ofSeveral = known?.ofSeveral || (tenant !== undefined && first !== tenant);
        refused.set(key, { api, project, since: known?.since ?? now(), tenant: first, ofSeveral });
      } else if (OUTAGE_CODES.has(code)) {
        if (known) refused.set(key, known);
      } else {
        refused.delete(key);
        working.set(api, true);
        if (api === 'iam' || api === 'run') tenantProjects.set(project, true);
      }
    },
    list() {
      const isOutage = ({ api, project, ofSeveral }: Refused) =>
        ofSeveral && (tenantProjects.get(project) !== undefined || working.get(api) === undefined);
      return refused
        .values()
        .filter(isOutage)
        .map(({ api, project, since }) => ({ api, project, forMs: now() - since }))
        .sort((a, b) => b.forMs - a.forMs)
        .slice(0, MOST_LISTED);
    },
  };
}
