import type { Json } from '../../ports/json.ts';
import type { HttpMethod } from './exchange.ts';
import { fieldOf } from './exchange.ts';
import type { NamedKind } from './fact.ts';

/** What a request is about, as far as the guard must know it. */
export type Target =
  | { access: 'read' }
  /** Reads a secret's value. */
  | { access: 'value'; project: string; id: string }
  | { access: 'write'; project: string; kind: NamedKind; id: string; region?: string; makes: boolean }
  | { access: 'operation'; name: string }
  /** A write of something else. */
  | { access: 'other' };

/** Methods that are sent as POST and change nothing. */
const READING_POST = /:(testIamPermissions|getIamPolicy|wait|list|batchGet)$/;

const COLLECTIONS: Record<string, NamedKind> = {
  services: 'service',
  secrets: 'secret',
  serviceAccounts: 'account',
};

/** Names the target of a request to one of Google's APIs. `method`: the one that the server follows, override included. */
export function targetOf(method: HttpMethod, address: string, body: Json | undefined): Target {
  const url = new URL(address);
  const path = url.pathname.replaceAll('%40', '@');
  const [, project = ''] = /\/(?:projects|namespaces)\/([^/:]+)/.exec(path) ?? [];
  if (path.endsWith(':access')) {
    const [, id = ''] = /\/secrets\/([^/:]+)/.exec(path) ?? [];
    return { access: 'value', project, id };
  }
  if (method === 'GET' || READING_POST.test(path)) return { access: 'read' };
  const [operation] = /projects\/[^/]+\/locations\/[^/]+\/operations\/[^/:]+/.exec(path) ?? [];
  if (operation !== undefined) return { access: 'operation', name: operation };
  const [, collection = '', named = ''] = /\/(services|secrets|serviceAccounts)(?:\/([^/:]+))?/.exec(path) ?? [];
  const kind = COLLECTIONS[collection];
  if (kind === undefined) return { access: 'other' };
  const id = named === '' ? idToMake(kind, url, body) : named.replace(/@.*$/, '');
  const region = kind === 'service' ? regionIn(url, path) : undefined;
  return { access: 'write', project, kind, id, ...(region && { region }), makes: named === '' };
}

function idToMake(kind: NamedKind, { searchParams }: URL, body: Json | undefined): string {
  const id =
    kind === 'account'
      ? fieldOf(body, 'accountId')
      : (searchParams.get(kind === 'secret' ? 'secretId' : 'serviceId') ?? fieldOf(body, 'metadata.name'));
  return typeof id === 'string' ? id : '';
}

const regionIn = ({ hostname }: URL, path: string): string | undefined =>
  /\/locations\/([^/]+)/.exec(path)?.[1] ?? /^(.+)-run\.googleapis\.com$/.exec(hostname)?.[1];
