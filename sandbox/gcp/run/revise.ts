import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../../ports/runtime.ts';
import { alreadyExists } from '../errors.ts';
import type { Template } from './messages.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';

/** A version 4 UUID of the runtime's chance. */
export function uuid(runtime: Runtime): string {
  const digit = () => Math.floor(runtime.random() * 16).toString(16);
  const variant = () => '89ab'[Math.floor(runtime.random() * 4)];
  return 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'.replace(/[xy]/g, kind => (kind === 'x' ? digit() : (variant() ?? '8')));
}

/** No vowels, so that no word comes about. */
const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789';

/** The template without its revision name, for comparing revisions. */
const sameConfiguration = (a: Template, b: Template) =>
  isDeepStrictEqual({ ...a, revision: undefined }, { ...b, revision: undefined });

/**
 * The revision that a service's new template (its defaults filled in) asks for: the current one if nothing changed, one
 * of the template's own name, or a new one; `force`: a new one in any case (`forceNewRevision` of the discovery document). Its name set or cleared alone is a change too.
 * ALREADY_EXISTS: the name is taken by a revision with another configuration.
 */
export function revisionFor(
  service: Pick<ServiceState, 'id' | 'latestCreated' | 'revisions' | 'templateGeneration'>,
  before: Template | undefined,
  next: Template,
  force = false,
): { kind: 'current' } | { kind: 'existing'; revision: RevisionState } | { kind: 'new'; name: string | undefined } {
  if (before && isDeepStrictEqual(before, next) && !force) return { kind: 'current' };
  const revision = service.revisions.find(({ id }) => id === next.revision);
  if (!revision) return { kind: 'new', name: next.revision };
  if (sameConfiguration(revision.template, next) && !force) return { kind: 'existing', revision };
  throw alreadyExists(`Revision named '${revision.id}' with different configuration already exists.`);
}

/** Adds the revision of `template`, which nothing has started yet. */
export function addRevision(
  service: ServiceState,
  template: Template,
  name: string | undefined,
  given: { runtime: Runtime; sequence: number; time: string; creator: string },
): RevisionState {
  service.templateGeneration += 1;
  const letter = () => suffixLetters[Math.floor(given.runtime.random() * suffixLetters.length)];
  const number = String(service.templateGeneration).padStart(5, '0');
  let id = name;
  while (id === undefined || (name === undefined && service.revisions.some(revision => revision.id === id))) {
    id = `${service.id}-${number}-${letter()}${letter()}${letter()}`;
  }
  const revision: RevisionState = {
    id,
    uid: uuid(given.runtime),
    sequence: given.sequence,
    template: structuredClone(template),
    launchStage: service.desired.launchStage,
    createTime: given.time,
    updateTime: given.time,
    creator: given.creator,
    state: 'pending',
    conditions: [{ type: 'Ready', state: 'CONDITION_RECONCILING', lastTransitionTime: given.time }],
  };
  service.revisions.push(revision);
  service.latestCreated = revision;
  return revision;
}
