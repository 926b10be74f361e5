import type { Json, JsonObject } from '../../../ports/json.ts';
import type { Parse } from '../specValues.ts';
import type { Change } from '../types.ts';

/**
 * One optional field of the spec that stands for a setting of Cloud Run. Reading, planning, dropping, foreseeing, moving and importing
 * it follow from this description (`laid.ts`), so a new field is one row of `serviceFields.ts` or `templateFields.ts`, its entry in
 * crds/aitenants.yaml, and its cases in test/unit/support/fieldCases.ts.
 *
 * Three states of a field:
 *
 * 1. Never named by the spec: it is not the operator's. Whatever others set survives.
 * 2. Named: the operator writes it, and the inventory has an entry with its path.
 * 3. No longer named, but in the inventory: it goes back to Google's default, and the entry stays until it is there. A field that
 *    limits access or what may run stays as it is instead (`leaves: 'stays'`), with a note that says how to open it.
 */
export interface Field {
  /** The path below `spec`. With `keyed`, that of a map whose keys are each a field of their own. */
  path: string;
  keyed?: {
    /** Whether a spec may name the key. The inventory is not trusted with others: whoever may write the status can forge it. */
    allows(key: string): boolean;
    /** The keys that the service has now and that a spec may name. */
    keysOf(json: JsonObject): string[];
    /** The item of the spec's list. Absent: the spec has a map. */
    item?(key: string, value: Json): JsonObject;
  };
  /** `service`: a change makes no revision, and `read` and `write` get the Service. `template`: it makes one; they get the template. */
  level: 'service' | 'template';
  /** The names of the fields of Cloud Run's JSON that hold it. */
  places: string[];
  /** Reads it from a spec. Undefined: the spec does not name it. */
  parse: Parse;
  /** The value that `parse` gets. Absent: the one at `path`. */
  fromSpec?(spec: unknown): unknown;
  /**
   * The value for one region, or the field of the spec in which it is missing. `form`: it has a value for the region that has not
   * this form. Absent: the value is the same everywhere.
   */
  inRegion?(value: Json, place: Place): { value: Json } | { missing: string; form?: string };
  /** The value in Cloud Run's JSON, in the words of the spec. A value that the spec has no word for is answered as it stands there. */
  read(json: JsonObject, key: string): Json | undefined;
  /** The JSON with another value. Undefined: Google's default. Fields that the operator does not know survive. */
  write(json: JsonObject, value: Json | undefined, key: string): JsonObject;
  /** Google's default, in the words of the spec, and its source. Undefined: the field is absent. */
  standard?: Json;
  source: string;
  /** What happens when the field leaves the spec. */
  leaves: 'default' | 'stays';
  /** With `stays`: what the note says about how to open it. */
  opens?: string;
  /** The value that the spec means beside the other fields of this JSON. Absent: the value itself. */
  inJson?(value: Json, json: JsonObject): Json;
  /** A value as changes show it. Absent: as text. */
  shown?(value: Json | undefined): string | undefined;
  /** The changes from one value to another, if the field has parts. Absent: one change of the whole value. */
  changes?(path: string, from: Json | undefined, to: Json | undefined): Change[];
  /** Whether two values mean the same. Absent: they are deeply equal. */
  same?(a: Json | undefined, b: Json | undefined): boolean;
  /**
   * Whether the change only limits access or what may run. Such a change is made first and alone, and nothing that opens access is
   * written before it.
   */
  narrows?(from: Json | undefined, to: Json | undefined): boolean;
  /**
   * The value for `status.serviceSettings`, from which a deleted service is created again: the JSON of `places[0]`, if it is not the
   * default and fits the CRD's bounds. Absent: the field is not recorded.
   */
  recorded?(value: unknown): Json | undefined;
}

/** Where a service is. */
export interface Place {
  project: string;
  region: string;
}

/** The object without one of its fields. */
export const without = (object: JsonObject, name: string): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([other]) => other !== name)) as JsonObject;

/** The JSON name, the words of an enum, and Google's default among them, as parts of a row. */
export function worded<T extends string>(
  place: string,
  words: Record<T, Json>,
  standard: T,
): Pick<Field, 'places' | 'read' | 'write' | 'standard'> {
  const entries = Object.entries(words) as [T, Json][];
  return {
    places: [place],
    standard,
    read(json) {
      const found = json[place];
      if (found === undefined || found === null) return standard;
      return entries.find(([, value]) => value === found)?.[0] ?? found;
    },
    write: (json, value = standard) => ({ ...json, [place]: words[value as T] }),
  };
}
