import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRoom, readJson } from '../../backend/body.ts';
import { readConfig } from '../../backend/config.ts';
import { callerAddress, callerKey, createGate, createRateLimit } from '../../backend/limits.ts';
import { createLog, errorFields, inOneWrite, scrubber } from '../../backend/log.ts';
import { Problem } from '../../backend/problem.ts';

const problemOf = (fn: () => unknown) => {
  try {
    fn();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  return undefined;
};

describe('configuration', () => {
  test('defaults are those of the contract', () => {
    expect(readConfig({})).toMatchObject({
      port: 8080,
      model: 'gpt-3.5-turbo',
      baseUrl: undefined,
      allowedOrigins: '*',
      proxies: 0,
      maxOutputTokens: undefined,
      startupCheckKey: false,
      key: { ok: false, problem: { status: 500, code: 'key_missing' } },
    });
  });

  test('a key loses the newline that its secret was written with', () => {
    expect(readConfig({ OPENAI_API_KEY: 'sk-abc\n' }).key).toEqual({ ok: true, value: 'sk-abc' });
  });

  test('a key that no header can hold is told apart, unquoted', () => {
    const { key } = readConfig({ OPENAI_API_KEY: 'sk-a\nsk-b' });
    expect(key).toMatchObject({ ok: false, problem: { code: 'key_malformed' } });
    expect(JSON.stringify(key)).not.toContain('sk-');
  });

  test('origins are compared in their normal form', () => {
    const { allowedOrigins } = readConfig({ ALLOWED_ORIGINS: 'https://App.Example.com:443/, http://localhost:3000' });
    expect(allowedOrigins).toEqual(['https://app.example.com', 'http://localhost:3000']);
  });

  test.each([
    ['PORT', '80a'],
    ['PORT', '65536'],
    ['MAX_CONCURRENCY', '-0'],
    ['MAX_CONCURRENCY', '0x10'],
    ['RATE_LIMIT_PER_MINUTE', '-1'],
    ['MODEL_TIMEOUT_SECONDS', '1e3'],
    ['MAX_OUTPUT_TOKENS', '-5'],
    ['TRUSTED_PROXIES', '-1'],
    ['STARTUP_CHECK_KEY', 'yes'],
    ['OPENAI_BASE_URL', 'file:///etc/passwd'],
    ['OPENAI_BASE_URL', 'api.openai.com'],
    ['ALLOWED_ORIGINS', 'app.tenant.test'],
  ])('%s=%s is refused by name, its value unquoted', (name, value) => {
    const refusal = () => readConfig({ [name]: value });
    expect(refusal).toThrow(name);
    expect(refusal).not.toThrow(value);
  });
});

test('--help names every variable of the reference, and starts nothing', () => {
  const { status, stdout } = spawnSync(process.execPath, ['backend/main.ts', '--help'], {
    encoding: 'utf8',
    env: { ...process.env, PORT: 'none' },
  });
  const reference = readFileSync(new URL('../../docs/backend.md', import.meta.url), 'utf8');
  const variables = [...reference.matchAll(/^\| ((?:`[A-Z_]+`(?:, )?)+) \|/gm)].flatMap(([, names = '']) =>
    names.replaceAll('`', '').split(', '),
  );
  expect(variables).toContain('STARTUP_CHECK_KEY');
  expect([...stdout.matchAll(/^ {2}((?:[A-Z_]+(?:, )?)+) /gm)].flatMap(([, names = '']) => names.split(', '))).toEqual(
    expect.arrayContaining(variables),
  );
  expect(status).toBe(0);
});

describe('the gate', () => {
  test('refuses what is beyond its places, and takes more once one is given back', () => {
    const gate = createGate(2);
    const leave = gate.enter();
    gate.enter();
    expect(problemOf(() => gate.enter())).toMatchObject({
      status: 503,
      code: 'overloaded',
      headers: { 'Retry-After': '1' },
    });
    leave();
    expect(problemOf(() => gate.enter())).toBeUndefined();
  });
});

describe('the rate limit', () => {
  test('lets a burst of a minute through, then refills evenly, for each caller alone', () => {
    let now = 0;
    const limit = createRateLimit(3, () => now);
    for (let i = 0; i < 3; i += 1) limit('a');
    expect(problemOf(() => limit('a'))).toMatchObject({
      status: 429,
      code: 'rate_limited',
      headers: { 'Retry-After': '20' },
    });
    expect(problemOf(() => limit('b'))).toBeUndefined();
    now = 19_999;
    expect(problemOf(() => limit('a'))).toMatchObject({ headers: { 'Retry-After': '1' } });
    now = 20_000;
    expect(problemOf(() => limit('a'))).toBeUndefined();
    expect(problemOf(() => limit('a'))).toBeDefined();
  });

  test('forgets the caller that was idle longest when there are too many', () => {
    const limit = createRateLimit(1, () => 0);
    limit('first');
    for (let i = 0; i < 9999; i += 1) limit(`caller ${i}`);
    expect(problemOf(() => limit('first'))).toBeDefined();
    limit('one more');
    // `first` was used after `caller 0`, so it is the latter that went.
    expect(problemOf(() => limit('first'))).toBeDefined();
    expect(problemOf(() => limit('caller 0'))).toBeUndefined();
  });
});

describe('whom a limit counts', () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  const groups = (length: number) => fc.array(group, { minLength: length, maxLength: length });
  const written = (all: number[], style: number) => {
    const hex = all.map(value => value.toString(16).padStart(style % 2 === 0 ? 4 : 0, '0'));
    return style > 1 ? hex.join(':').toUpperCase() : hex.join(':');
  };

  test('an IPv6 caller counts by its /64, however its address is written', () => {
    fc.assert(
      fc.property(groups(4), groups(4), groups(4), fc.nat(3), fc.nat(3), (network, a, b, one, other) => {
        fc.pre(network.some(value => value !== 0));
        expect(callerKey(written([...network, ...a], one))).toBe(callerKey(written([...network, ...b], other)));
        const elsewhere = network.with(3, (network[3] ?? 0) ^ 1);
        fc.pre(elsewhere.some(value => value !== 0));
        expect(callerKey(written([...elsewhere, ...a], one))).not.toBe(callerKey(written([...network, ...a], one)));
      }),
    );
    expect(callerKey('2001:db8::1')).toBe(callerKey('2001:DB8:0:0:ffff::'));
    expect(callerKey('fe80::1%eth0')).toBe(callerKey('fe80::2'));
  });

  test('an IPv4 caller counts by its address, also where that is written as IPv6', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), (one, other) => {
        expect(callerKey(one)).toBe(one);
        expect(callerKey(`::ffff:${one}`)).toBe(one);
        expect(callerKey(`[::ffff:${one}]`)).toBe(one);
        expect(callerKey(one) === callerKey(other)).toBe(one === other);
      }),
    );
  });

  test('the port of a caller, where a proxy writes it, makes no other caller of it', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.integer({ min: 1, max: 65_535 }), (v4, v6, port) => {
        expect(callerKey(`${v4}:${port}`)).toBe(callerKey(v4));
        expect(callerKey(`[${v6}]:${port}`)).toBe(callerKey(v6));
      }),
    );
  });

  test('the trusted proxies’ entries are passed over; what stands before them is only a claim', () => {
    fc.assert(
      fc.property(
        fc.array(fc.ipV4(), { maxLength: 4 }),
        fc.ipV4(),
        fc.array(fc.ipV4(), { maxLength: 3 }),
        (claims, caller, via) => {
          const header = [...claims, caller, ...via].join(', ');
          expect(callerAddress(header, 'peer', via.length + 1)).toBe(caller);
        },
      ),
    );
    expect(callerAddress('192.0.2.1', 'peer', 0), 'nobody in front').toBe('peer');
    expect(callerAddress('', 'peer', 2)).toBe('peer');
    expect(callerAddress('192.0.2.1', 'peer', 3), 'fewer than said').toBe('192.0.2.1');
  });

  test('TRUSTED_PROXIES counts beside Cloud Run’s own front end', () => {
    expect(readConfig({ TRUSTED_PROXIES: '1' }).proxies).toBe(1);
    expect(readConfig({ K_SERVICE: 'x' }).proxies).toBe(1);
    expect(readConfig({ K_SERVICE: 'x', TRUSTED_PROXIES: '1' }).proxies).toBe(2);
  });
});

