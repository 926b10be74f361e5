import type protobuf from 'protobufjs/light.js';
import { protoRegistry } from '../../../sandbox/gcp/wire/protos.ts';

/**
 * The words of the APIs, in lower case: fields, collections and verbs. They are never taken for the name of a person or a project, because
 * a recording without them could not be replayed.
 */
export function apiWords(): ReadonlySet<string> {
  words ??= collect();
  return words;
}

let words: Set<string> | undefined;

/** Words of error texts, addresses and policies that are no fields. */
const FURTHER =
  'acceptance admin api cloud com container containers data default denied error example expires google googleapis https iam info invoker json ' +
  'localhost owner permission project projects reader resource roles root secret service team tenant test user viewer writer';

function collect(): Set<string> {
  const found = new Set(FURTHER.split(' '));
  const seen = new Set<string>();
  const visit = (type: protobuf.Type): void => {
    if (seen.has(type.fullName)) return;
    seen.add(type.fullName);
    for (const field of type.fieldsArray) {
      found.add(field.name.toLowerCase());
      const { resolvedType } = field;
      if (resolvedType && 'fieldsArray' in resolvedType) visit(resolvedType);
    }
  };
  for (const { request, response, bindings } of protoRegistry().methods.values()) {
    visit(request);
    visit(response);
    for (const { template } of bindings) {
      for (const word of template.split(/[^A-Za-z]+/)) if (word) found.add(word.toLowerCase());
    }
  }
  return found;
}
