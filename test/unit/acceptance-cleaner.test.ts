import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Json, JsonObject } from '../../ports/json.ts';
import { crc32c } from '../../sandbox/gcp/secretManager/crc32c.ts';
import type { Exchange } from '../acceptance/exchange.ts';
import { createCleaner, unfitProject } from '../acceptance/recording/cleaner.ts';

const PREFIX = 'acc-a1b2c3d4';
const KNOWN = {
  project: 'orchard-4711',
  projectNumber: '604217839925',
  prefix: PREFIX,
  secrets: ['plum.jam+of/2026', 'pear~7f3a9c'],
  names: ['mirabelle', 'quince-laptop'],
};

const given = (over: Partial<Exchange> = {}): Exchange => ({
  id: 1,
  by: 'acceptance',
  method: 'GET',
  url: 'https://run.googleapis.com/v2/projects/p/locations/r/services/s',
  requestHeaders: {},
  status: 200,
  responseHeaders: {},
  body: {},
  when: '2026-11-27T10:00:00.000Z',
  ...over,
});

describe('a recorded exchange', () => {
  test('has a name for each sensitive value, and keeps how they belong together', () => {
    const { exchange } = createCleaner(KNOWN);
    const email = `sa-${PREFIX}-one@orchard-4711.iam.gserviceaccount.com`;
    const cleaned = exchange(
      given({
        url: `https://iam.googleapis.com/v1/projects/orchard-4711/serviceAccounts/${email.replace('@', '%40')}?access_token=ya29.abcdefghijk`,
        requestHeaders: { authorization: 'Bearer ya29.abcdefghijk', 'user-agent': 'mirabelle/1', 'if-match': '"x"' },
        body: {
          name: `projects/orchard-4711/serviceAccounts/${email}`,
          email,
          uniqueId: '104729104729104729104',
          etag: 'BwYx',
          uri: 'https://web-q5w6e7r8t9-an.a.run.app',
          urls: ['https://web-604217839925.asia-northeast1.run.app', 'https://web-q5w6e7r8t9-an.a.run.app'],
          creator: 'mira.belle@fruit-trees.co.jp',
          members: ['user:mira.belle@fruit-trees.co.jp', 'deleted:serviceAccount:x@y?uid=104729104729104729104'],
          message:
            'Permission denied for mira.belle from 81.2.69.160: Secret [projects/604217839925/secrets/x] not found.',
          agent: 'service-604217839925@serverless-robot-prod.iam.gserviceaccount.com',
        },
      }),
    );
    expect(cleaned).toMatchObject({
      url: `https://iam.googleapis.com/v1/projects/project-1/serviceAccounts/sa-${PREFIX}-one%40project-1.iam.gserviceaccount.com?access_token=token-3`,
      requestHeaders: { authorization: 'Bearer token-3' },
      body: {
        name: `projects/project-1/serviceAccounts/sa-${PREFIX}-one@project-1.iam.gserviceaccount.com`,
        email: `sa-${PREFIX}-one@project-1.iam.gserviceaccount.com`,
        uniqueId: 'uniqueid-1',
        etag: 'etag-1',
        uri: 'https://web-hash-1-an.a.run.app',
        urls: ['https://web-number-1.asia-northeast1.run.app', 'https://web-hash-1-an.a.run.app'],
        creator: expect.stringMatching(/^user-\d@domain-1\.example$/),
        members: [
          expect.stringMatching(/^user:user-\d@domain-1\.example$/),
          'deleted:serviceAccount:x@y?uid=uniqueid-1',
        ],
        message: expect.stringMatching(
          /^Permission denied for user-\d from ip-1: Secret \[projects\/number-1\/secrets\/x\] not found\.$/,
        ),
        agent: 'service-number-1@serverless-robot-prod.iam.gserviceaccount.com',
      },
    });
    expect(cleaned.requestHeaders).not.toHaveProperty('user-agent');
    expect(exchange(cleaned)).toEqual(cleaned);
  });

  test('has the name of a payload in base64, with a checksum that fits exactly where it fitted', () => {
    const { exchange } = createCleaner(KNOWN);
    const bytes = Buffer.from('plums are blue');
    const data = bytes.toString('base64');
    const recorded = (dataCrc32c: string) =>
      (exchange(given({ requestBody: { payload: { data, dataCrc32c } } })).requestBody as { payload: JsonObject })
        .payload;
    const name = Buffer.from('payload-1');
    expect(recorded(String(crc32c(bytes)))).toEqual({
      data: name.toString('base64'),
      dataCrc32c: String(crc32c(name)),
    });
    expect(recorded('4711')).toEqual({ data: name.toString('base64'), dataCrc32c: '1' });
  });

  test('leaves out what others have in the project', () => {
    const { exchange } = createCleaner(KNOWN);
    const service = (id: string) => ({
      name: `projects/orchard-4711/locations/r/services/${id}`,
      description: `the ${id}`,
    });
    const { body } = exchange(
      given({ body: { services: [service('payroll'), service(`ai-platform-${PREFIX}-one`)], nextPageToken: 'abc' } }),
    );
    expect(body).toEqual({
      services: [
        {
          name: `projects/project-1/locations/r/services/ai-platform-${PREFIX}-one`,
          description: `the ai-platform-${PREFIX}-one`,
        },
      ],
      nextPageToken: 'page-1',
    });
  });

  test('has nothing that people wrote about the project', () => {
    const { exchange } = createCleaner(KNOWN);
    const v3 = {
      name: 'projects/604217839925',
      projectId: 'orchard-4711',
      displayName: 'Plums',
      labels: { boss: 'mira' },
    };
    const v1 = {
      projectNumber: '604217839925',
      projectId: 'orchard-4711',
      name: 'Plums',
      parent: { id: '99887766554' },
    };
    expect(exchange(given({ body: v3 })).body).toEqual({
      name: 'projects/number-1',
      projectId: 'project-1',
      displayName: 'text-1',
    });
    expect(exchange(given({ body: v1 })).body).toEqual({
      projectNumber: 'number-1',
      projectId: 'project-1',
      name: 'text-1',
      parent: { id: 'number-2' },
    });
  });

  test.each([
    ['a word of the APIs', 'template'],
    ['a part of one', 'locati'],
  ])('is refused on a project whose id is %s', (_, id) => {
    expect(unfitProject(id)).toMatch(`The project's id ${id} is a part of the API's word`);
    expect(unfitProject('orchard-4711')).toBeUndefined();
  });

  test('says what Google Cloud said, where that is not about anybody', () => {
    const { exchange } = createCleaner(KNOWN);
    const body = {
      error: {
        code: 404,
        message: "Resource 'x' of kind 'SERVICE' in region 'asia-northeast1' does not exist.",
        status: 'NOT_FOUND',
      },
      generation: '2',
      createTime: '2026-11-27T10:00:00.123456789Z',
      image: `asia-docker.pkg.dev/cloudrun/container/hello@sha256:${'0123456789abcdef'.repeat(4)}`,
      labels: { 'ai-acceptance-expires': '1764270000' },
      containers: [
        { ports: [{ name: 'http1', containerPort: 8080 }], resources: { limits: { cpu: '1000m', memory: '512Mi' } } },
      ],
      latestReadyRevision: 'projects/project-1/locations/asia-northeast1/services/s/revisions/s-00002-abc',
    };
    expect(exchange(given({ body })).body).toEqual(body);
  });
});

