import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Json } from '../../ports/json.ts';
import { acceptance } from '../acceptance/acceptance.ts';
import { type CleanUp, cleanUp } from '../acceptance/cleanUp.ts';
import { cleanUpEarlierRuns } from '../acceptance/earlierRuns.ts';
import type { Call, Exchange } from '../acceptance/exchange.ts';
import type { JournalEntry } from '../acceptance/journal.ts';
import { readOptions } from '../acceptance/options.ts';
import { differences } from '../acceptance/projectList.ts';

const PREFIX = 'acc-k3x9w2ab';
const NOT_FOUND = { error: { code: 404, status: 'NOT_FOUND', message: 'not there' } };

type Answer = [status: number, body: Json];

/** Cleans up with a server of this script: answers by method and path; the lists are empty, and everything else is not found. */
async function cleaned(
  entries: JournalEntry[],
  script: (method: string, path: string, asked: number) => Answer | undefined,
  over: Partial<CleanUp> = {},
) {
  const calls: string[] = [];
  const permitted: string[] = [];
  const call: Call = async (method, url) => {
    const path = new URL(url).pathname;
    calls.push(`${method} ${path}`);
    const asked = calls.filter(one => one === `${method} ${path}`).length;
    const isList = /\/(serviceAccounts|secrets|services)$/.test(path);
    const [status, body] = script(method, path, asked) ?? (isList ? [200, {}] : [404, NOT_FOUND]);
    return { status, body, method, url } as Exchange;
  };
  const left = await cleanUp({
    call,
    project: 'demo-project',
    prefix: PREFIX,
    regions: ['asia-northeast1'],
    entries,
    settleMs: 0,
    pollMs: 1,
    permit: id => permitted.push(id),
    ...over,
  });
  return { left, calls, permitted, deletes: calls.filter(one => one.startsWith('DELETE')) };
}

const account = (id: string, at = 0): JournalEntry => ({ kind: 'account', id, at });
const accountPath = (id: string) =>
  `/v1/projects/demo-project/serviceAccounts/${id}@demo-project.iam.gserviceaccount.com`;

test('an account that is not visible yet is asked for again until it is old enough, and deleted', async () => {
  const id = `${PREFIX}-a`;
  const { left, deletes } = await cleaned(
    [account(id, Date.now())],
    (method, path, asked) => (method === 'DELETE' && path === accountPath(id) && asked >= 4 ? [200, {}] : undefined),
    { settleMs: 5_000 },
  );
  expect(left).toEqual([]);
  expect(deletes).toHaveLength(4);
});

test('an account without the prefix is deleted only if its description says that a run made it', async () => {
  const marked = await cleaned([account('a-b7x')], (method, path) =>
    path === accountPath('a-b7x')
      ? [200, method === 'GET' ? { description: 'ai-acceptance-expires=1' } : {}]
      : undefined,
  );
  expect(marked).toMatchObject({ left: [], permitted: ['a-b7x'], deletes: [`DELETE ${accountPath('a-b7x')}`] });

  const foreign = await cleaned([account('a-b7x')], (_, path) =>
    path === accountPath('a-b7x') ? [200, { description: "somebody's" }] : undefined,
  );
  expect(foreign).toMatchObject({ left: [], permitted: [], deletes: [] });
});

test('a delete that conflicts is made again; one that is not there is told at once', async () => {
  const secret: JournalEntry = { kind: 'secret', id: `${PREFIX}-s`, at: 0 };
  const list: Json = { secrets: [{ name: `projects/1/secrets/${PREFIX}-s` }, { name: 'projects/1/secrets/somebody' }] };
  let isThere = true;
  const conflicting = await cleaned([secret], (method, path, asked) => {
    if (path.endsWith('/secrets')) return [200, isThere ? list : {}];
    if (method !== 'DELETE') return undefined;
    if (asked < 3) return [409, { error: { code: 409, status: 'ABORTED', message: 'again' } }];
    isThere = false;
    return [200, {}];
  });
  expect(conflicting.left).toEqual([]);
  expect(new Set(conflicting.deletes)).toEqual(new Set([`DELETE /v1/projects/demo-project/secrets/${PREFIX}-s`]));

  const pages = await cleaned([secret], method => (method === 'DELETE' ? [200, '<!DOCTYPE html>'] : undefined));
  expect(pages.left).toEqual([`secret ${PREFIX}-s cannot be deleted: HTTP 200: <!DOCTYPE html>`]);
  expect(pages.deletes).toHaveLength(1);
});

