/**
 * What `schema/` answers about a CustomResourceDefinition. The same code serves the sandbox's API server and `plan`,
 * and it knows nothing of AiTenant. Messages, reasons and field paths are kube-apiserver's own, word for word.
 */

export interface FieldCause {
  /** Such as FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, FieldValueTypeInvalid, FieldValueDuplicate, FieldValueTooLong, FieldValueTooMany, FieldValueForbidden. */
  reason: string;
  message: string;
  /** Such as `spec.keys[0].name`; `<nil>` for the object itself. */
  field: string;
}

export interface PrinterColumn {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}

export type PlainObject = { [key: string]: unknown };

/** One version of a CRD, ready to use. All functions leave their argument as it is. */
export interface CompiledVersion {
  name: string;
  served: boolean;
  storage: boolean;
  hasStatus: boolean;
  printerColumns: PrinterColumn[];
  /** The openAPIV3Schema as written. */
  openAPIV3Schema: PlainObject;
  /** Paths of fields that the schema does not know (`spec.foo`), as strict field validation reports them. */
  unknownFields(object: PlainObject): string[];
  prune(object: PlainObject): PlainObject;
  applyDefaults(object: PlainObject): PlainObject;
  /**
   * Structural validation, list-map and set rules, then CEL (with `oldSelf` where `old` is given), unless something is wrong
   * already, here or in the metadata (`wrong`), that kube-apiserver stops at. Empty: valid.
   */
  validate(object: PlainObject, old?: PlainObject, wrong?: FieldCause[]): FieldCause[];
}

export interface CompiledCrd {
  group: string;
  kind: string;
  listKind: string;
  plural: string;
  singular: string;
  shortNames: string[];
  categories: string[];
  namespaced: boolean;
  versions: CompiledVersion[];
}

/** `compileCrd(crd)`: the compiled CRD, or what kube-apiserver would refuse about it (not structural, bad CEL, name mismatch …). */
export type CompileCrd = (crd: PlainObject) => { ok: true; crd: CompiledCrd } | { ok: false; causes: FieldCause[] };
