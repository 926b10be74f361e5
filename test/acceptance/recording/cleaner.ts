import type { Json, JsonObject } from '../../../ports/json.ts';
import { crc32c } from '../../../sandbox/gcp/secretManager/crc32c.ts';
import { type Exchange, fieldOf, isObject } from '../exchange.ts';
import { apiWords } from './apiWords.ts';
import { cleanEncoded } from './encodings.ts';
import { findIn, project, user } from './finders.ts';
import { createNameBook, isName, type NameBook } from './nameBook.ts';

/**
 * Takes out of exchanges what must not leave the machine, and puts a stable name in its place (`nameBook.ts`). Three ways find it:
 *
 * 1. What the run says of itself: its project and number, the caller, its tokens, the names of the person and the machine.
 * 2. The field in which a value stands: credentials, the payload of a secret's version, unique ids, etags.
 * 3. The form of a value anywhere in a text (`finders.ts`), also in an encoded text (`encodings.ts`).
 *
 * What was found once is replaced everywhere from then on.
 */

export interface Known {
  project: string;
  projectNumber?: string;
  /** What the run's own names contain. Resources of lists whose text does not contain it are left out. Absent: all are kept. */
  prefix?: string;
  /** Tokens and keys of this run, which no form would betray. */
  secrets?: string[];
  /** Names of the person and of the machine. */
  names?: string[];
}

export interface Cleaner {
  exchange(exchange: Exchange): Exchange;
  text(text: string): string;
  json(value: Json): Json;
  /** The value behind a name. */
  valueOf(name: string): string | undefined;
  /** The number of values that have a name so far. */
  size(): number;
}

/** Why the project's exchanges cannot be recorded; undefined: they can. */
export function unfitProject(id: string): string | undefined {
  const word = [...apiWords()].find(one => one.includes(id.toLowerCase()));
  return word === undefined
    ? undefined
    : `The project's id ${id} is a part of the API's word ${word}, so that taking it out would spoil the recording.`;
}

const CREDENTIALS = new Set(
  (
    'accesstoken idtoken refreshtoken token oauthtoken clientsecret password passwd privatekey privatekeydata keystring apikey ' +
    'assertion signedjwt signature authorization proxyauthorization cookie setcookie xgoogapikey keymaterial credentials'
  ).split(' '),
);
const PAGES = new Set(['nextpagetoken', 'pagetoken']);
const UNIQUE_IDS = new Set(['uniqueid', 'oauth2clientid']);
/** A variable whose value is a credential. */
const SECRET_VARIABLE = /(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)/;

/** Longer texts are left out. No answer of Google has one, other than a payload, and searching it takes a second for each 100,000. */
const LONGEST_TEXT = 200_000;
/** Texts that are remembered as searched. */
const MOST_SEARCHED = 200_000;

export function createCleaner(known: Known): Cleaner {
  const book = createNameBook();
  const { prefix } = known;
  /** Account ids that the run made up, most of them to have them refused. */
  const asked = new Set<string>();
  const ours = { isOurs: (id: string) => (prefix !== undefined && id.includes(prefix)) || asked.has(id) };
  project(book, known.project);
  book.nameOf('project', known.project);
  if (known.projectNumber) book.nameOf('number', known.projectNumber);
  for (const secret of known.secrets ?? []) book.nameOf('token', secret);
  for (const name of known.names ?? []) user(book, name);

  const searched = new Set<string>();
  /** Results by text, for as long as no further value gets a name. */
  let results = new Map<string, string>();
  let sizeOfResults = 0;

  function cached(given: string): string {
    if (given.length > LONGEST_TEXT) return `${given.length} characters`;
    if (sizeOfResults !== book.size()) results = new Map();
    sizeOfResults = book.size();
    const known = results.get(given);
    if (known !== undefined) return known;
    const result = text(given);
    if (sizeOfResults === book.size()) results.set(given, result);
    return result;
  }

  function text(given: string, depth = 0): string {
    // The encoded parts first: digits in hexadecimal may look like a number, and could not be decoded without it. An encoded text in
    // an encoded text in an encoded text is as far as it is followed.
    const plain = book.replaced(given);
    const out =
      depth === 3
        ? plain
        : cleanEncoded(
            plain,
            inner => text(inner, depth + 1),
            value => book.nameOf('opaque', value),
          );
    if (!searched.has(out)) {
      findIn(out, book, ours);
      // Most texts come again and again; what is in them has its name by then.
      if (searched.size < MOST_SEARCHED) searched.add(out);
    }
    return book.replaced(out);
  }

  const rules: Rules = { book, text: cached, prefix };
  return {
    text: cached,
    json: value => cleaned(value, [], rules),
    valueOf: book.valueOf,
    size: book.size,
    exchange(exchange) {
      const accountId = fieldOf(exchange.requestBody, 'accountId');
      if (typeof accountId === 'string') asked.add(accountId);
      // What is found in the answer has its name in the request too.
      for (;;) {
        const before = book.size();
        const result = cleanedExchange(exchange, rules);
        if (book.size() === before) return result;
      }
    },
  };
}

