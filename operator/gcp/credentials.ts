import { type AuthClient, GoogleAuth, Impersonated, PassThroughClient } from 'google-auth-library';
import type { GcpStatus } from '../../ports/gcp.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import { isObject, text } from './parse.ts';
import { bounded } from './status.ts';

/** Who signs the calls, by the account to act as (`''`: the process itself). */
export interface Credentials {
  /** Rejects with what `credentialsStatus` understands. */
  client(actAs: string): Promise<AuthClient>;
  /** Google no longer takes this one: the next call looks for credentials anew. */
  forget(actAs: string): void;
}

const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];

/**
 * Application Default Credentials, found when they are first needed; and from them one impersonated client an account,
 * kept with its token until it was not used for an hour. `load` is for tests.
 */
export function createCredentials(load: () => Promise<AuthClient> = findDefault): Credentials {
  const clients = createRecent<Promise<AuthClient>>(realRuntime);
  const client = (actAs: string): Promise<AuthClient> => {
    const known = clients.get(actAs);
    if (known) {
      clients.set(actAs, known);
      return known;
    }
    const made = actAs === '' ? load() : impersonated(client(''), actAs);
    clients.set(actAs, made);
    // Credentials may turn up later: what failed is not remembered.
    made.catch(() => clients.delete(actAs));
    return made;
  };
  return {
    client,
    forget(actAs) {
      clients.delete(actAs);
      // The token that made this one may be what is no longer taken.
      clients.delete('');
    },
  };
}

/** Plain-text endpoints: nothing is looked for, nothing is sent. */
export const anonymous: AuthClient = new PassThroughClient();

const findDefault = (): Promise<AuthClient> => new GoogleAuth({ scopes: SCOPES }).getClient();

async function impersonated(source: Promise<AuthClient>, account: string): Promise<AuthClient> {
  return new Impersonated({ sourceClient: await source, targetPrincipal: account, targetScopes: SCOPES });
}

/**
 * What it means that no credentials, or no token for them, could be had: a lost connection or a server in trouble is
 * `UNAVAILABLE`, a refused impersonation `PERMISSION_DENIED`, all else `UNAUTHENTICATED`.
 */
export function credentialsStatus(error: unknown, actAs: string): GcpStatus {
  const said = bounded(error instanceof Error ? error.message : String(error));
  const failed = (error ?? {}) as { code?: unknown; response?: { status?: unknown } };
  const http = isObject(failed.response) ? Number(failed.response.status) : 0;
  const offline = http === 0 && /^(?:E[A-Z_]+|UND_\w+)$/.test(text(failed.code));
  if (offline || http >= 500 || http === 429) {
    return { code: 'UNAVAILABLE', message: `No access token could be had: ${said}` };
  }
  if (actAs !== '' && http === 403) {
    return { code: 'PERMISSION_DENIED', message: `Cannot act as ${actAs}: ${said}` };
  }
  return { code: 'UNAUTHENTICATED', message: `No valid Google Cloud credentials: ${said}` };
}