// ------------------------------------------------------------------------------------------- whatever, however, wherever

/** Something sensitive: what must not be readable, and the text that it comes in. */
interface Sensitive {
  secret: string;
  text: string;
}

const letters = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'bcdfghjkmnpqrstvwxz'), minLength: length, maxLength: length });
const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'123456789'), minLength: length, maxLength: length });
const always = (secret: string) => ({ secret, text: secret });

/** What the run says of itself. */
const told: fc.Arbitrary<Sensitive> = fc.constantFrom(
  ...[KNOWN.project, KNOWN.projectNumber, ...KNOWN.secrets, ...KNOWN.names].map(always),
);
/** What only its form betrays. */
const found: fc.Arbitrary<Sensitive> = fc.oneof(
  fc.tuple(letters(7), letters(6)).map(([local, domain]) => always(`${local}@${domain}.co.jp`)),
  fc.tuple(letters(7), letters(9)).map(([local, home]) => ({
    secret: home,
    text: `serviceAccount:${local}@${home}.iam.gserviceaccount.com`,
  })),
  fc.tuple(letters(7), letters(9)).map(([local, home]) => ({
    secret: local,
    text: `serviceAccount:${local}@${home}.iam.gserviceaccount.com`,
  })),
  digits(12).map(secret => ({ secret, text: `Secret [projects/${secret}/secrets/s] not found.` })),
  letters(12).map(secret => ({ secret, text: `https://run.googleapis.com/v2/projects/${secret}/locations/l` })),
  digits(21).map(always),
  letters(10).map(secret => ({ secret, text: `https://svc-${secret}-uc.a.run.app/chat` })),
  digits(12).map(secret => ({ secret, text: `https://svc-${secret}.europe-west1.run.app` })),
  fc.uuid().map(always),
  fc
    .ipV4()
    .filter(ip => !/^(127|0\.0|192\.0\.2|198\.51\.100|203\.0\.113)\./.test(ip))
    .map(always),
  fc
    .ipV6()
    // A shorter one is nobody's.
    .filter(ip => ip.length > 11 && !/\.|^2001:0?db8/i.test(ip))
    .map(always),
  letters(20).map(secret => ({ secret, text: `Bearer ya29.${secret}` })),
  letters(20).map(secret => ({ secret, text: `Incorrect API key provided: sk-${secret}.` })),
  letters(20).map(secret => ({ secret, text: `Authorization: Bearer ${secret} was refused` })),
  letters(20).map(secret => ({ secret, text: `?access_token=${secret}&x=1` })),
  letters(20).map(secret => ({ secret, text: `eyJhbGciOi.${secret}.${secret}` })),
  letters(8).map(secret => ({ secret, text: `open /home/${secret}/.config/gcloud: no such file` })),
  letters(30).map(secret => ({ secret, text: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----` })),
);

const percent = (text: string) => [...Buffer.from(text)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('');
const base64 = (text: string) => Buffer.from(text).toString('base64');

const PLAIN = fc.constant((text: string) => text);
const ENCODINGS: fc.Arbitrary<(text: string) => string> = fc.oneof(
  PLAIN,
  fc.constant(encodeURIComponent),
  fc.constant(percent),
  fc.constant((text: string) => percent(percent(text))),
  fc.constant(base64),
  fc.constant((text: string) => base64(text).replace(/=+$/, '')),
  fc.constant((text: string) => Buffer.from(text).toString('base64url')),
  fc.constant((text: string) => Buffer.from(text).toString('hex')),
  fc.constant((text: string) => base64(JSON.stringify({ a: { b: text } }))),
  fc.constant((text: string) => encodeURIComponent(base64(`{"x":"${text}"}`))),
  fc.constant((text: string) => JSON.stringify(text)),
  fc.constant((text: string) => [...text].map(c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')),
  fc.constant((text: string) => [...text].map(c => `&#${c.charCodeAt(0)};`).join('')),
  fc.constant((text: string) => text.replace(/[@/]/g, c => `&#x${c.charCodeAt(0).toString(16)};`)),
  // Bytes before it, so that it begins at any of the three places of four letters.
  fc.integer({ min: 1, max: 5 }).map(n => (text: string) => base64(`${'.'.repeat(n)} ${text} ;`)),
  // In a longer word of the same alphabet.
  fc.constant((text: string) => `data/${base64(text)}`),
);
const SURROUNDINGS: fc.Arbitrary<(text: string) => string> = fc.constantFrom(
  (text: string) => text,
  (text: string) => `Request failed: ${text} (try again)`,
  (text: string) => `<html><body><p>${text}</p></body></html>`,
  (text: string) => `"${text}", line 7`,
  (text: string) => `a=${text}&b=2`,
);
const PLACES: fc.Arbitrary<(text: string) => Partial<Exchange>> = fc.constantFrom<
  ((text: string) => Partial<Exchange>)[]
>(
  text => ({ body: { error: { code: 400, message: text, status: 'INVALID_ARGUMENT' } } }),
  text => ({ body: text }),
  text => ({ body: { [text]: true } }),
  text => ({ body: { labels: { [text]: text } } }),
  text => ({ body: [[{ deep: [text] }]] }),
  text => ({ requestBody: { template: { containers: [{ env: [{ name: 'X', value: text }] }] } } }),
  text => ({ requestBody: { policy: { bindings: [{ members: [text] }] } } }),
  text => ({ url: `https://run.googleapis.com/v2/x?filter=${text}` }),
  text => ({ url: `https://run.googleapis.com/v2/${text}/y` }),
  text => ({ responseHeaders: { location: text } }),
  text => ({ responseHeaders: { 'x-anything': text, 'set-cookie': text } }),
  text => ({ requestHeaders: { 'if-match': text } }),
  text => ({ requestHeaders: { authorization: `Bearer ${text}`, cookie: text, [text]: '1' } }),
  text => ({ status: 0, body: `connect ECONNREFUSED: ${text}` }),
);

/** Everything that can be read out of a text, by whoever tries all encodings. Written without the code that it judges. */
function readable(text: string, depth = 2): string[] {
  const out = [text];
  if (depth === 0) return out;
  const decoded = new Set<string>();
  decoded.add(text.replace(/(%[0-9a-f]{2})+/gi, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString()));
  decoded.add(text.replace(/\\u([0-9a-f]{4})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16))));
  decoded.add(text.replace(/&#x([0-9a-f]+);/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16))));
  decoded.add(text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))));
  for (const [run] of text.matchAll(/[0-9a-f]{10,}/gi)) decoded.add(Buffer.from(run, 'hex').toString());
  for (const [run] of text.matchAll(/[\w+/-]{8,}/g)) {
    for (const piece of [run, ...run.split('/')]) {
      for (let start = 0; start < 4; start++) decoded.add(Buffer.from(piece.slice(start), 'base64').toString());
    }
  }
  decoded.delete(text);
  return [...out, ...[...decoded].flatMap(one => readable(one, depth - 1))];
}