test('what the journal names is deleted also where nothing can be listed', async () => {
  const service: JournalEntry = { kind: 'service', id: `ai-platform-${PREFIX}-a`, region: 'europe-west1', at: 0 };
  const { left, deletes } = await cleaned([service], (method, path) =>
    /\/(serviceAccounts|secrets|services)$/.test(path)
      ? [404, 'no']
      : method === 'DELETE'
        ? [200, { name: 'x' }]
        : undefined,
  );
  expect(left).toEqual([]);
  expect(deletes).toEqual([`DELETE /v2/projects/demo-project/locations/europe-west1/services/ai-platform-${PREFIX}-a`]);
});

test('a clean-up leaves a run alone that is still going on, and says how to remove it', async () => {
  const state = mkdtempSync(join(tmpdir(), 'acceptance-running-'));
  onTestFinished(() => rmSync(state, { recursive: true }));
  mkdirSync(state, { recursive: true });
  const expires = String(Math.ceil(Date.now() / 1000) + 600);
  const header = { project: 'demo-project', prefix: PREFIX, expires, regions: ['asia-northeast1'], pid: process.pid };
  // A run that was killed may have left the last line incomplete.
  writeFileSync(join(state, `${PREFIX}.jsonl`), `${JSON.stringify(header)}\n{"kind":"secret","id":"acc-`);
  const options = readOptions(['--project', 'demo-project', '--clean-up', '--state', state], {});
  if (options === 'help') throw new Error('not help');
  const lines: string[] = [];
  // Nothing listens there.
  const env = { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://127.0.0.1:1/' };
  await cleanUpEarlierRuns(options, env, line => lines.push(line));
  expect(lines.join('\n')).toContain(`${PREFIX} is left alone: its run may be going on as process ${process.pid}.`);
});

test('a list that fails for a moment is read again, and without a journal one that cannot be read is told', async () => {
  const outage = await cleaned([], (_, path, asked) =>
    path.endsWith('/secrets') && asked < 3 ? [503, 'busy'] : undefined,
  );
  expect(outage.left).toEqual([]);
  expect(outage.calls.filter(one => one.endsWith('/secrets'))).toHaveLength(3);

  const forbidden = await cleaned([], (_, path) => (path.endsWith('/secrets') ? [403, 'no'] : undefined));
  expect(forbidden.left).toEqual(['the secrets cannot be listed: HTTP 403: no']);
});

test('what one of two lists could not read is no difference', () => {
  const others = [
    { kind: 'secret', id: 'a', state: '1' },
    { kind: 'service', id: 'b', region: 'r', state: '1' },
    { kind: 'service', id: 'c', region: 's', state: '1' },
  ] as const;
  const problem = { kind: 'service', region: 'r', text: '', again: true } as const;
  const after = {
    items: [
      { ...others[0], state: '2' },
      { ...others[0], id: `${PREFIX}-x` },
    ],
    problems: [problem],
  };
  const found = differences({ items: [...others], problems: [] }, after, id => id.startsWith(PREFIX));
  expect(found).toEqual(['service c in s is gone', 'secret a has changed']);
});

test('what has the prefix and no expiry is left alone and told; with the expiry of others only what has expired is removed', async () => {
  const secret = (id: string, expires?: string): Json => ({
    name: `projects/1/secrets/${id}`,
    ...(expires && { labels: { 'ai-acceptance-expires': expires } }),
  });
  const list: Json = {
    secrets: [secret(PREFIX), secret(`${PREFIX}-api`, '4000000000'), secret(`${PREFIX}-old`, '1000000000')],
  };
  const deletes = new Set<string>();
  const server = (method: string, path: string): Answer | undefined => {
    if (path.endsWith('/secrets')) {
      const there = (list as { secrets: { name: string }[] }).secrets.filter(
        ({ name }) => !deletes.has(name.split('/').at(-1) ?? ''),
      );
      return [200, { secrets: there }];
    }
    if (method !== 'DELETE') return undefined;
    deletes.add(path.split('/').at(-1) ?? '');
    return [200, {}];
  };
  const expired = await cleaned([], server, { expiredBefore: 2_000_000_000 });
  expect([...deletes]).toEqual([`${PREFIX}-old`]);
  expect(expired.left).toEqual([
    `secret ${PREFIX} has no ai-acceptance-expires, so no run has made it, and it is left alone`,
    `secret ${PREFIX}-api has not expired yet and is left alone`,
  ]);

  const named = await cleaned([], server);
  expect([...deletes]).toEqual([`${PREFIX}-old`, `${PREFIX}-api`]);
  expect(named.left).toHaveLength(1);
});

test('a thing that cannot be asked for stops the clean-up of no other', async () => {
  const secret = (id: string): JournalEntry => ({ kind: 'secret', id, at: 0 });
  const { left, deletes } = await cleaned([secret(`${PREFIX}-a`), secret(`${PREFIX}-b`)], (method, path) => {
    if (method === 'DELETE' && path.endsWith('-a')) throw new Error('not sent');
    return undefined;
  });
  expect(left).toEqual([`secret ${PREFIX}-a cannot be deleted: not sent`]);
  expect(deletes).toHaveLength(2);
});

/** A folder of journals, and a clean-up from there at an endpoint where nothing listens. */
function folderOfJournals() {
  const state = mkdtempSync(join(tmpdir(), 'acceptance-journals-'));
  onTestFinished(() => rmSync(state, { recursive: true, force: true }));
  const lines: string[] = [];
  const run = async (...flags: string[]) => {
    const options = readOptions(['--project', 'demo-project', '--state', state, ...flags], {});
    if (options === 'help') throw new Error('not help');
    const env = { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: await emptyCloud() };
    return options.mode === 'cleanUp'
      ? cleanUpEarlierRuns(options, env, line => lines.push(line))
      : acceptance(options, env, {
          print: line => lines.push(line),
          confirm: async () => false,
          signal: new AbortController().signal,
        });
  };
  return { state, lines, run, file: join(state, `${PREFIX}.jsonl`) };
}

/** An endpoint at which every list is empty and nothing is found. */
async function emptyCloud(): Promise<string> {
  const server = http.createServer(({ url = '' }, response) => {
    const isList = /\/(serviceAccounts|secrets|services|locations)(\?|$)/.test(url);
    response.writeHead(isList ? 200 : 404, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isList ? {} : NOT_FOUND));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => server.closeAllConnections());
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const header = (expires = '1') => ({
  project: 'demo-project',
  prefix: PREFIX,
  expires,
  regions: ['asia-northeast1'],
  pid: 0,
});

test('a journal of any content is cleaned up: a second header, half a line, lines that are no entries', async () => {
  const { state, lines, run, file } = folderOfJournals();
  const entries = [account(`${PREFIX}-a`), header(), null, 7, [], {}, { kind: 'x', id: `${PREFIX}-x`, at: 0 }];
  writeFileSync(file, `${[header(), ...entries].map(line => JSON.stringify(line)).join('\n')}\n{"kind":"sec`);
  writeFileSync(join(state, 'acc-00000000.jsonl'), '');
  writeFileSync(join(state, 'acc-11111111.jsonl'), 'null\n{"prefix":"acc-1');
  expect(await run('--clean-up')).toBe(0);
  expect(lines).toEqual([`${PREFIX}: nothing is left in project demo-project.`]);
  expect(existsSync(file)).toBe(false);
});

test('a clean-up writes no journal, so that it works in a folder that cannot be written', async () => {
  const { state, run } = folderOfJournals();
  rmSync(state, { recursive: true });
  writeFileSync(state, 'a file is no folder');
  expect(await run('--clean-up', '--prefix', PREFIX)).toBe(0);
});

test('a run does not start with a prefix whose journal is here', async () => {
  const { run, file } = folderOfJournals();
  writeFileSync(file, `${JSON.stringify(header())}\n`);
  await expect(run('--prefix', PREFIX)).rejects.toThrow('has left its journal here');
});
