import { type AuthClient, GoogleAuth, Impersonated, PassThroughClient } from 'google-auth-library';
import type { GcpStatus } from '../../ports/gcp.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import { isObject, text } from './parse.ts';
import { bounded, unansweredOf } from './status.ts';

/** Clients that authenticate calls, one for each service account that is impersonated (`''`: the process's own identity). */
export interface Credentials {
  /** Rejects with an error that `credentialsStatus` understands. */
  client(actAs: string): Promise<AuthClient>;
  /** To be called when Google Cloud has rejected this client. The next call loads the credentials again. */
  forget(actAs: string): void;
}

const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];

/**
 * Loads Application Default Credentials when they are first needed, and makes one client for each impersonated service account. A client
 * and its token are kept until the client has not been used for an hour. `load` is for tests.
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
    // Credentials may be installed later, so a failure is not cached.
    made.catch(() => clients.delete(actAs));
    return made;
  };
  return {
    client,
    forget(actAs) {
      clients.delete(actAs);
      // The impersonated client used the process's own token, which may be the one that was rejected.
      clients.delete('');
    },
  };
}

/** The client for `http:` endpoints. It neither loads nor sends credentials. */
export const anonymous: AuthClient = new PassThroughClient();

const findDefault = (): Promise<AuthClient> => new GoogleAuth({ scopes: SCOPES }).getClient();

async function impersonated(source: Promise<AuthClient>, account: string): Promise<AuthClient> {
  return new Impersonated({ sourceClient: await source, targetPrincipal: account, targetScopes: SCOPES });
}

/**
 * The status of a call for which the operator could not get credentials or a token: `UNAVAILABLE` after a lost connection or a server
 * error, `PERMISSION_DENIED` after a refused impersonation, `UNAUTHENTICATED` otherwise.
 */
export function credentialsStatus(error: unknown, actAs: string): GcpStatus {
  const said = bounded(error instanceof Error ? error.message : String(error));
  const failed = (error ?? {}) as { code?: unknown; response?: { status?: unknown } };
  const http = isObject(failed.response) ? Number(failed.response.status) : 0;
  const offline = http === 0 && /^(?:E[A-Z_]+|UND_\w+)$/.test(text(failed.code));
  if (offline || http >= 500 || http === 429) {
    return { code: 'UNAVAILABLE', message: `No access token could be had: ${said}`, unanswered: unansweredOf(error) };
  }
  if (actAs !== '' && http === 403) {
    return { code: 'PERMISSION_DENIED', message: `Cannot act as ${actAs}: ${said}` };
  }
  return { code: 'UNAUTHENTICATED', message: `No valid Google Cloud credentials: ${said}` };
}
