import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { acceptance } from '../acceptance/acceptance.ts';
import { API } from '../acceptance/addresses.ts';
import { cleanUpEarlierRuns } from '../acceptance/earlierRuns.ts';
import { type Options, readOptions, UsageError } from '../acceptance/options.ts';
import { listProject } from '../acceptance/projectList.ts';
import { readRecording } from '../acceptance/recording/recorder.ts';
import { recordRun } from '../acceptance/recording/recordRun.ts';
import { openSession } from '../acceptance/session.ts';
import { shownText } from '../acceptance/shownText.ts';

/** What a run meets on a bad day, or at the hands of somebody who shares its project. */

type Answer = (url: string) => [status: number, text: string];
const EMPTY: Answer = url => (/\/(serviceAccounts|secrets|services|locations)\?/.test(url) ? [200, '{}'] : [404, '{}']);

async function endpoint(answer: Answer): Promise<Record<string, string>> {
  const server = http.createServer(({ url = '' }, response) => {
    const [status, text] = answer(url);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(text);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'acceptance-hostile-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function optionsOf(...flags: string[]): Options {
  const options = readOptions(['--project', 'demo-project', '--state', join(folder(), 'state'), ...flags], {});
  if (options === 'help') throw new Error('not help');
  return options;
}

async function started(answer: Answer, flags: string[], signal = new AbortController().signal) {
  const lines: string[] = [];
  const asked: string[] = [];
  const confirm = async () => {
    asked.push('asked');
    return false;
  };
  const print = (line: string) => lines.push(line);
  const code = await acceptance(optionsOf(...flags), await endpoint(answer), { print, confirm, signal });
  return { code, text: lines.join('\n'), asked };
}

test('a project of which nothing can be read is refused: no credentials, no such project', async () => {
  const forbidden: Answer = () => [403, '{"error":{"status":"PERMISSION_DENIED","message":"no such project"}}'];
  const refused = started(forbidden, ['--yes']);
  await expect(refused).rejects.toThrow('Nothing was made: project demo-project cannot be read.');
  await expect(refused).rejects.toThrow('the secrets cannot be listed: HTTP 403 PERMISSION_DENIED: no such project');
});

test('a prefix that was chosen is refused if not every list can be read', async () => {
  const oneMissing: Answer = url => (url.includes('/secrets?') ? [403, '{}'] : EMPTY(url));
  await expect(started(oneMissing, ['--prefix', 'acc-k3x9w2ab'])).rejects.toThrow('already cannot be read');
  expect(await started(oneMissing, [])).toMatchObject({ code: 2, asked: ['asked'] });
});

test('a region that Cloud Run does not have is refused', async () => {
  const locations = '{"locations":[{"locationId":"us-east1"},{"locationId":"asia-northeast1"},{"locationId":{}}]}';
  const answer: Answer = url => (url.includes('/locations?') ? [200, locations] : EMPTY(url));
  const refused = started(answer, ['--region', 'asia-nowhere9']);
  await expect(refused).rejects.toThrow(UsageError);
  await expect(refused).rejects.toThrow('has no region asia-nowhere9. It has asia-northeast1, us-east1.');
});

test('a run that is stopped while it lists makes nothing and does not ask', async () => {
  const stopped = await started(EMPTY, ['--yes'], AbortSignal.abort());
  expect(stopped).toMatchObject({ code: 1, asked: [] });
  expect(stopped.text).toMatch(/Nothing was made\.$/);
});

test('a file that cannot be written is told before anything is made', async () => {
  await expect(started(EMPTY, ['--record', folder()])).rejects.toThrow(/--record \S+ cannot be written: EISDIR/);
  await expect(started(EMPTY, ['--verdicts', folder()])).rejects.toThrow(/--verdicts \S+ cannot be written: EISDIR/);
});

test('a recording that cannot be written any more breaks no call, and is told to be incomplete', async () => {
  const file = join(folder(), 'run.jsonl');
  const session = openSession(optionsOf('--record', file), await endpoint(EMPTY));
  onTestFinished(() => session.caller.close());
  const lines: string[] = [];
  const end = recordRun(optionsOf('--record', file), session, line => lines.push(line));
  // As a disk that is full, or was taken away.
  rmSync(join(file, '..'), { recursive: true });
  expect(
    await session.caller.call('GET', `${API.secretmanager}/v1/projects/demo-project/secrets?pageSize=1`),
  ).toMatchObject({
    status: 200,
  });
  expect(end()).toBe(false);
  expect(lines.join('\n')).toContain(`The recording is not complete: ENOENT`);
  expect(lines.join('\n')).toContain(`${file}.unfinished, cleaned only once.`);
});

test.each([
  ['deep', `${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}`],
  ['a deep item', `{"secrets":[{"name":"x/y","labels":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}]}`],
  [
    'objects in the place of texts',
    '{"secrets":[{"name":{"toString":1},"labels":{"ai-tenant-owner-cluster":{"toString":1}}}]}',
  ],
  ['a page token that is no text', '{"nextPageToken":"\\ud800"}'],
  ['an id that would lead elsewhere', '{"secrets":[{"name":"projects/1/secrets/acc-k3x9w2ab-a\\\\..\\\\somebody"}]}'],
])('an answer of any form crashes neither a list nor a clean-up: %s', async (_, text) => {
  let pages = 0;
  const asked: string[] = [];
  const answer: Answer = url => {
    asked.push(url);
    return url.includes('/secrets?') && ++pages < 20 ? [200, text] : EMPTY(url);
  };
  const env = await endpoint(answer);
  const session = openSession(optionsOf(), env);
  onTestFinished(() => session.caller.close());
  await listProject(session.caller.call, 'demo-project', ['us-east1']);
  const lines: string[] = [];
  await cleanUpEarlierRuns(optionsOf('--clean-up', '--prefix', 'acc-k3x9w2ab'), env, line => lines.push(line));
  expect(lines.join('\n')).toMatch(/^acc-k3x9w2ab: (nothing is left in|not removed from) project demo-project/);
  expect(asked.filter(url => url.includes('somebody'))).toEqual([]);
});

test('what answers have in them is no command to a terminal or a CI system; our own colours stay', () => {
  const hostile = 'HTTP 400: \u001b]0;title\u0007\u001b[2J\u202ea\r\n::error::b\n  ::set-output name=x::y\n##[error]c';
  const shown = shownText(`\u001b[31mREFUTED\u001b[39m  ${hostile}`);
  expect(shown.split('\n')).toEqual([
    '\u001b[31mREFUTED\u001b[39m  HTTP 400:  ]0;title [2J a ',
    ': :error::b',
    '  : :set-output name=x::y',
    '# #[error]c',
  ]);
});

test.each([
  ['an empty file', '', 'line 1 is not the head of a recording'],
  ['half a line', '{"recording":1,"pro', 'line 1 is not a JSON object'],
  [
    'a deep value',
    `{"recording":1,"project":"p","number":"n","x":${'['.repeat(9_000)}${']'.repeat(9_000)}}`,
    'line 1 is',
  ],
  ['a method that is none', { method: 'CONNECT' }, 'the exchange 1 has the method "CONNECT"'],
  ['an address that is none', { url: 'x' }, 'the exchange 1 has a url that is none'],
  ['no time', { when: 'yesterday' }, 'the exchange 1 has no time in when'],
  ['headers that are none', { requestHeaders: { accept: 7 } }, 'the exchange 1 has requestHeaders that are no map'],
  ['no body', { body: undefined }, 'the exchange 1 has no body'],
])('a recording that cannot be replayed names what is wrong: %s', (_, given, said) => {
  const head = '{"recording":1,"project":"project-1","number":"number-1"}';
  const sound = { method: 'GET', url: `${API.run}/v2/x`, status: 200, when: '2026-01-01T00:00:00Z', body: {} };
  const file = join(folder(), 'hostile.jsonl');
  writeFileSync(file, typeof given === 'string' ? given : `${head}\n${JSON.stringify({ ...sound, ...given })}\n`);
  expect(() => readRecording(file)).toThrow(said);
});
