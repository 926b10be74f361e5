import { describe, expect, test } from 'vitest';
import { failureOf } from '../../operator/gcp/errors.ts';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import { statusOf } from '../../operator/gcp/status.ts';
import { explained } from '../../operator/tenant/context.ts';
import { GCP_CODES, type GcpStatus } from '../../ports/gcp.ts';
import type { Json } from '../../ports/json.ts';

/** How answers that are no 2xx are read, and what they come to. */

const google = (error: Record<string, Json>) => JSON.stringify({ error });
const NOW = Date.UTC(2030, 0, 1);
const read = (http: number, body: string, retryAfter: string | null = null) => statusOf(http, retryAfter, body, NOW);

test.each(GCP_CODES)('%s is what Google wrote, whatever the HTTP status', code => {
  for (const http of [400, 409, 503])
    expect(read(http, google({ status: code, message: 'm' }))).toEqual({ code, message: 'm' });
});

describe('without a code of Google’s', () => {
  test.each([
    [400, 'INVALID_ARGUMENT'],
    [412, 'FAILED_PRECONDITION'],
    [416, 'OUT_OF_RANGE'],
    [499, 'CANCELLED'],
    [500, 'INTERNAL'],
    [501, 'UNIMPLEMENTED'],
    [505, 'INTERNAL'],
    [402, 'FAILED_PRECONDITION'],
    [399, 'UNKNOWN'],
  ])('HTTP %i is %s', (http, code) => {
    expect(read(http, google({})).code).toBe(code);
    expect(read(http, google({ status: 7 })).message).toBe(`HTTP ${http} without a message.`);
  });

  test('an answer in a list is read too, as some APIs stream them', () => {
    const listed = JSON.stringify(['x', { error: { status: 'ABORTED', message: 'm' } }]);
    expect(read(409, listed)).toEqual({ code: 'ABORTED', message: 'm' });
  });
});

test.each([
  [429, 'RESOURCE_EXHAUSTED'],
  [500, 'INTERNAL'],
  [502, 'INTERNAL'],
  [503, 'UNAVAILABLE'],
  [501, 'UNKNOWN'],
  [404, 'UNKNOWN'],
  [403, 'UNKNOWN'],
  [200, 'UNKNOWN'],
])('HTTP %i of a proxy is %s and says so', (http, code) => {
  expect(read(http, '<html>')).toEqual({
    code,
    message: `HTTP ${http} with a body that is not from a Google API.`,
    // An answer that may pass does not say that another server than Google Cloud answers.
    ...(code === 'UNKNOWN' && { unanswered: 'foreign' }),
  });
});

describe('the delay that Google asks for', () => {
  const retryInfo = (retryDelay: Json, type = 'type.googleapis.com/google.rpc.RetryInfo') =>
    read(429, google({ message: 'm', details: [5, { '@type': 'other' }, { '@type': type, retryDelay }] })).retryAfterMs;

  test.each<[Json, number | undefined]>([
    ['3s', 3_000],
    ['12s', 12_000],
    ['0.25s', 250],
    ['1.000000001s', 1_001],
    ['3', undefined],
    ['-3s', undefined],
    ['3s ', undefined],
    ['x3s', undefined],
    ['', undefined],
    [3, undefined],
  ])('as RetryInfo %j is %s ms', (delay, ms) => {
    expect(retryInfo(delay)).toBe(ms);
    expect(retryInfo(delay, 'type.googleapis.com/google.rpc.ErrorInfo')).toBeUndefined();
  });

  test.each([
    ['7', 7_000],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['0', 0],
    ['1234567890', undefined],
    ['7x', undefined],
    ['x7', undefined],
    ['', undefined],
    ['Tue, 01 Jan 2030 00:00:09 GMT', 9_000],
    ['Mon, 31 Dec 2029 00:00:09 GMT', 0],
  ])('as Retry-After "%s" is %s ms', (header, ms) => {
    expect(read(503, google({ message: 'm' }), header).retryAfterMs).toBe(ms);
    expect(read(503, '<html>', header).retryAfterMs).toBe(ms);
  });

  test('is not there where nobody asks', () => {
    for (const body of [google({ message: 'm' }), '<html>']) {
      expect(Object.keys(read(503, body))).toEqual(['code', 'message']);
    }
    expect(Object.keys(failureOf(rpc.getService, { code: 'ABORTED', message: 'm' }))).toEqual(['kind', 'message']);
  });

  test('by the header counts before the one in the details', () => {
    const details = [{ '@type': 'x/google.rpc.RetryInfo', retryDelay: '3s' }];
    expect(read(429, google({ message: 'm', details }), '7').retryAfterMs).toBe(7_000);
  });
});