describe('the log', () => {
  const key = 'proj-"quoted"\\key-0123456789';
  const lines: string[] = [];
  const log = createLog(line => lines.push(line), scrubber([key]));

  test('writes one line of JSON, scrubbed of the key and of what looks like one', () => {
    log('ERROR', `refused ${key}`, { path: `/x/${key}`, other: 'sk-proj-AbCdEfGhIjKl', status: 500 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      severity: 'ERROR',
      message: 'refused [redacted]',
      path: '/x/[redacted]',
      other: '[redacted]',
      status: 500,
    });
  });

  test('writes the lines of one turn of the event loop together and in order, and what is left at the end', async () => {
    const written: string[] = [];
    const { write, flush } = inOneWrite(text => written.push(text));
    write('a\n');
    write('b\n');
    expect(written).toEqual([]);
    await setImmediate();
    expect(written).toEqual(['a\nb\n']);

    write('c\n');
    flush();
    await setImmediate();
    expect(written).toEqual(['a\nb\n', 'c\n']);
  });

  test('tells of an exception where it was thrown, never its text', () => {
    const fields = errorFields(new TypeError('the caller said: hello\nand more'));
    expect(fields).toMatchObject({ error: 'TypeError', stack: expect.stringContaining('backend.test.ts') });
    expect(JSON.stringify(fields)).not.toMatch(/hello|and more/);
  });
});

