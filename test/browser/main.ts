import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Locator, type Page } from 'playwright-core';
import { commandLine } from '../../scripts/commandLine.ts';
import { printNow } from '../../scripts/printNow.ts';

const USAGE = `Usage: npm run test:browser [-- --screens]

Starts a sandbox and uses its console in a real browser: every button in both languages, by keyboard and by mouse. With --screens
it also makes docs/screens/console-*.png anew. It needs Debian's package chromium, or another Chromium that CHROMIUM names.
The last line is "N passed, M failed"; exit code 0 if nothing failed.
`;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WAIT_MS = 30_000;
const { values } = commandLine(USAGE, { options: { screens: { type: 'boolean' } } });
const executablePath = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome']
  .map(name => name && spawnSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8' }).stdout?.trim())
  .find(Boolean);
if (!executablePath) {
  console.log('NOT RUN: npm run test:browser: there is no Chromium (Debian package chromium), and CHROMIUM names none');
  process.exit(0);
}

type Language = 'en' | 'ja';
const COLUMN = { en: 2, ja: 3 };
const table = readFileSync(join(ROOT, 'sandbox/console/page/words.md'), 'utf8')
  .split('\n')
  .map(line => line.split(/ *\| */));
const word = (language: Language, key: string): string => {
  const text = table.find(cells => cells[1] === key)?.[COLUMN[language]];
  if (!text) throw new Error(`words.md has no ${key}`);
  return text;
};

let passed = 0;
const failures: string[] = [];
async function check(name: string, act: () => Promise<void>): Promise<void> {
  const start = performance.now();
  try {
    await act();
    passed++;
    console.log(`  ✓ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures.push(name);
    console.log(`  ✗ ${name}\n${error instanceof Error ? error.stack : error}`);
    for (const context of browser.contexts())
      for (const page of context.pages()) console.log(`--- ${await page.locator('main').innerText()}`);
  }
}

function equal(actual: unknown, expected: unknown, what: string): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) throw new Error(`${what} is ${is} and not ${should}`);
}

/** Waits until the condition holds. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`After ${WAIT_MS / 1000} s still not: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

/** The first of a row of ports that are free now. They are below those that a system gives to connections. */
async function freePorts(): Promise<number> {
  const first = 20_000 + Math.floor(Math.random() * 240) * 50;
  const servers = Array.from({ length: 40 }, () => createServer());
  const listening = servers.map(
    (server, at) =>
      new Promise<boolean>(resolve => {
        server.once('error', () => resolve(false));
        server.listen(first + at, '127.0.0.1', () => resolve(true));
      }),
  );
  const areFree = (await Promise.all(listening)).every(Boolean);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return areFree ? first : freePorts();
}

const base = await freePorts();
const state = mkdtempSync(join(tmpdir(), 'console-'));
const sandbox = spawn(process.execPath, ['sandbox/main.ts', '--state', state, '--port-base', String(base)], {
  cwd: ROOT,
  stdio: ['ignore', 'pipe', 'inherit'],
});
let output = '';
sandbox.stdout.setEncoding('utf8').on('data', text => {
  output += text;
});
const browser = await chromium.launch({ executablePath });
const consoleUrl = `http://127.0.0.1:${base + 5}`;
const requests: string[] = [];
const complaints: string[] = [];
/** A console in one language, with the tenant on which its buttons are pressed. */
interface Desk {
  language: Language;
  tenant: string;
  page: Page;
}

async function openDesk(language: Language, tenant: string): Promise<Desk> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(WAIT_MS);
  page.on('request', request => requests.push(request.url()));
  page.on('console', message => complaints.push(`${language} ${message.type()}: ${message.text()}`));
  page.on('pageerror', error => complaints.push(`${language}: ${error.message}`));
  await page.goto(`${consoleUrl}/?lang=${language}#default/${tenant}`);
  return { language, tenant, page };
}

async function post(port: number, path: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}

/** Creates a second tenant as a user would. */
async function createTenant(name: string): Promise<void> {
  const secret = `${name}-openai-key`;
  const secrets = 'v1/projects/demo-project/secrets';
  const labels = { 'ai-tenant-namespace': 'default' };
  await post(base + 1, `${secrets}?secretId=${secret}`, { replication: { automatic: {} }, labels });
  const data = Buffer.from('sk-sandbox-tenant-b').toString('base64');
  await post(base + 1, `${secrets}/${secret}:addVersion`, { payload: { data } });
  await post(base, 'apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants', {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name },
    spec: {
      region: 'asia-northeast1',
      keys: [{ name: 'openai', secretRef: { external: secret }, env: 'OPENAI_API_KEY' }],
    },
  });
}

const isFocused = async (page: Page, control: Locator) => (await control.and(page.locator(':focus')).count()) === 1;

/** Presses a button: in English by keyboard alone, from where the focus is, in Japanese with the mouse. */
async function press({ language, page }: Desk, button: Locator): Promise<void> {
  await until('the button is not disabled', async () => (await button.getAttribute('aria-disabled')) !== 'true');
  if (language === 'ja') return button.click();
  for (let presses = 0; !(await isFocused(page, button)); presses++) {
    if (presses > 60) throw new Error('60 presses of Tab do not reach the button');
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
}

const cardOf = ({ page }: Desk, what: string) => page.locator(`[data-card=${what}]`);
const buttonOf = (desk: Desk, what: string) => cardOf(desk, what).getByRole('button');
const stationOf = ({ page }: Desk, name: string) => page.locator(`[data-station=${name}]`);
const checkNow = (desk: Desk) => press(desk, desk.page.locator('[data-action=check]'));
const ready = ({ page }: Desk, value: string) => page.locator(`[data-ready="${value}"]`).waitFor();
const isGood = async (desk: Desk) => {
  await ready(desk, 'True UpToDate');
  for (const name of ['account', 'grants', 'service', 'url'])
    await desk.page.locator(`[data-station=${name}].ok`).waitFor();
};

/** Breaks one thing, sees what the operator says, and puts it right. The button keeps its focus and becomes the other one. */
async function breakAndMend(desk: Desk, what: string, reason: string, seen: () => Promise<void>): Promise<void> {
  const { language, page } = desk;
  const button = buttonOf(desk, what);
  equal(await button.textContent(), word(language, `${what}.break`), 'the label');
  await press(desk, button);
  await cardOf(desk, what).and(page.locator('.bad')).waitFor();
  await page
    .locator('.moments li', { hasText: word(language, `${what}.break`) })
    .first()
    .waitFor();
  equal(await isFocused(page, button), true, 'the focus on the button');
  await checkNow(desk);
  await ready(desk, `False ${reason}`);
  await seen();
  equal(await button.textContent(), word(language, `${what}.mend`), 'the label');
  await press(desk, button);
  await cardOf(desk, what).and(page.locator(':not(.bad)')).waitFor();
  await checkNow(desk);
  await isGood(desk);
}

/** Breaks something that the operator mends. `event` is a part of the event by which it says so. */
async function breakAndHeal(desk: Desk, what: string, event: string): Promise<void> {
  await press(desk, buttonOf(desk, what));
  await checkNow(desk);
  // An event that has occurred before keeps its line, which moves to the top.
  await until(`an event ${event} after the press`, async () => {
    const lines = await desk.page.locator('.moments li').allTextContents();
    const at = (text: string) => lines.findIndex(line => line.includes(text));
    return at(event) >= 0 && at(event) < at(word(desk.language, `${what}.break`));
  });
  await cardOf(desk, what).and(desk.page.locator(':not(.bad)')).waitFor();
  await isGood(desk);
}

async function useChat(desk: Desk, message: string): Promise<void> {
  const { page } = desk;
  const answers = page.locator('.chat .answer', { hasText: `heard: ${message}` });
  const before = await answers.count();
  await page.locator('#message').fill(message);
  await page.locator('#message').press('Enter');
  await until('an answer', async () => (await answers.count()) > before);
}

async function screenshot({ page, language }: Desk, name: string): Promise<void> {
  if (!values.screens) return;
  const path = join(ROOT, `docs/screens/console-${name}-${language}.png`);
  await page.screenshot({ path, fullPage: true });
  console.log(path.slice(ROOT.length));
}

/** Everything that one user does at the console, in order. */
async function useConsole(desk: Desk): Promise<void> {
  const { language, page, tenant } = desk;
  const named = (what: string) => `${language}: ${what}`;
  const isBad = (station: string) => page.locator(`[data-station=${station}].bad`).waitFor();
  await check(named('shows the tenant with four green checks'), async () => {
    await isGood(desk);
    equal(await page.locator('html').getAttribute('lang'), language, 'the language');
    equal(await page.locator('h1').textContent(), word(language, 'title'), 'the heading');
    equal(await page.locator('nav [aria-current=page] strong').textContent(), tenant, 'the chosen tenant');
  });
  await check(named('calls the tenant'), async () => {
    await useChat(desk, language === 'ja' ? 'こんにちは' : 'Hello');
    await screenshot(desk, 'ready');
  });
  await check(named('key'), () =>
    breakAndMend(desk, 'key', 'DependencyNotReady', async () => {
      await isBad('grants');
      await screenshot(desk, 'broken');
    }),
  );
  await check(named('consent'), () => breakAndMend(desk, 'consent', 'SecretNotAllowed', () => isBad('grants')));
  await check(named('permission'), () => breakAndMend(desk, 'permission', 'PermissionDenied', () => isBad('grants')));
  await check(named('drift'), () => breakAndHeal(desk, 'drift', 'maxInstances: 1 → 10'));
  await check(named('deletion'), () => breakAndHeal(desk, 'deletion', 'in asia-northeast1: image = '));
  await check(named('image: the old revision keeps the traffic'), async () =>
    breakAndMend(desk, 'image', 'UpdateFailed', async () => {
      const revisions = stationOf(desk, 'service').locator('meter');
      equal(await revisions.nth(0).getAttribute('value'), '0', 'the traffic of the bad revision');
      equal(await revisions.nth(1).getAttribute('value'), '100', 'the traffic of the good revision');
      await useChat(desk, 'still there');
    }),
  );
  await check(named('shows answers and events as text, markup and all'), async () => {
    const markup = '<img src=x onerror="document.title=1">&amp;';
    await useChat(desk, markup);
    const involvedObject = { kind: 'AiTenant', namespace: 'default', name: tenant };
    const metadata = { name: `markup-${tenant}` };
    const event = { apiVersion: 'v1', kind: 'Event', metadata, involvedObject, reason: 'Markup', message: markup };
    await post(base, 'api/v1/namespaces/default/events', event);
    await page.locator('.moments li', { hasText: `Markup: ${markup}` }).waitFor();
    equal(await page.locator('img').count(), 0, 'the number of images');
  });
  await check(named('conditions and logs'), async () => {
    for (const summary of await page.locator('summary').all()) await press(desk, summary);
    equal((await page.locator('tbody tr').count()) >= 4, true, 'four conditions or more');
    await page.locator('pre', { hasText: 'changed Google Cloud' }).waitFor();
    await page.locator('pre', { hasText: 'listening' }).waitFor();
    equal(await page.locator('details[open]').count(), 3, 'the number of open details');
    for (const summary of await page.locator('summary').all()) await press(desk, summary);
  });
}

/** One console stops Google Cloud, the other one starts it again. */
async function outage(first: Desk, second: Desk): Promise<void> {
  await press(first, buttonOf(first, 'outage'));
  for (const { page } of [first, second]) await page.locator('.banner:not(:empty)').waitFor();
  await press(first, buttonOf(first, 'drift'));
  await checkNow(first);
  await useChat(first, 'during the outage');
  await first.page.locator('[data-card=drift].bad').waitFor();
  await press(second, buttonOf(second, 'outage'));
  for (const { page } of [first, second]) await page.locator('.banner:empty').waitFor({ state: 'attached' });
  await checkNow(first);
  await first.page.locator('[data-card=drift]:not(.bad)').waitFor();
  await isGood(first);
}

/** Tabs of one browser, more than its connections to one server, of which only the last one is shown. */
async function manyTabs(): Promise<void> {
  const context = await browser.newContext();
  for (let count = 0; count < 8; count++) {
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    await page.goto(`${consoleUrl}/?lang=en#default/tenant-a`);
    await page.locator('.link.live').waitFor();
    await setShown(page, false);
  }
  const [first] = context.pages();
  if (first === undefined) throw new Error('There is no tab.');
  await setShown(first, true);
  await first.locator('[data-action=check]').click();
  await first
    .locator('.moments li.user', { hasText: word('en', 'check') })
    .first()
    .waitFor();
  await context.close();
}

/** Tells a page that it is shown or not, as a browser does for its tabs. Without a window, all of them count as shown. */
async function setShown(page: Page, isShown: boolean): Promise<void> {
  await page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${!isShown}, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));`);
}

async function badAddress(): Promise<void> {
  const page = await browser.newPage();
  page.on('pageerror', error => complaints.push(error.message));
  await page.goto(`${consoleUrl}/?lang=en#%`);
  await page.locator('main', { hasText: word('en', 'gone') }).waitFor();
  await page.close();
}

/** The lowest contrast of a text with its background (WCAG 2.2, 1.4.3), with the text. */
const CONTRAST = `() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = node => { for (; node; node = node.parentElement) { const c = rgb(getComputedStyle(node).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const texts = [...document.querySelectorAll('body *')].filter(node => node.checkVisibility() && [...node.childNodes].some(one => one.nodeType === 3 && one.data.trim()));
  return texts.map(node => { const pair = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    return { ratio: (pair[0] + 0.05) / (pair[1] + 0.05), text: node.textContent.trim().slice(0, 60) }; }).sort((a, b) => a.ratio - b.ratio)[0];
}`;

const CONTROLS = 'a, button, input, summary';

async function accessibility({ page, language }: Desk): Promise<void> {
  await check(`${language}: Tab reaches every control, and the focus is visible`, async () => {
    const wanted = await page.locator(CONTROLS).count();
    await page.evaluate('document.activeElement.blur()');
    const reached = new Set<string>();
    for (let presses = 0; presses < wanted + 12; presses++) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(`[...document.querySelectorAll('${CONTROLS}')].indexOf(document.activeElement)`);
      const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineWidth');
      if (at !== -1) {
        reached.add(String(at));
        equal(outline, '3px', 'the outline of the focus');
      }
    }
    equal(reached.size, wanted, 'the number of controls that were reached');
  });
  await check(`${language}: every control has a name, every text enough contrast, light and dark`, async () => {
    const nameless = await page.evaluate(
      `[...document.querySelectorAll('button, a, input')].filter(n => !(n.textContent.trim() || n.labels?.[0]?.textContent.trim())).length`,
    );
    equal(nameless, 0, 'the number of controls without a name');
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme });
      const lowest = await page.evaluate<{ ratio: number; text: string }>(`(${CONTRAST})()`);
      if (lowest.ratio < 4.5) throw new Error(`contrast ${lowest.ratio.toFixed(2)}, ${colorScheme}: ${lowest.text}`);
    }
  });
  await check(`${language}: fits a narrow window`, async () => {
    const size = page.viewportSize() ?? { width: 1280, height: 900 };
    await page.setViewportSize({ width: 360, height: 800 });
    const width = await page.evaluate('document.documentElement.scrollWidth');
    await page.setViewportSize(size);
    equal(width, 360, 'the width of the page');
  });
}

