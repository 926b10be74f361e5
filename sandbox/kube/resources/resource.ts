import type { KubeMeta, KubeObject } from '../../../ports/kube.ts';
import type { FieldCause, PlainObject } from '../../../schema/types.ts';

/** One entry of `metadata.managedFields`. */
export interface ManagedFieldsEntry {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: PlainObject;
  subresource?: string;
}

/** Metadata with the fields that the port does not name. */
export interface Meta extends KubeMeta {
  managedFields?: ManagedFieldsEntry[];
  generateName?: string;
  deletionGracePeriodSeconds?: number;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; [key: string]: unknown }[];
}

/** An object in the store. Never changed in place: every write makes a new one. */
export interface StoredObject extends KubeObject {
  apiVersion: string;
  kind: string;
  metadata: Meta & { name: string; uid: string; resourceVersion: string; creationTimestamp: string };
}

/** An object on its way into the store. */
export interface DraftObject extends KubeObject {
  apiVersion: string;
  kind: string;
  metadata: Meta;
}

export interface TableColumn {
  name: string;
  type: string;
  format: string;
  description: string;
  priority: number;
}

/** The rules of one served version of a resource; what differs between a namespace, a lease and a custom resource. */
export interface ResourceVersion {
  name: string;
  hasStatus: boolean;
  /** A function, as the built-in kinds' descriptions are read from disk when first asked for. */
  columns(): TableColumn[];
  /** The cells of a table row, in the order of `columns`. `now` in milliseconds. */
  cells(object: StoredObject, now: number): unknown[];
  /** The object as stored, in the words of this version. */
  fromStored(object: StoredObject): StoredObject;
  toStored(object: DraftObject): DraftObject;
  /** The error message of Go's encoding/json for a value of a wrong type, for kinds that are Go types. */
  typeError(object: PlainObject): string | undefined;
  /** Paths that the schema does not know. */
  unknownFields(object: DraftObject): string[];
  /** Drops what is unknown and fills in defaults. */
  admit(object: DraftObject): DraftObject;
  /** Returns the validation errors of an admitted object. `old` is given on an update; `wrong` are the errors of its metadata. */
  validate(object: DraftObject, old?: StoredObject, wrong?: FieldCause[]): FieldCause[];
  /** A custom resource's openAPIV3Schema; for a built-in kind a reference to its model. */
  openAPI: PlainObject;
  /** The lists that strategic merge patch merges: the merge key by path, `''` for lists of plain values. */
  patchMergeKeys: Record<string, string>;
}

export interface ResourceDef {
  group: string;
  plural: string;
  singular: string;
  kind: string;
  listKind: string;
  shortNames: string[];
  categories: string[];
  namespaced: boolean;
  /** The key of the objects' storage. Two resources may be views of one storage. */
  storage: string;
  custom: boolean;
  /** Newest first. */
  versions: ResourceVersion[];
  /** The objects carry `metadata.generation`. */
  hasGeneration: boolean;
  allowUnconditionalUpdate: boolean;
  allowCreateOnUpdate: boolean;
  verbs: string[];
  patchTypes: string[];
  /** Field selectors besides metadata.name and metadata.namespace, with the object's value. */
  selectable: Record<string, (object: StoredObject) => string>;
  nameRule: 'subdomain' | 'label' | 'segment';
  /** Set while the resource's CRD is being deleted. */
  terminating: boolean;
}

export interface Target {
  def: ResourceDef;
  version: ResourceVersion;
  namespace: string | undefined;
  name?: string;
  subresource?: 'status';
}

export interface WriteOptions {
  dryRun: boolean;
  fieldValidation: 'Ignore' | 'Warn' | 'Strict';
  /** The writer's name for `metadata.managedFields`. Absent: the write is not recorded there. */
  manager?: string;
  /** With server-side apply: take over what others own. */
  force?: boolean;
  /** The result of a server-side apply, in place of the record of an update. */
  applied?: { managedFields: ManagedFieldsEntry[] | undefined };
  /** Paths that the body names twice. */
  duplicates?: string[];
  /** Warnings for the client are pushed here. */
  warnings: string[];
}
