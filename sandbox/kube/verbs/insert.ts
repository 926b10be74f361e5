import { newCrdStatus } from '../resources/crds.ts';
import { finalizerWarnings, metadataErrors, nameSuffix, timestamp, uuid } from '../resources/meta.ts';
import type { DraftObject, StoredObject, Target, WriteOptions } from '../resources/resource.ts';
import { alreadyExists, failure, forbidden, invalid, notFound } from '../status.ts';
import { managedAfter } from './managedFields.ts';
import { type Api, checkNamespace, clean, shown } from './stored.ts';

/** Stores a new object. `dropStatus`: the request may not set the status. */
export function insert(
  api: Api,
  target: Target,
  draft: DraftObject,
  options: WriteOptions,
  dropStatus: boolean,
): StoredObject {
  const { def, version, namespace } = target;
  checkNamespace(target, draft);
  const meta = draft.metadata;
  if (!meta.name && meta.generateName) meta.name = `${meta.generateName.slice(0, 58)}${nameSuffix(api.runtime)}`;
  admitToNamespace(api, target, meta.name ?? '');
  draft.metadata = {
    ...meta,
    uid: uuid(api.runtime),
    creationTimestamp: timestamp(api.runtime.now()),
    generation: def.hasGeneration ? 1 : undefined,
    resourceVersion: undefined,
    deletionTimestamp: undefined,
    deletionGracePeriodSeconds: undefined,
  };
  if (dropStatus) delete draft.status;
  draft.metadata.managedFields = managedAfter(target, draft, undefined, options, timestamp(api.runtime.now()));
  if (def.storage === '/namespaces') {
    // `generateName` may have set the name after the client wrote the label.
    const labels = { ...draft.metadata.labels, 'kubernetes.io/metadata.name': draft.metadata.name };
    draft = {
      ...draft,
      metadata: { ...draft.metadata, labels },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    };
  }
  if (def.kind === 'CustomResourceDefinition') draft = { ...draft, status: newCrdStatus(draft) };
  const object = version.toStored(clean(draft));
  const wrong = metadataErrors(def, object, true);
  const causes = [...wrong, ...version.validate(def.custom ? draft : object, undefined, wrong)];
  if (causes.length) throw invalid(def, meta.name ?? '', causes);
  if (def.custom) options.warnings.push(...finalizerWarnings(draft));
  // In kube-apiserver the storage layer refuses this. A dry run never reaches that layer, and the layer reads a resourceVersion
  // that is not a number as absent.
  if (!options.dryRun && /^\d+$/.test(meta.resourceVersion ?? '') && Number(meta.resourceVersion) !== 0) {
    throw failure(500, '', 'resourceVersion should not be set on objects to be created');
  }
  const there = api.store.get(def.storage, namespace, meta.name);
  if (there) throw alreadyExists(def, meta.name, there.metadata.deletionTimestamp !== undefined);
  if (options.dryRun) {
    const { resourceVersion } = meta;
    const answer = { ...object, metadata: { ...object.metadata, ...(resourceVersion && { resourceVersion }) } };
    return shown(target, answer as StoredObject);
  }
  return shown(target, api.store.put(def.storage, object));
}

function admitToNamespace({ store }: Api, { def, namespace }: Target, name: string) {
  if (!namespace) return;
  const home = store.get('/namespaces', undefined, namespace);
  if (!home) throw notFound({ group: '', plural: 'namespaces' }, namespace);
  if (!home.metadata.deletionTimestamp) return;
  throw forbidden(def, name, `unable to create new content in namespace ${namespace} because it is being terminated`, [
    {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    },
  ]);
}