interface Rules {
  book: NameBook;
  text(value: string): string;
  prefix?: string;
}

/** Headers that are dropped if they come this far, because nothing in them matters to a reader. */
const KEPT_HEADERS =
  /^(accept|content-type|if-match|if-none-match|etag|x-http-method-override|x-goog-user-project|authorization|retry-after|location|allow|www-authenticate)$/;

function cleanedExchange(exchange: Exchange, rules: Rules): Exchange {
  const { requestHeaders, requestBody, responseHeaders, body, url, ...rest } = exchange;
  return {
    ...rest,
    url: cleanedUrl(url, rules),
    requestHeaders: headers(requestHeaders, rules),
    ...(requestBody !== undefined && { requestBody: cleaned(requestBody, [], rules) }),
    responseHeaders: headers(responseHeaders, rules),
    body: cleaned(withoutOthers(body, rules.prefix), [], rules),
  };
}

/** Page tokens and etags may be too short to be found in a text, so they are taken by the names of their parameters. */
function cleanedUrl(url: string, { book, text }: Rules): string {
  const named = url.replace(/([?&])(pageToken|etag)=([^&#]+)/g, (_, mark, key: 'pageToken' | 'etag', value: string) => {
    const plain = decoded(value);
    return `${mark}${key}=${book.nameOf(key === 'etag' ? 'etag' : 'page', plain)}`;
  });
  return text(named);
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function headers(given: Record<string, string>, rules: Rules): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase();
    if (!KEPT_HEADERS.test(key)) continue;
    if (key === 'authorization') {
      const [, scheme = 'Bearer', token = value] = /^(\w+)\s+(.*)$/.exec(value) ?? [];
      kept[key] = `${scheme} ${rules.book.nameOf('token', token)}`;
    } else {
      if (key === 'x-goog-user-project' && !/^\d+$/.test(value)) project(rules.book, value);
      kept[key] = rules.text(value);
    }
  }
  return kept;
}

/** A resource of a list, by its name. */
const IN_PROJECT = /(^|\/)(projects|namespaces)\/[^/]+\/.*[^/]+\/[^/]+$/;

/** Lists without what the run did not make: it is nobody's business, and no replay could have it. */
function withoutOthers(body: Json, prefix: string | undefined): Json {
  if (prefix === undefined || !isObject(body)) return body;
  return Object.fromEntries(
    Object.entries(body).map(([key, value]) => {
      if (!Array.isArray(value)) return [key, value];
      return [key, value.filter(item => !isObject(item) || isOfRun(item, prefix))];
    }),
  );
}

function isOfRun(item: JsonObject, prefix: string): boolean {
  const metadata = isObject(item.metadata) ? item.metadata : {};
  const name = item.name ?? item.email ?? metadata.name;
  if (typeof name !== 'string' || item.locationId !== undefined || name.endsWith('.googleapis.com')) return true;
  return (!IN_PROJECT.test(name) && metadata.namespace === undefined) || JSON.stringify(item).includes(prefix);
}