describe('reading a body', () => {
  async function outcomeOf(send: (port: number) => void): Promise<unknown> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = once(server, 'request');
    send((server.address() as AddressInfo).port);
    const [req] = await asked;
    const outcome = await readJson(req, { maxBytes: 20, timeoutMs: 200, room: createRoom(100) }).catch(
      (error: unknown) => error,
    );
    server.closeAllConnections();
    server.close();
    return outcome;
  }
  const post = (port: number, headers: Record<string, string | number> = {}) => {
    const req = request({ port, method: 'POST', headers });
    req.on('error', () => {});
    return req;
  };

  test('takes pieces that cut a character in two', async () => {
    const bytes = Buffer.from('"日本語"');
    const outcome = outcomeOf(port => {
      const req = post(port);
      req.write(bytes.subarray(0, 3));
      setTimeout(() => req.end(bytes.subarray(3)), 20);
    });
    expect(await outcome).toBe('日本語');
  });

  test('gives up on one that drips in, and on the connection', async () => {
    const outcome = outcomeOf(port => post(port, { 'Content-Length': 10 }).write('{'));
    expect(await outcome).toMatchObject({ status: 408, code: 'body_too_slow', headers: { Connection: 'close' } });
  });

  test('notices a caller that goes away in the middle', async () => {
    const outcome = outcomeOf(port => {
      const req = post(port, { 'Content-Length': 10 });
      req.write('{', () => setTimeout(() => req.destroy(), 20));
    });
    expect(await outcome).toMatchObject({ code: 'caller_gone' });
  });

  test('together with others takes only the room that there is: those that began first are given up', async () => {
    const limits = { maxBytes: 20, timeoutMs: 60_000, room: createRoom(60) };
    const send = (length: number) => {
      const req = new PassThrough() as unknown as IncomingMessage & PassThrough;
      req.headers = {};
      const outcome = readJson(req, limits).catch((error: unknown) => error);
      req.write(' '.repeat(length));
      return { req, outcome };
    };
    // Those that end or go away give their room back.
    for (let i = 0; i < 10; i++) {
      const { req, outcome } = send(19);
      if (i % 2 === 0) req.end('1');
      else req.destroy();
      expect(await outcome).toEqual(i % 2 === 0 ? 1 : expect.objectContaining({ code: 'caller_gone' }));
    }
    const [first, second, third, fourth] = [send(15), send(15), send(15), send(18)];
    const refused = { status: 503, code: 'overloaded', headers: { 'Retry-After': '1', Connection: 'close' } };
    expect(await first.outcome).toMatchObject(refused);
    for (const { req } of [second, third, fourth]) req.end('2');
    expect(await Promise.all([second, third, fourth].map(({ outcome }) => outcome))).toEqual([2, 2, 2]);
  });

  test.each([
    ['by its length alone', { 'Content-Length': 21 }],
    ['by counting', {}],
  ])('refuses one that is too large, %s', async (_, headers) => {
    const outcome = outcomeOf(port => post(port, headers).write('x'.repeat(21)));
    expect(await outcome).toMatchObject({ status: 413, code: 'body_too_large' });
  });
});