test('a message is cut at 4096 characters, and shows that it was', () => {
  const length = (count: number) => read(400, google({ message: 'x'.repeat(count) })).message;
  expect(length(4_096)).toBe('x'.repeat(4_096));
  expect(length(4_097)).toBe(`${'x'.repeat(4_096)}…`);
});

describe('an API that is not switched on', () => {
  const said = (status: Partial<GcpStatus>, method: string = rpc.getSecret) =>
    explained(failureOf(method, { code: 'PERMISSION_DENIED', message: 'No.', ...status }));
  const info = (metadata: Json, reason = 'SERVICE_DISABLED') => ({ details: ['x', { reason, metadata }] });

  test.each<[Json, string]>([
    [{ service: 'run.googleapis.com', consumer: 'projects/p-1' }, 'run.googleapis.com --project=p-1'],
    [{ service: 'evil.com/run.googleapis.com', consumer: 'x/projects/p-1' }, 'secretmanager.googleapis.com'],
    [{ service: 'run.googleapis.com/x', consumer: 'projects/p-1 x' }, 'secretmanager.googleapis.com'],
    [{ service: 5, consumer: 5 }, 'secretmanager.googleapis.com'],
    ['x', 'secretmanager.googleapis.com'],
  ])('with ErrorInfo %j names the command', (metadata, command) => {
    expect(said(info(metadata))).toBe(`No. Enable the API: gcloud services enable ${command}`);
  });

  test.each([
    ['Secret Manager API has not been used in project p-1 before or it is disabled.', ' --project=p-1'],
    ['Cloud Run Admin API in this project is disabled', ''],
    ['IAM API is disabled', ''],
    ['IAM API  is disabled', ''],
  ])('by the words "%s"', (message, project) => {
    const words = message.endsWith('.') ? message : `${message}.`;
    const prefix = `${words} Enable the API: gcloud services enable `;
    expect(said({ message })).toBe(`${prefix}secretmanager.googleapis.com${project}`);
    const linked = `${message} https://console.developers.google.com/apis/api/run.googleapis.com/overview`;
    expect(said({ message: linked })).toBe(
      `${linked}. Enable the API: gcloud services enable run.googleapis.com${project}`,
    );
    expect(said({ message }, 'no.such.Method')).toBe(`${prefix}iam.googleapis.com${project}`);
  });

  test('is not what any other refusal means', () => {
    for (const status of [info({}, 'IAM_PERMISSION_DENIED'), {}])
      expect(said(status)).toMatch(/^No\. Give the operator/);
    expect(said({ code: 'NOT_FOUND', ...info({ service: 'run.googleapis.com' }) })).toBe('No.');
  });
});

test('a revision whose account is not found yet is one that a moment mends, however Cloud Run says it', () => {
  for (const code of ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND'] as const) {
    for (const words of ['does not exist', 'not found', 'was not found']) {
      const message = `Service account sa-a@p.iam.gserviceaccount.com ${words}.`;
      expect(failureOf(rpc.createService, { code, message }).kind).toBe('Propagating');
      expect(failureOf(rpc.deleteService, { code, message }).kind).not.toBe('Propagating');
    }
  }
  expect(METHODS.has(rpc.createService)).toBe(true);
});