function cleaned(value: Json, path: string[], rules: Rules): Json {
  if (typeof value === 'string') return cleanedString(value, path, rules);
  if (typeof value === 'number') {
    const text = rules.text(String(value));
    return text === String(value) || path.at(-1) === 'dataCrc32c' ? value : text;
  }
  if (Array.isArray(value)) return value.map(item => cleaned(item, path, rules));
  if (!isObject(value)) return value;
  if (typeof value.projectId === 'string' && value.email === undefined) return projectItself(value, path, rules);
  const isSecretVariable = typeof value.name === 'string' && SECRET_VARIABLE.test(value.name);
  const out: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const name = cleanedKey(key, rules);
    if (key === 'value' && isSecretVariable && typeof inner === 'string') out[name] = secret('token', inner, rules);
    else out[name] = cleaned(inner, [...path, key], rules);
  }
  if (path.at(-1) === 'payload') checksum(value, out);
  return out;
}

const cleanedKey = (key: string, { text }: Rules): string => (apiWords().has(key.toLowerCase()) ? key : text(key));

function cleanedString(value: string, path: string[], rules: Rules): string {
  const { book } = rules;
  const key = path.at(-1) ?? '';
  const word = key.toLowerCase().replace(/[^a-z0-9]/g, '');
  if (value === '' || isName(value)) return value;
  if (CREDENTIALS.has(word) || SECRET_VARIABLE.test(key)) return secret('token', value, rules);
  if (word === 'data' && path.at(-2) === 'payload') return payload(value, rules);
  if (PAGES.has(word)) return book.nameOf('page', value);
  if (UNIQUE_IDS.has(word) && /^\d+$/.test(value)) return book.nameOf('uniqueid', value);
  if (word === 'etag' || word === 'resourceversion') return book.nameOf('etag', value);
  // `containerInfo` is the number of the project in the details of errors.
  if (/^(project(number)?|containerinfo)$/i.test(key) && /^\d{6,}$/.test(value)) return book.nameOf('number', value);
  // A checksum of a payload says too much about a short one.
  if (word === 'datacrc32c') return value;
  return rules.text(value);
}

function secret(kind: 'token' | 'payload', value: string, { book }: Rules): string {
  return book.nameOf(kind, value);
}

/** The bytes get a name, so that the same key has the same name wherever it is; what is sent again is base64 as before. */
function payload(data: string, { book }: Rules): string {
  const text = Buffer.from(data, 'base64').toString();
  if (isName(text)) return data;
  // A word of the APIs is no secret, and must not be replaced in every text.
  if (apiWords().has(text.toLowerCase())) return data;
  const name = book.nameOf('payload', text);
  book.give('payload', data, name);
  return Buffer.from(name).toString('base64');
}

/** The checksum of the named payload, where it was that of the payload. A wrong one stays wrong. */
function checksum(before: JsonObject, after: JsonObject): void {
  if (before.dataCrc32c === undefined || typeof before.data !== 'string') return;
  const sum = (data: unknown) => String(crc32c(Buffer.from(String(data), 'base64')));
  const isRight = String(before.dataCrc32c) === sum(before.data);
  after.dataCrc32c = isRight ? sum(after.data) : '1';
}

/** What Resource Manager says of a project. Names and labels are chosen by people, and nothing here depends on them. */
function projectItself(value: JsonObject, path: string[], rules: Rules): JsonObject {
  const { book } = rules;
  const { labels: _, projectId, projectNumber, displayName, name, ...rest } = value;
  project(book, String(projectId));
  const number = projectNumber ?? /^projects\/(\d+)$/.exec(String(name))?.[1];
  if (number !== undefined) book.nameOf('number', String(number));
  const out = cleaned(
    { ...rest, ...(projectNumber !== undefined && { projectNumber: String(projectNumber) }) },
    path,
    rules,
  );
  const isTitle = typeof name === 'string' && !name.startsWith('projects/');
  return {
    ...(out as JsonObject),
    projectId: rules.text(String(projectId)),
    ...(displayName !== undefined && { displayName: book.nameOf('text', String(displayName)) }),
    ...(name !== undefined && { name: isTitle ? book.nameOf('text', name) : rules.text(String(name)) }),
  };
}
