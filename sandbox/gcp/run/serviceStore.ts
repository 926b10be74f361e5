import type { Cloud } from '../contracts.ts';
import { GcpError, notFound } from '../errors.ts';
import { checkLocation, parentOf, parseName, type ServiceAddress, serviceName } from './names.ts';
import type { ServiceState } from './serviceState.ts';
import { versionIn } from './version.ts';

/** The services of all projects and regions. */
export interface ServiceStore {
  find(name: string): ServiceState | undefined;
  /** The service of a resource name; NOT_FOUND as the real service words it. */
  get(name: unknown): ServiceState;
  /** Splits a service's name, its project by id or number; PERMISSION_DENIED for an unknown project or region. */
  parse(name: unknown): ServiceAddress;
  /** Splits `projects/P/locations/R`. */
  parseParent(parent: unknown): Omit<ServiceAddress, 'id'>;
  add(service: ServiceState): void;
  remove(service: ServiceState): void;
  /** Returns the services of one project and region. */
  in(parent: Omit<ServiceAddress, 'id'>): ServiceState[];
  all(): Iterable<ServiceState>;
  /** A number greater than all before it. */
  next(): number;
}

export const missing = (kind: 'SERVICE' | 'REVISION', id: string, at: Omit<ServiceAddress, 'id'>): GcpError =>
  notFound(
    `Resource '${id}' of kind '${kind}' in region '${at.location}' in project '${at.project.id}' does not exist.`,
  );

/** Refuses a request made for another version of a resource. */
export function checkEtag(given: unknown, id: string, current: number): void {
  if (given === undefined || given === '') return;
  const version = versionIn(String(given));
  if (version === current) return;
  throw new GcpError({
    code: 'ABORTED',
    message: `Conflict for resource '${id}': version '${version}' was specified but current version is '${current}'.`,
  });
}

export function createStore(cloud: Cloud): ServiceStore {
  const services = new Map<string, ServiceState>();
  const byParent = new Map<string, Set<ServiceState>>();
  let sequence = 0;

  const located = (project: string, location: string) => ({
    project: cloud.project(project),
    location: checkLocation(location),
  });

  const parse = (name: unknown): ServiceAddress => {
    const [project = '', location = '', id = ''] = parseName(name, 'projects', 'locations', 'services');
    return { ...located(project, location), id };
  };

  return {
    parse,
    parseParent(parent) {
      const [project = '', location = ''] = parseName(parent, 'projects', 'locations');
      return located(project, location);
    },
    find: name => services.get(name),
    get(name) {
      const at = parse(name);
      const service = services.get(serviceName(at));
      if (!service) throw missing('SERVICE', at.id, at);
      return service;
    },
    add(service) {
      services.set(serviceName(service), service);
      const siblings = byParent.get(parentOf(service)) ?? new Set();
      byParent.set(parentOf(service), siblings.add(service));
    },
    remove(service) {
      services.delete(serviceName(service));
      byParent.get(parentOf(service))?.delete(service);
    },
    in: parent => [...(byParent.get(parentOf(parent)) ?? [])],
    all: () => services.values(),
    next: () => ++sequence,
  };
}
