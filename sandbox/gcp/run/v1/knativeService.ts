import type { JsonObject } from '../../../../ports/json.ts';
import { byRevision } from '../defaults.ts';
import type { Condition, Desired, TrafficStatus } from '../messages.ts';
import { parentOf } from '../names.ts';
import { conditionToV1 } from './knativeConditions.ts';
import { templateToV1, templateToV2 } from './knativeTemplate.ts';
import {
  API_VERSION,
  etagFor,
  freeAnnotations,
  freeLabels,
  isEmpty,
  LOCATION,
  type Place,
  partUid,
  resourceVersion,
  selfLink,
  textMap,
  withMaps,
} from './metadata.ts';
import { isObject, rowsToV1, rowsToV2 } from './rows.ts';
import { serviceRows } from './serviceRows.ts';

/** A google.cloud.run.v2.Service, as far as v1 is made from it. */
export type V2Service = Desired & {
  name: string;
  uid: string;
  /** Absent in the answer to a request that only checks a new service. */
  generation?: string;
  createTime: string;
  deleteTime?: string;
  creator?: string;
  lastModifier?: string;
  urls?: string[];
  uri?: string;
  reconciling?: boolean;
  terminalCondition: Condition;
  conditions?: Condition[];
  latestReadyRevision?: string;
  latestCreatedRevision?: string;
  trafficStatuses?: TrafficStatus[];
  etag: string;
};

const KNOWN = new Set(serviceRows.flatMap(({ v1 }) => (v1[1] === 'annotations' ? (v1[2] ?? []) : [])));

/** The last part of a resource's name. */
export const shortName = (name = ''): string => name.split('/').at(-1) ?? '';

/** The v2 Service that a v1 Service asks for, with the etag of its resourceVersion. Throws INVALID_ARGUMENT. */
export function serviceToV2(v1: JsonObject, place: Place): JsonObject & { name: string } {
  const metadata = isObject(v1.metadata) ? v1.metadata : {};
  const spec = isObject(v1.spec) ? v1.spec : {};
  const labels = freeLabels(textMap(metadata.labels));
  const annotations = freeAnnotations(textMap(metadata.annotations), KNOWN, 'metadata.annotations');
  const name = `${parentOf(place)}/services/${metadata.name ?? ''}`;
  return {
    ...rowsToV2(serviceRows, v1, ''),
    name,
    ...(!isEmpty(labels) && { labels }),
    ...(!isEmpty(annotations) && { annotations }),
    ...(isObject(spec.template) && { template: templateToV2(spec.template) as JsonObject }),
    ...(typeof metadata.resourceVersion === 'string' && { etag: etagFor(metadata.resourceVersion, name) }),
  };
}

/** serving.knative.dev/v1 Service. */
export function serviceToV1(v2: V2Service, place: Place): JsonObject {
  const v1 = rowsToV1(serviceRows, v2 as JsonObject);
  const { annotations } = isObject(v1.metadata) ? v1.metadata : {};
  return {
    apiVersion: API_VERSION,
    kind: 'Service',
    metadata: metadataOf(v2, place, 'services', { ...v2.annotations, ...textMap(annotations), ...said(v2) }),
    spec: { template: templateToV1(v2.template ?? {}), traffic: isObject(v1.spec) ? v1.spec.traffic : undefined },
    status: {
      ...revisionNames(v2),
      observedGeneration: Number(v2.generation ?? 0),
      conditions: serviceConditions(v2).map(conditionToV1),
      traffic: statusTraffic(v2),
      url: v2.uri,
      address: { url: v2.uri },
    },
  };
}

