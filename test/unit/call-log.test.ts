import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CallEnd, instrument } from '../../operator/gcp/callHooks.ts';
import { rpc } from '../../operator/gcp/methods.ts';
import { createCallLog } from '../../operator/process/callLog.ts';
import { createLog } from '../../operator/process/log.ts';
import type { GcpCode } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

function setUp() {
  const runtime = fakeRuntime();
  const lines: { level: string; message: string; at: number; fields: JsonObject }[] = [];
  const logCall = createCallLog((level, message, fields = {}) => {
    lines.push({ level, message, at: runtime.monotonic(), fields });
  }, runtime);
  const end = (code: CallEnd['code'], project = 'p-1', write = false) =>
    logCall({
      method: rpc.getService,
      api: 'run',
      write,
      resource: `projects/${project}/locations/r/services/s`,
      code,
      message: 'said no',
      durationMs: 5,
    });
  return { runtime, lines, end, loud: () => lines.filter(({ level }) => level !== 'debug') };
}

describe('the log of calls', () => {
  test('has a debug line for each call, with what it was about', () => {
    const { lines, end } = setUp();
    end('OK');
    expect(lines).toMatchObject([{ level: 'debug', fields: { method: rpc.getService, code: 'OK', ms: 5 } }]);
  });

  test('says once a minute that reads fail, how often and why, and once that it is over', async () => {
    const { runtime, end, loud } = setUp();
    for (let second = 0; second < 150; second++) {
      end('UNAVAILABLE');
      await runtime.advance(1_000);
    }
    expect(loud().map(({ at, fields }) => [at, fields.failures])).toEqual([
      [0, 1],
      [60_000, 61],
      [120_000, 121],
    ]);
    expect(loud()[0]).toMatchObject({
      level: 'warn',
      fields: { api: 'run', project: 'p-1', code: 'UNAVAILABLE', error: 'said no' },
    });
    end('OK', 'another');
    await runtime.advance(60_000);
    for (let i = 0; i < 5; i++) end('OK');
    expect(loud().slice(3)).toMatchObject([{ level: 'info', fields: { project: 'p-1', failures: 150 } }]);
  });

  test('has no warning for what is not there, nor for a write, which is logged with its tenant', () => {
    const { end, loud } = setUp();
    end('NOT_FOUND');
    end('UNAVAILABLE', 'p-1', true);
    expect(loud()).toEqual([]);
  });

  test('has at most one warning a minute for each project and code, whatever fails', async () => {
    const code = fc.constantFrom<GcpCode | 'OK'>('UNAVAILABLE', 'PERMISSION_DENIED', 'OK');
    const call = fc.record({ code, project: fc.constantFrom('a-1', 'b-1'), ms: fc.integer({ min: 0, max: 50_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 80 }), async calls => {
        const { runtime, end, loud } = setUp();
        for (const { code, project, ms } of calls) {
          end(code, project);
          await runtime.advance(ms);
        }
        const last = new Map<string, number>();
        for (const { level, at, fields } of loud()) {
          const key = `${level} ${fields.project} ${fields.code}`;
          expect(at - (last.get(key) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(60_000);
          last.set(key, at);
        }
        const failed = new Set(
          calls.filter(({ code }) => code !== 'OK').map(({ code, project }) => `${project} ${code}`),
        );
        const warned = new Set(
          loud()
            .filter(({ level }) => level === 'warn')
            .map(({ fields }) => `${fields.project} ${fields.code}`),
        );
        expect(warned).toEqual(failed);
      }),
      { numRuns: 50 },
    );
  });

  test('knows the resource of every kind of request', async () => {
    const names: string[] = [];
    const call = instrument(async () => ({ ok: true, response: {} }), fakeRuntime(), {
      after: end => names.push(end.resource),
    });
    for (const request of [
      { name: 'a' },
      { parent: 'b' },
      { resource: 'c' },
      { service: { name: 'd' } },
      { serviceAccount: { name: 'e' } },
      {},
    ]) {
      await call(rpc.getService, request);
    }
    expect(names).toEqual(['a', 'b', 'c', 'd', 'e', '']);
  });
});

test('A line of the log keeps its message, time and severity, whatever a field is called', () => {
  const lines: string[] = [];
  const log = createLog(
    'info',
    () => 0,
    line => lines.push(line),
  );
  log('warn', 'the message', { message: 'of a field', severity: 'x', time: 'y', tenant: 'n/t' });
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    time: '1970-01-01T00:00:00.000Z',
    severity: 'WARN',
    message: 'the message',
    message_: 'of a field',
    severity_: 'x',
    time_: 'y',
    tenant: 'n/t',
  });
});