const strings = (value: Json | undefined): string[] => {
  if (typeof value !== 'object' || value === null) return [String(value)];
  return Array.isArray(value)
    ? value.flatMap(strings)
    : Object.entries(value).flatMap(([key, inner]) => [key, ...strings(inner)]);
};

const canRead = (exchange: Exchange, secret: string): string | undefined =>
  strings(exchange as unknown as Json)
    .flatMap(text => readable(text))
    .find(text => text.toLowerCase().includes(secret.toLowerCase()));

describe('nothing sensitive can be read out of a recorded exchange', () => {
  test.each([
    ['what the run says of itself', told],
    ['what its form betrays', found],
  ])('%s', (_, sensitive) => {
    fc.assert(
      fc.property(sensitive, ENCODINGS, SURROUNDINGS, PLACES, ({ secret, text }, encode, surround, place) => {
        const { exchange } = createCleaner(KNOWN);
        const cleaned = exchange(given(place(surround(encode(text)))));
        expect(canRead(cleaned, secret), JSON.stringify(cleaned)).toBeUndefined();
      }),
      { numRuns: 120 },
    );
  });

  test('the reader of these tests finds what is not cleaned', () => {
    fc.assert(
      fc.property(found, ENCODINGS, SURROUNDINGS, ({ secret, text }, encode, surround) => {
        expect(canRead(given({ body: surround(encode(text)) }), secret)).toBeDefined();
      }),
      { numRuns: 80 },
    );
  });

  test('the value of a field that has credentials, whatever the value is', () => {
    const field = fc.constantFrom('access_token', 'privateKeyData', 'clientSecret', 'OPENAI_API_KEY', 'password');
    fc.assert(
      fc.property(field, letters(9), SURROUNDINGS, (name, secret, surround) => {
        const { exchange } = createCleaner(KNOWN);
        const cleaned = exchange(given({ requestBody: { [name]: secret }, body: { message: surround(secret) } }));
        expect(canRead(cleaned, secret)).toBeUndefined();
        const variable = exchange(given({ body: { env: [{ name: 'OPENAI_API_KEY', value: `${secret}2` }] } }));
        expect(canRead(variable, `${secret}2`)).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  test('a payload that is found later in any text', () => {
    fc.assert(
      fc.property(letters(9), ENCODINGS, SURROUNDINGS, PLACES, (secret, encode, surround, place) => {
        const { exchange } = createCleaner(KNOWN);
        exchange(given({ requestBody: { payload: { data: base64(secret) } } }));
        expect(canRead(exchange(given(place(surround(encode(secret))))), secret)).toBeUndefined();
      }),
      { numRuns: 80 },
    );
  });
});

test.each([
  ['an address in another script', 'user 田中@例え.jp and jürgen@bücher.de lack', ['田中', '例え', 'jürgen', 'bücher']],
  ['an address in quotes', 'user "jane doe"@fruit-trees.net', ['jane doe', 'fruit-trees']],
  ['a member that is a domain', 'domain:fruit-trees.com is not permitted', ['fruit-trees']],
  ['an organization and a folder', 'organization 987654321, folder=987654322', ['987654321', '987654322']],
  ['the number of an old project', 'consumer 8393123456 is disabled', ['8393123456']],
  ['a directory', 'allowed: is:C03az79cb, customer C03az79cd', ['C03az79cb', 'C03az79cd']],
  ['an address of a machine in its name', 'ip-10-20-30-41.internal', ['10-20-30-41']],
  ['a token of another company', 'xoxb-1234567890-abcdefghij glpat-abcdefgh1234', ['abcdefghij', 'abcdefgh1234']],
])('a text of an error keeps nothing of %s', (_, message, leaks) => {
  const cleaned = JSON.stringify(createCleaner(KNOWN).exchange(given({ status: 403, body: { error: { message } } })));
  expect(leaks.filter(leak => cleaned.includes(leak))).toEqual([]);
});

test('the details of an error keep no short number of the project', () => {
  const body = { error: { details: [{ metadata: { containerInfo: '4444555566' } }] } };
  expect(JSON.stringify(createCleaner(KNOWN).exchange(given({ status: 403, body })))).not.toContain('4444555566');
});

test.each([
  ['letters', 'a'],
  ['quotes', '"a'],
  ['dots', 'a.'],
  ['percents', 'a%'],
])('a very long text of %s is cleaned in the time of its length', (_, part) => {
  const { exchange } = createCleaner(KNOWN);
  const error = { message: part.repeat(90_000 / part.length) };
  expect(exchange(given({ status: 403, body: { error } })).body).toEqual({ error });
  const longer = { error: { message: 'a'.repeat(300_000) } };
  expect(exchange(given({ status: 403, body: longer })).body).toEqual({ error: { message: '300000 characters' } });
});