/** serving.knative.dev/v1 Configuration: the part of a service that makes its revisions. */
export function configurationOf(v2: V2Service, place: Place): JsonObject {
  const ready = v2.conditions?.find(({ type }) => type === 'ConfigurationsReady');
  return {
    apiVersion: API_VERSION,
    kind: 'Configuration',
    metadata: metadataOf(v2, place, 'configurations', {}),
    spec: { template: templateToV1(v2.template ?? {}) },
    status: {
      ...revisionNames(v2),
      observedGeneration: Number(v2.generation ?? 0),
      conditions: ready ? [conditionToV1({ ...ready, type: 'Ready' })] : [],
    },
  };
}

/** serving.knative.dev/v1 Route: the part of a service that divides its traffic. */
export function routeOf(v2: V2Service, place: Place): JsonObject {
  const { spec, status } = serviceToV1(v2, place) as { spec: JsonObject; status: JsonObject };
  const ready = v2.conditions?.find(({ type }) => type === 'RoutesReady');
  return {
    apiVersion: API_VERSION,
    kind: 'Route',
    metadata: metadataOf(v2, place, 'routes', {}),
    spec: { traffic: spec.traffic },
    status: {
      observedGeneration: Number(v2.generation ?? 0),
      conditions: ready ? [conditionToV1({ ...ready, type: 'Ready' })] : [],
      traffic: status.traffic,
      url: status.url,
      address: status.address,
    },
  };
}

/** The annotations by which the server speaks. */
const said = (v2: V2Service): Record<string, string> => ({
  ...(v2.creator && { 'serving.knative.dev/creator': v2.creator }),
  ...(v2.lastModifier && { 'serving.knative.dev/lastModifier': v2.lastModifier }),
  ...(v2.urls?.length && { 'run.googleapis.com/urls': JSON.stringify(v2.urls) }),
  'run.googleapis.com/ingress-status': ingressWord(v2),
});

function ingressWord({ ingress }: V2Service): string {
  const row = rowsToV1(serviceRows, { ingress });
  return textMap(isObject(row.metadata) ? row.metadata.annotations : {})['run.googleapis.com/ingress'] ?? 'all';
}

function metadataOf(v2: V2Service, place: Place, collection: string, annotations: Record<string, string>): JsonObject {
  const name = shortName(v2.name);
  return withMaps({
    name,
    namespace: place.project.number,
    selfLink: selfLink(place, collection, name),
    uid: collection === 'services' ? v2.uid : partUid(v2.uid, collection),
    resourceVersion: resourceVersion(v2.etag),
    generation: Number(v2.generation ?? 0),
    creationTimestamp: v2.createTime,
    deletionTimestamp: v2.deleteTime,
    labels: { ...v2.labels, [LOCATION]: place.location },
    annotations,
  });
}

const revisionNames = (v2: V2Service): JsonObject => ({
  latestReadyRevisionName: v2.latestReadyRevision && shortName(v2.latestReadyRevision),
  latestCreatedRevisionName: v2.latestCreatedRevision && shortName(v2.latestCreatedRevision),
});

const deleting = (lastTransitionTime: string): Condition => ({
  type: 'Ready',
  state: 'CONDITION_RECONCILING',
  lastTransitionTime,
});

/**
 * In the order of captures of the real service: Ready, ConfigurationsReady, RoutesReady. Ready is Unknown during the deletion:
 * gcloud polls the service until it is gone, and reports a deletion as failed if Ready is False (command_lib/run/deletion.py).
 */
const serviceConditions = (v2: V2Service): Condition[] => [
  v2.deleteTime ? deleting(v2.deleteTime) : v2.terminalCondition,
  ...(v2.conditions ?? []).toSorted((a, b) => a.type.localeCompare(b.type)),
];

/** Every target of the status names its revision, those for the latest too. */
function statusTraffic(v2: V2Service): JsonObject[] {
  return (v2.trafficStatuses ?? []).map(({ type, revision, percent, tag, uri }) => ({
    revisionName: type === byRevision ? revision : shortName(v2.latestReadyRevision),
    percent,
    ...(type !== byRevision && { latestRevision: true }),
    ...(tag && { tag, url: uri }),
  }));
}
