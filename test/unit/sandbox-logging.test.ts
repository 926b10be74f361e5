import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import type { LoggedLine } from '../../sandbox/gcp/contracts.ts';
import { createLogBook } from '../../sandbox/gcp/instances/logBook.ts';
import { world } from './sandbox-gcp.support.ts';

const SERVICE = 'projects/demo-project/locations/asia-northeast1/services/s';
const AT = Date.UTC(2030, 0, 1);

describe('Cloud Logging lists what instances printed', () => {
  const texts = [
    'plain text',
    '{"severity":"warning","time":"2029-12-31T23:00:00Z","message":"late","status":502}',
    '{"severity":"INFO","message":"fine","status":200}',
    '{ no JSON',
  ];
  const lines: LoggedLine[] = texts.map((text, index) => ({
    sequence: index + 1,
    service: SERVICE,
    revision: 's-00001-abc',
    at: AT + index,
    text,
  }));
  const { core } = world({
    logLines: () => [...lines, { ...(lines[0] as LoggedLine), sequence: 9, service: SERVICE.replace('demo', 'other') }],
  });

  async function list(request: JsonObject, caller = {}) {
    const listLogEntriesRequest = { resourceNames: ['projects/demo-project'], ...request };
    return core.invoke('logging.entries.list', { listLogEntriesRequest }, { caller });
  }
  const printed = async (request: JsonObject) => {
    const result = await list(request);
    const entries = result.ok ? ((result.response.entries ?? []) as JsonObject[]) : [];
    return entries.map(({ textPayload }) => texts.indexOf(String(textPayload)));
  };

  test('as entries of the revision, structured where a line is JSON', async () => {
    expect(await list({})).toMatchObject({
      response: {
        entries: [
          {
            logName: 'projects/demo-project/logs/run.googleapis.com%2Fstdout',
            resource: { type: 'cloud_run_revision', labels: { service_name: 's', revision_name: 's-00001-abc' } },
            timestamp: '2030-01-01T00:00:00Z',
            severity: 'DEFAULT',
            textPayload: 'plain text',
          },
          { severity: 'WARNING', timestamp: '2029-12-31T23:00:00Z', jsonPayload: { message: 'late', status: 502 } },
          { severity: 'INFO', jsonPayload: { message: 'fine', status: 200 } },
          { textPayload: '{ no JSON' },
        ],
      },
    });
  });

  test('a line cannot make the list fail', async () => {
    const odd = [
      '{"time":"+275760-09-12T00:00:00Z","severity":7}',
      '{"time":{"seconds":1}}',
      '{"__proto__":{"a":1}}',
      '[]',
    ];
    const { core } = world({
      logLines: () => odd.map((text, index) => ({ ...(lines[0] as LoggedLine), sequence: index, text })),
    });
    const listLogEntriesRequest = { resourceNames: ['projects/demo-project'] };
    expect(await core.invoke('logging.entries.list', { listLogEntriesRequest }, { caller: {} })).toMatchObject({
      response: { entries: odd.map(textPayload => ({ textPayload, timestamp: '2030-01-01T00:00:00Z' })) },
    });
  });

  test.each<[string, JsonObject, number[]]>([
    [
      'of gcloud run services logs read',
      {
        filter:
          'resource.type = cloud_run_revision \n AND resource.labels.service_name = s \n AND severity >= DEFAULT \n AND timestamp>="2029-12-31T23:30:00Z"',
      },
      [0, 2, 3],
    ],
    ['by severity', { filter: 'severity>=WARNING' }, [1]],
    ['by a field', { filter: 'jsonPayload.status=502' }, [1]],
    ['of another service', { filter: 'resource.labels.service_name=t' }, []],
    ['newest first', { orderBy: 'timestamp desc', pageSize: 2 }, [3, 2]],
    ['of a project by its number', { resourceNames: ['projects/123456'], pageSize: 1 }, [0]],
  ])('%s', async (_, request, expected) => {
    expect(await printed(request)).toEqual(expected);
  });

  test('by pages', async () => {
    const first = await list({ orderBy: 'timestamp desc', pageSize: 3 });
    const pageToken = first.ok ? String(first.response.nextPageToken) : '';
    expect(await printed({ orderBy: 'timestamp desc', pageSize: 3, pageToken })).toEqual([0]);
  });

  test('with a permission, of projects only', async () => {
    const caller = { email: 'dev@example.com' };
    core.faults.deny({ permission: 'logging.logEntries.list', caller: caller.email });
    expect(await list({}, caller)).toMatchObject({ status: { code: 'PERMISSION_DENIED' } });
    expect(await list({ resourceNames: [] })).toMatchObject({ status: { code: 'INVALID_ARGUMENT' } });
    expect(await list({ resourceNames: ['folders/1'] })).toMatchObject({ status: { code: 'INVALID_ARGUMENT' } });
  });
});

describe('the book of what instances print', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'logs-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test('follows a file from its end on, by whole lines, and keeps the last 1,000', () => {
    const file = join(dir, 'deep', 'r.log');
    const book = createLogBook({ now: () => AT });
    const end = book.follow(SERVICE, 'r', file);
    appendFileSync(file, 'one\n\ntw');
    expect(book.lines()).toEqual([{ sequence: 1, service: SERVICE, revision: 'r', at: AT, text: 'one' }]);
    appendFileSync(file, 'o ä\n');
    expect(book.lines().map(({ text }) => text)).toEqual(['one', 'two ä']);
    appendFileSync(file, Array.from({ length: 1200 }, (_, index) => `line ${index}\n`).join(''));
    end();
    appendFileSync(file, 'after the end\n');
    const kept = book.lines().map(({ text }) => text);
    expect([kept.length, kept[0], kept.at(-1)]).toEqual([1000, 'line 200', 'line 1199']);
    book.close();
  });

  test('leaves out what an earlier run printed, and puts the lines of all files in order', () => {
    const [one, two] = [join(dir, 'one'), join(dir, 'two')];
    writeFileSync(one, 'of an earlier run\n');
    const book = createLogBook({ now: () => AT });
    book.follow(SERVICE, 'one', one);
    book.follow(SERVICE, 'two', two);
    for (const [file, text] of [
      [two, 'a'],
      [one, 'b'],
      [two, 'c'],
    ] as const) {
      appendFileSync(file, `${text}\n`);
      book.lines();
    }
    expect(book.lines().map(({ text }) => text)).toEqual(['a', 'b', 'c']);
    book.close();
  });

  test('a file that cannot be made is no error', () => {
    const book = createLogBook({ now: () => AT });
    book.follow(SERVICE, 'r', join(dir, 'x'.repeat(300)))();
    expect(book.lines()).toEqual([]);
  });
});
