import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startOpenAi } from '../../sandbox/openai/server.ts';

/** Prints, at the end of a process, whether it has loaded Node.js's fetch; asking for `Headers` would load it. */
const TELL =
  "data:text/javascript,process.on('exit',()=>console.log('fetch='+process.moduleLoadList.some(m=>/undici/.test(m))))";

test.each([
  ['a whole', {}],
  ['a streamed', { Accept: 'text/event-stream' }],
])(
  "%s answer of the bundled backend needs nothing of Node.js's fetch, which would slow down its start",
  async (_, headers) => {
    const folder = mkdtempSync(join(tmpdir(), 'aitenant-bundle-'));
    const model = await startOpenAi();
    try {
      execFileSync(process.execPath, ['scripts/bundle.mjs', `--outdir=${folder}`, 'backend']);
      const env = {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: '0',
        OPENAI_API_KEY: 'sk-x',
        OPENAI_BASE_URL: model.url,
      };
      const child = spawn(process.execPath, [`--import=${TELL}`, join(folder, 'backend.mjs')], { env });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      await expect.poll(() => text, { timeout: 20_000 }).toContain('"port":');
      const url = `http://127.0.0.1:${/"port":(\d+)/.exec(text)?.[1]}/chat`;

      const answer = await fetch(url, { method: 'POST', headers, body: '{"message":"Hello"}' });

      expect(await answer.text()).toContain('heard');
      child.kill('SIGTERM');
      await once(child, 'close');
      expect(text).toContain('fetch=false');
    } finally {
      await model.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
