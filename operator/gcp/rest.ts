import type { Json, JsonObject } from '../../ports/json.ts';
import type { HttpRule } from './methods.ts';
import { isObject, json } from './parse.ts';
import { CallError, type HttpRequest } from './transport.ts';

/**
 * Turns the request message of a method into one HTTP request, by the rules of google/api/http.proto. JSON passes unchanged in
 * both directions, so fields and enum values that this version does not know survive.
 */
export function httpRequestOf({ http, body }: HttpRule, request: JsonObject): HttpRequest {
  const [method = '', template = ''] = http.split(' ');
  let rest = request;
  const path = template.replace(/\{([^=}]+)=([^}]+)\}/g, (_, field: string, form: string) => {
    const steps = field.split('.');
    const value = steps.reduce<Json | undefined>((at, step) => (isObject(at) ? at[step] : undefined), request);
    rest = without(rest, steps);
    return bound(field, form, value);
  });
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(rest)) {
    if (body !== '*' && name !== body) addParameters(query, name, value);
  }
  const content = body === '*' ? rest : body && (rest[body] ?? {});
  return {
    method,
    path: query.size > 0 ? `${path}?${query}` : path,
    ...(content && { body: JSON.stringify(content) }),
  };
}

/** Parses the body of a successful answer. An empty body is an empty message. */
export function answerOf(body: string): JsonObject {
  const answer = body.trim() === '' ? {} : json(body);
  if (isObject(answer)) return answer;
  throw new CallError({ code: 'UNKNOWN', message: 'A successful answer whose body is no JSON object.' });
}

/** The escaped value of a variable in a path. Throws if the value is not of the rule's form; the call is then not sent. */
function bound(field: string, form: string, value: Json | undefined): string {
  const expected = form.split('/');
  const segments = typeof value === 'string' ? value.split('/') : [];
  const fits = (segment: string, index: number) =>
    expected[index] === '*' ? !/^\.{0,2}$/.test(segment) : segment === expected[index];
  if (segments.length !== expected.length || !segments.every(fits)) {
    const message = `The call was not made: ${field} has to be of the form ${form}.`;
    throw new CallError({ code: 'INVALID_ARGUMENT', message });
  }
  return segments.map(segment => encodeURIComponent(segment).replaceAll('%40', '@')).join('/');
}

/** The object without the one field at the end of a path of names. */
function without(value: JsonObject, [step = '', ...steps]: string[]): JsonObject {
  const { [step]: inner, ...rest } = value;
  return steps.length > 0 && isObject(inner) ? { ...value, [step]: without(inner, steps) } : rest;
}

/** A field of a nested message is one parameter (`options.requestedPolicyVersion`); a list is a repeated parameter. */
function addParameters(query: URLSearchParams, name: string, value: Json | undefined): void {
  if (Array.isArray(value)) for (const item of value) addParameters(query, name, item);
  else if (isObject(value))
    for (const [key, item] of Object.entries(value)) addParameters(query, `${name}.${key}`, item);
  else if (value !== undefined && value !== null) query.append(name, String(value));
}
