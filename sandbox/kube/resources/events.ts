import { invalidValue } from '../../../schema/metadata.ts';
import { qualifiedNameErrors } from '../../../schema/names.ts';
import type { FieldCause } from '../../../schema/types.ts';
import { required } from './meta.ts';
import { fieldDescription } from './models.ts';
import type { DraftObject, StoredObject } from './resource.ts';
import { age, column } from './table.ts';

/** Fields that core/v1 and events.k8s.io/v1 name differently. Both APIs serve the same stored Event. */
const RENAMED: [core: string, events: string][] = [
  ['reportingComponent', 'reportingController'],
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
];

function renamed<T extends DraftObject>(object: T, apiVersion: string, names: Map<string, string>): T {
  const entries = Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value]);
  return { ...Object.fromEntries(entries), apiVersion };
}
const toEvents = new Map(RENAMED);
const toCore = new Map(RENAMED.map(([core, events]) => [events, core]));

export function asEventsV1(object: StoredObject): StoredObject {
  const event = renamed(object, 'events.k8s.io/v1', toEvents);
  // Only the core/v1 view shows these fields when they are empty; events.k8s.io/v1 omits them.
  for (const key of ['reportingController', 'reportingInstance']) if (event[key] === '') delete event[key];
  return event;
}
export const asCoreV1 = (object: DraftObject) => renamed(object, 'v1', toCore);

type Reference = Record<string, string | undefined>;
const text = (value: unknown) => (typeof value === 'string' ? value : '');
const involved = (object: DraftObject) => (object.involvedObject ?? {}) as Reference;

/** The fields that a core/v1 Event always shows. */
export function withEventDefaults(object: DraftObject): DraftObject {
  return {
    reportingComponent: '',
    reportingInstance: '',
    source: {},
    firstTimestamp: null,
    lastTimestamp: null,
    eventTime: null,
    ...object,
  };
}

/** kube-apiserver's validation. `strict`: the rules for an Event that is created through events.k8s.io/v1. */
export function eventErrors(object: DraftObject, strict: boolean): FieldCause[] {
  const causes: FieldCause[] = [];
  const namespace = involved(object).namespace ?? '';
  const home = object.metadata.namespace ?? '';
  const lone = !namespace && home !== 'default' && !(object.eventTime && home === 'kube-system');
  if (lone || (namespace && namespace !== home && !object.eventTime)) {
    causes.push(invalidValue('involvedObject.namespace', namespace, 'does not match event.namespace'));
  }
  if (object.eventTime) {
    const controller = text(object.reportingComponent);
    const field = strict ? 'reportingController' : 'reportingComponent';
    if (!controller) causes.push(required(field, ''));
    causes.push(...qualifiedNameErrors(controller).map(error => invalidValue(field, controller, error)));
    for (const [key, limit] of [
      ['reportingInstance', 128],
      ['action', 128],
      ['reason', 128],
      ['message', 1024],
    ] as const) {
      const value = text(object[key]);
      if (!value && key !== 'message') causes.push(required(key, ''));
      if (Buffer.byteLength(value) > limit) causes.push(invalidValue(key, '', `can have at most ${limit} characters`));
    }
  }
  if (!strict) return causes;
  if (!object.eventTime) causes.push(required('eventTime', ''));
  if (object.type !== 'Normal' && object.type !== 'Warning') {
    causes.push(invalidValue('type', '', `has invalid value: ${text(object.type)}`));
  }
  for (const key of ['firstTimestamp', 'lastTimestamp', 'count'] as const) {
    if (object[key]) causes.push(invalidValue(key, '', 'needs to be unset'));
  }
  if (Object.keys((object.source ?? {}) as object).length) causes.push(invalidValue('source', '', 'needs to be unset'));
  return causes;
}

export const eventColumns = () => {
  const doc = (field: string) => fieldDescription('CoreV1Event', field);
  return [
    column('Last Seen', 'string', doc('lastTimestamp')),
    column('Type', 'string', doc('type')),
    column('Reason', 'string', doc('reason')),
    column('Object', 'string', doc('involvedObject')),
    column('Subobject', 'string', fieldDescription('V1ObjectReference', 'fieldPath'), 1),
    column('Source', 'string', doc('source'), 1),
    column('Message', 'string', doc('message')),
    column('First Seen', 'string', doc('firstTimestamp'), 1),
    column('Count', 'string', doc('count'), 1),
    column('Name', 'string', fieldDescription('V1ObjectMeta', 'name'), 1, 'name'),
  ];
};

export function eventCells(object: StoredObject, now: number): unknown[] {
  const series = object.series as { lastObservedTime?: string; count?: number } | undefined;
  const source = (object.source ?? {}) as Reference;
  const about = involved(object);
  const first = age(object.firstTimestamp ?? object.eventTime, now);
  const last = series
    ? age(series.lastObservedTime, now)
    : object.lastTimestamp
      ? age(object.lastTimestamp, now)
      : first;
  const kind = text(about.kind).toLowerCase();
  const component = source.component || text(object.reportingComponent);
  const host = source.host || text(object.reportingInstance);
  return [
    last,
    text(object.type),
    text(object.reason),
    about.name ? `${kind}/${about.name}` : kind,
    text(about.fieldPath),
    host ? `${component}, ${host}` : component,
    text(object.message).trim(),
    first,
    series?.count ?? object.count ?? 1,
    object.metadata.name,
  ];
}

/** The field selectors of `kubectl get events --field-selector` and `kubectl describe`. */
export const eventFields: Record<string, (object: StoredObject) => string> = {
  ...Object.fromEntries(
    ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(key => [
      `involvedObject.${key}`,
      (object: StoredObject) => involved(object)[key] ?? '',
    ]),
  ),
  reason: object => text(object.reason),
  reportingComponent: object => text(object.reportingComponent),
  source: object => ((object.source ?? {}) as Reference).component || text(object.reportingComponent),
  type: object => text(object.type),
};
