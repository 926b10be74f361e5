import type { Json, JsonObject } from '../../ports/json.ts';
import type { HttpRule } from './methods.ts';
import { isObject, json } from './parse.ts';
import { CallError, type HttpRequest } from './transport.ts';

/**
 * Turns the request message of a method into one HTTP request, by the rules of google/api/http.proto. JSON is not changed in
 * either direction, so fields and enum values that this version does not know are kept.
 */
export function httpRequestOf({ http, body }: HttpRule, request: JsonObject): HttpRequest {
  const [method = '', template = ''] = http.split(' ');
  let rest = request;
  const path = template.replace(/\{([^=}]+)=([^}]+)\}/g, (_, field: string, form: string) => {
    const steps = field.split('.');
    const value = steps.reduce<Json | undefined>((at, step) => (isObject(at) ? at[step] : undefined), request);
    rest = without(rest, steps);
    return pathValue(field, form, value);
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
  throw new CallError({
    code: 'UNKNOWN',
    message: 'Google Cloud answered with success, but the body is not a JSON object.',
    unanswered: 'foreign',
  });
}

/** Answers with the escaped value of a path variable. Throws if the value does not have the form that the rule requires; the call is then not sent. */
function pathValue(field: string, form: string, value: Json | undefined): string {
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

/** A copy of the object without one field. The path `['service', 'name']` removes `service.name`. */
function without(value: JsonObject, [step = '', ...steps]: string[]): JsonObject {
  const { [step]: inner, ...rest } = value;
  return steps.length > 0 && isObject(inner) ? { ...value, [step]: without(inner, steps) } : rest;
}

/** Adds a field to the query. Each field of a nested message is a parameter (`options.requestedPolicyVersion`); a list is a repeated parameter. */
function addParameters(query: URLSearchParams, name: string, value: Json | undefined): void {
  if (Array.isArray(value)) for (const item of value) addParameters(query, name, item);
  else if (isObject(value))
    for (const [key, item] of Object.entries(value)) addParameters(query, `${name}.${key}`, item);
  else if (value !== undefined && value !== null) query.append(name, String(value));
}