async function everything(): Promise<void> {
  await until('the sandbox runs', async () => {
    if (sandbox.exitCode !== null) throw new Error(`The sandbox ended:\n${output}`);
    return output.includes('Ctrl-C stops everything.');
  });
  const english = await openDesk('en', 'tenant-a');
  await check('a tenant that is created appears by itself', async () => {
    await english.page.locator('nav li').first().waitFor();
    equal(await english.page.locator('nav li').count(), 1, 'the number of tenants');
    await createTenant('tenant-b');
    await english.page.locator('nav li', { hasText: 'tenant-b' }).waitFor();
  });
  const japanese = await openDesk('ja', 'tenant-b');
  await Promise.all([useConsole(english), useConsole(japanese)]);
  await check('outage: seen by all, tenants keep serving, and the operator goes on afterwards', () =>
    outage(english, japanese),
  );
  await check('a change is announced to screen readers', async () => {
    const announcement = english.page.getByRole('status');
    await checkNow(english);
    await announcement.filter({ hasText: word('en', 'check') }).waitFor();
  });
  for (const desk of [english, japanese]) await accessibility(desk);
  await check('the other language is one link away, with the same tenant', async () => {
    await press(english, english.page.locator('header a'));
    await english.page.locator('html[lang=ja]').waitFor({ state: 'attached' });
    await english.page.locator('nav [aria-current=page]', { hasText: 'tenant-a' }).waitFor();
  });
  await check('the connections of a browser are enough for eight tabs, of which one is shown', manyTabs);
  await check('an address that is not well escaped names no tenant', badAddress);
  await check('nothing was asked of another server, and the browser had nothing to complain about', async () => {
    equal(
      requests.filter(url => !url.startsWith(`${consoleUrl}/`)),
      [],
      'the list of other requests',
    );
    equal(complaints, [], 'the list of complaints');
  });
  await check('a tenant that is deleted disappears, and the page says so', async () => {
    const tenants = `http://127.0.0.1:${base}/apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants`;
    await fetch(`${tenants}/tenant-b`, { method: 'DELETE' });
    await japanese.page.locator('main', { hasText: word('ja', 'gone') }).waitFor();
    equal(await japanese.page.locator('nav li').count(), 1, 'the number of tenants');
    await fetch(`${tenants}/tenant-a`, { method: 'DELETE' });
    await japanese.page.locator('main', { hasText: word('ja', 'none') }).waitFor();
  });
  await check('a console whose sandbox has ended says so', async () => {
    sandbox.kill('SIGTERM');
    await japanese.page.locator('.link.lost', { hasText: word('ja', 'lost') }).waitFor();
  });
}

try {
  await everything();
} catch (error) {
  failures.push('the run');
  console.log(error instanceof Error ? error.stack : error);
} finally {
  await browser.close();
  sandbox.kill('SIGTERM');
  await new Promise(resolve => (sandbox.exitCode === null ? sandbox.once('exit', resolve) : resolve(undefined)));
  rmSync(state, { recursive: true, force: true });
}
for (const name of failures) console.log(`FAILED: ${name}`);
printNow(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
