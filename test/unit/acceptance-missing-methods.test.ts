import { afterEach, expect, test } from 'vitest';
import type { Json } from '../../ports/json.ts';
import type { Call, HttpMethod } from '../acceptance/exchange.ts';
import type { Verdict } from '../acceptance/fact.ts';
import { FACTS } from '../acceptance/facts/all.ts';
import { LIES } from '../acceptance/lies.ts';
import { factCloud } from './support/factCloud.ts';

/** The methods that the probes call, by the form of their addresses. */
const METHODS: [method: HttpMethod, path: RegExp][] = [
  ['POST', /\/serviceAccounts$/],
  ['GET', /\/serviceAccounts(\?.*)?$/],
  ['GET', /\/serviceAccounts\/[^/:]+$/],
  ['PATCH', /\/serviceAccounts\//],
  ['DELETE', /\/serviceAccounts\//],
  ['POST', /\/serviceAccounts\/[^/]+:(enable|disable)$/],
  ['POST', /\/serviceAccounts\/[^/]+:undelete$/],
  ['POST', /\/serviceAccounts\/[^/]+:getIamPolicy$/],
  ['GET', /\/denypolicies$/],
  ['POST', /\/secrets\?/],
  ['GET', /\/secrets\?/],
  ['GET', /\/secrets\/[^/:]+$/],
  ['PATCH', /\/secrets\//],
  ['GET', /\/secrets\/.*:getIamPolicy/],
  ['POST', /\/secrets\/.*:setIamPolicy$/],
  ['POST', /\/secrets\/.*:addVersion$/],
  ['GET', /\/versions\/[^/:]+$/],
  ['GET', /\/versions\?/],
  ['GET', /\/versions\/[^/]+:access$/],
  ['POST', /\/versions\/[^/]+:(enable|disable|destroy)$/],
  ['POST', /\/services\?/],
  ['GET', /\/locations\/[^/]+\/services(\?.*)?$/],
  ['GET', /\/locations\/[^/]+\/services\/[^/:]+$/],
  ['PATCH', /\/locations\/[^/]+\/services\//],
  ['DELETE', /\/locations\/[^/]+\/services\//],
  ['GET', /\/services\/.*:getIamPolicy/],
  ['POST', /\/services\/.*:setIamPolicy$/],
  ['GET', /\/operations\?/],
  ['GET', /\/operations\/[^/:]+$/],
  ['POST', /\/operations\/[^/]+:wait$/],
  ['DELETE', /\/operations\//],
  ['GET', /\/apis\/serving\.knative\.dev\//],
];

/** What an endpoint answers that does not have a method. */
type Form = [name: string, status: number, body: Json];
const FORMS: Form[] = [
  ['404', 404, { error: { code: 404, message: 'Method not found.', status: 'NOT_FOUND' } }],
  ['501', 501, { error: { code: 501, message: 'Method not found.', status: 'UNIMPLEMENTED' } }],
  ['a page', 404, '<!DOCTYPE html>\n<html lang=en>\n  <title>Error 404 (Not Found)!!1</title>\n</html>\n'],
  ['nothing', 0, 'no answer within 30 s'],
];

/** A call as the lies name it. */
interface Missed {
  url: string;
  sent: string;
}

/** The calls of an endpoint that does not have a method. `missed` gets each call that was answered so. */
const without =
  ([method, path]: (typeof METHODS)[number], [, status, body]: Form, missed: Missed[]) =>
  (call: Call): Call =>
  async (asked, url, ...rest) => {
    if (asked !== method || !path.test(url)) return call(asked, url, ...rest);
    const [requestBody] = rest;
    missed.push({ url, sent: JSON.stringify(requestBody ?? null) });
    const sent = requestBody === undefined ? {} : { requestBody };
    const answer = { status, responseHeaders: {}, body, when: '' };
    return { id: 0, by: 'acceptance', method, url, requestHeaders: {}, ...sent, ...answer };
  };

/** What a probe says that has a bug and did not expect an answer. */
const BUG = /Cannot read|Cannot set|is not a function|is not iterable|Invalid URL|not valid JSON/;

/** Every method in the form that is most like an answer, and in one of the others. */
const CASES = METHODS.flatMap((method, at) =>
  [FORMS[0], FORMS[1 + (at % (FORMS.length - 1))]].map(form => ({
    what: `${method[0]} ${method[1].source}`,
    form: form?.[0],
    method,
    answer: form as Form,
  })),
);

let close: () => Promise<void> = async () => {};
afterEach(() => close());

test.each(CASES)(
  'an endpoint without $what ($form): no probe crashes or confirms its fact',
  async ({ method, answer }) => {
    const cloud = await factCloud({ limits: {} });
    close = cloud.close;
    await cloud.addDenyPolicy();
    const missed: Missed[] = [];
    const verdicts: [id: string, verdict: Verdict][] = [];
    for (const fact of FACTS.filter(({ expensive }) => expensive === undefined)) {
      verdicts.push([fact.id, await cloud.probe(fact, without(method, answer, missed))]);
    }
    expect(missed).not.toEqual([]);
    expect(verdicts.filter(([, verdict]) => BUG.test(JSON.stringify(verdict)))).toEqual([]);
    // The lie about a fact names the call on whose answer its verdict rests.
    const resting = LIES.filter(
      ({ on }) =>
        on.method === method[0] && missed.some(({ url, sent }) => on.url.test(url) && (on.body?.test(sent) ?? true)),
    ).map(({ fact }) => fact);
    const confirmed = verdicts.filter(([id, { verdict }]) => verdict === 'confirmed' && resting.includes(id));
    expect(confirmed.map(([id]) => id)).toEqual([]);
  },
);
