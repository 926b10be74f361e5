import type { Json } from '../../ports/json.ts';
import { type Exchange, fieldIn, fieldOf, type HttpMethod } from './exchange.ts';
import type { Journal } from './journal.ts';
import { carries, EXPIRES } from './names.ts';
import { type Target, targetOf } from './target.ts';

/**
 * Stands before every call of the run, the operator's included, and makes two things certain:
 *
 * 1. A call that changes something is sent only if its target has the run's prefix, so nothing else is ever changed.
 * 2. The target is in the journal, on the disk, before the call is sent, so that a killed run can be cleaned up.
 */
export interface Guard {
  /** Throws `NotOursError` if the call must not be sent. */
  check(call: Asked & { url: string; override?: string }): void;
  /** Lets calls change an account without the prefix, after it was read that a run made it. */
  permit(id: string): void;
  /** Remembers the unique ids, operations and addresses of what is the run's own. */
  learn(exchange: Exchange): void;
}

interface Asked {
  by: Exchange['by'];
  method: HttpMethod;
  body?: Json;
}

/** The call would change something that the run did not make. It was not sent. */
export class NotOursError extends Error {}

export function createGuard(run: { project: string; prefix: string; journal: Journal }): Guard {
  const { prefix, journal } = run;
  const projects = new Set([run.project]);
  /** Unique ids of accounts, names of operations, and origins of services. */
  const known = new Set<string>();
  const journaled = new Set<string>();
  const isOurs = (id: string): boolean => carries(prefix, id) || known.has(id);

  function checkWrite(target: Target & { access: 'write' }, { by, method, body }: Asked): void {
    const { kind, id, project, region, makes } = target;
    // No account has an id of fewer than 6 characters. A probe may show that Google Cloud refuses it.
    const isTooShort = makes && kind === 'account' && id.length < 6;
    if (!isOurs(id) && !isTooShort) {
      throw new NotOursError(`The call was not sent: ${kind} ${JSON.stringify(id)} does not begin with ${prefix}-.`);
    }
    if (!projects.has(project) && !(project === '-' && kind === 'account')) {
      throw new NotOursError(`The call was not sent: project ${project} is not the one of this run.`);
    }
    if (makes && by === 'acceptance' && !hasExpiry(kind, body)) {
      throw new NotOursError(
        `The call was not sent: ${kind} ${id} would have no ${EXPIRES}. Use context.labels or context.description.`,
      );
    }
    // A unique id belongs to an account that is in the journal by its own id.
    if (known.has(id) && !carries(prefix, id)) return;
    // Makes nothing, and a clean-up must delete also where nothing can be written.
    if (method === 'DELETE') return;
    if (makes || !journaled.has(`${kind} ${id} ${region}`)) journal.write({ kind, id, region });
    journaled.add(`${kind} ${id} ${region}`);
  }

  return {
    check({ by, url, body, override, ...call }) {
      const method = (call.method === 'POST' && override ? override.toUpperCase() : call.method) as HttpMethod;
      const { hostname, origin } = new URL(url);
      if (!hostname.endsWith('.googleapis.com')) {
        if (method === 'GET' || known.has(origin)) return;
        throw new NotOursError(`The call was not sent: ${origin} is not the address of a service of this run.`);
      }
      const target = targetOf(method, url, body);
      if (target.access === 'write') checkWrite(target, { by, method, body });
      else if (target.access === 'value' && !isOurs(target.id))
        throw new NotOursError(`The call was not sent: the value of secret ${target.id} is not this run's to read.`);
      else if (target.access === 'operation' && !known.has(target.name))
        throw new NotOursError(`The call was not sent: ${target.name} is not an operation of this run.`);
      else if (target.access === 'other')
        throw new NotOursError(`The call was not sent: ${method} ${url} changes something that no run makes.`);
    },
    permit: id => known.add(id),
    learn(exchange) {
      const name = fieldIn(exchange, 'name') ?? fieldIn(exchange, 'metadata.name');
      if (typeof name !== 'string') return;
      // Some APIs answer with the number of the project that was asked for by its id, and the operator then uses that name.
      const [, number] = /^projects\/(\d+)(?:\/|$)/.exec(name) ?? [];
      if (number !== undefined && `${new URL(exchange.url).pathname}/`.includes(`/projects/${run.project}/`))
        projects.add(number);
      if (/\/operations\/[^/]+$/.test(name) && exchange.method !== 'GET') known.add(name);
      const last = (name.split('/').at(-1) ?? '').replace(/@.*$/, '');
      if (!carries(prefix, last)) return;
      const { uniqueId, uri, urls, status } = (exchange.body ?? {}) as Record<string, Json>;
      if (typeof uniqueId === 'string') known.add(uniqueId);
      for (const address of [uri, fieldOf(status, 'url'), ...(Array.isArray(urls) ? urls : [])]) {
        if (typeof address === 'string' && URL.canParse(address)) known.add(new URL(address).origin);
      }
    },
  };
}

function hasExpiry(kind: string, body: Json | undefined): boolean {
  if (kind === 'account') return String(fieldOf(body, 'serviceAccount.description') ?? '').includes(EXPIRES);
  const labels = fieldOf(body, 'labels') ?? fieldOf(body, 'metadata.labels');
  return fieldOf(labels, EXPIRES) !== undefined;
}
