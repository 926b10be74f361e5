import type { JsonObject } from '../../../../ports/json.ts';
import { byRevision } from '../defaults.ts';
import type { Condition, Template } from '../messages.ts';
import { conditionToV1 } from './knativeConditions.ts';
import { shortName, type V2Service } from './knativeService.ts';
import { templateToV1 } from './knativeTemplate.ts';
import {
  API_VERSION,
  LOCATION,
  type Place,
  partUid,
  resourceVersion,
  selfLink,
  textMap,
  withMaps,
} from './metadata.ts';
import { isObject } from './rows.ts';

/** A google.cloud.run.v2.Revision, as far as v1 is made from it. */
export type V2Revision = Template & {
  name: string;
  uid: string;
  createTime: string;
  creator?: string;
  service: string;
  reconciling?: boolean;
  conditions?: Condition[];
  logUri?: string;
  etag: string;
};

/** serving.knative.dev/v1 Revision. `service` is the one that it belongs to: only its traffic says whether the revision is active. */
export function revisionToV1(v2: V2Revision, service: V2Service, place: Place): JsonObject {
  const { metadata, spec } = templateToV1(v2) as { metadata: JsonObject; spec: JsonObject };
  const name = shortName(v2.name);
  return {
    apiVersion: API_VERSION,
    kind: 'Revision',
    metadata: withMaps({
      name,
      namespace: place.project.number,
      selfLink: selfLink(place, 'revisions', name),
      uid: v2.uid,
      resourceVersion: resourceVersion(v2.etag),
      generation: 1,
      creationTimestamp: v2.createTime,
      labels: {
        ...textMap(metadata.labels),
        'serving.knative.dev/configuration': v2.service,
        'serving.knative.dev/service': v2.service,
        'serving.knative.dev/serviceUid': service.uid,
        [LOCATION]: place.location,
      },
      annotations: {
        ...textMap(metadata.annotations),
        ...(v2.creator && { 'serving.knative.dev/creator': v2.creator }),
      },
      ownerReferences: [
        {
          apiVersion: API_VERSION,
          kind: 'Configuration',
          name: v2.service,
          uid: partUid(service.uid, 'configurations'),
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    }),
    spec: isObject(spec) ? spec : {},
    status: {
      ...(!v2.reconciling && { observedGeneration: 1 }),
      conditions: conditionsOf(v2, service),
      logUrl: v2.logUri,
    },
  };
}

/** v2's conditions, and Active after Ready: whether the revision may receive requests. */
function conditionsOf(v2: V2Revision, service: V2Service): JsonObject[] {
  const [ready, ...others] = (v2.conditions ?? []).map(conditionToV1);
  if (!ready) return [];
  const lastTransitionTime = ready.lastTransitionTime;
  const active = isActive(v2, service)
    ? { status: 'True' }
    : v2.reconciling
      ? { status: 'Unknown' }
      : { status: 'False', reason: 'Retired', message: 'Revision retired.' };
  return [ready, { type: 'Active', ...active, severity: 'Info', lastTransitionTime }, ...others];
}

function isActive(v2: V2Revision, service: V2Service): boolean {
  return (service.trafficStatuses ?? []).some(({ type, revision, percent, tag }) => {
    const named = type === byRevision ? revision : shortName(service.latestReadyRevision);
    return named === shortName(v2.name) && ((percent ?? 0) > 0 || tag !== undefined);
  });
}
