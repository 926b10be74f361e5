import type { Registry } from '../resources/registry.ts';
import type { ResourceDef } from '../resources/resource.ts';

/** The discovery documents: /api, /apis and the paths below, in the plain and the aggregated format. */

/** kube-apiserver names group and version of custom resources only. */
const responseKind = ({ custom, group, kind }: ResourceDef, version: string) =>
  custom ? { group, version, kind } : { group: '', version: '', kind };

const subresources = (def: ResourceDef, version: string) =>
  def.versions.find(each => each.name === version)?.hasStatus ? ['status'] : [];

const STATUS_VERBS = ['get', 'patch', 'update'];

function groupsOf(registry: Registry) {
  const groups = new Map<string, { versions: Set<string>; defs: ResourceDef[] }>();
  for (const def of registry.all()) {
    const group = groups.get(def.group) ?? { versions: new Set(), defs: [] };
    for (const version of def.versions) group.versions.add(version.name);
    group.defs.push(def);
    groups.set(def.group, group);
  }
  return groups;
}

const inVersion = (defs: ResourceDef[], version: string) =>
  defs.filter(def => def.versions.some(each => each.name === version));

function apiGroup(name: string, versions: Set<string>) {
  const list = [...versions].map(version => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: list, preferredVersion: list[0] };
}

export function apiVersions(address: string) {
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  };
}

export function apiGroupList(registry: Registry) {
  const groups = [...groupsOf(registry)].filter(([name]) => name);
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: groups.map(([name, { versions }]) => apiGroup(name, versions)),
  };
}

export function oneApiGroup(registry: Registry, name: string) {
  const group = name ? groupsOf(registry).get(name) : undefined;
  return group && { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(name, group.versions) };
}

export function apiResourceList(registry: Registry, group: string, version: string) {
  const found = groupsOf(registry).get(group);
  if (!found?.versions.has(version)) return undefined;
  const resources = inVersion(found.defs, version).flatMap(def => [
    {
      name: def.plural,
      singularName: def.singular,
      namespaced: def.namespaced,
      kind: def.kind,
      verbs: def.verbs,
      shortNames: def.shortNames.length ? def.shortNames : undefined,
      categories: def.categories.length ? def.categories : undefined,
    },
    ...subresources(def, version).map(name => ({
      name: `${def.plural}/${name}`,
      singularName: '',
      namespaced: def.namespaced,
      kind: def.kind,
      verbs: STATUS_VERBS,
    })),
  ]);
  return {
    kind: 'APIResourceList',
    // The oldest list of all comes without.
    apiVersion: group ? 'v1' : undefined,
    groupVersion: group ? `${group}/${version}` : version,
    resources,
  };
}

/** apidiscovery.k8s.io: everything in one answer. `legacy`: the core group only (/api), else the others (/apis). */
export function aggregated(registry: Registry, legacy: boolean, groupVersion: string) {
  const groups = [...groupsOf(registry)].filter(([name]) => (name === '') === legacy);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: groupVersion,
    metadata: {},
    items: groups.map(([name, { versions, defs }]) => ({
      metadata: { name: name || undefined },
      versions: [...versions].map(version => ({
        version,
        freshness: 'Current',
        resources: inVersion(defs, version).map(def => ({
          resource: def.plural,
          responseKind: responseKind(def, version),
          scope: def.namespaced ? 'Namespaced' : 'Cluster',
          singularResource: def.singular,
          verbs: def.verbs,
          shortNames: def.shortNames.length ? def.shortNames : undefined,
          categories: def.categories.length ? def.categories : undefined,
          subresources: subresourcesOf(def, version),
        })),
      })),
    })),
  };
}

function subresourcesOf(def: ResourceDef, version: string) {
  const found = subresources(def, version);
  if (found.length === 0) return undefined;
  return found.map(subresource => ({ subresource, responseKind: responseKind(def, version), verbs: STATUS_VERBS }));
}
