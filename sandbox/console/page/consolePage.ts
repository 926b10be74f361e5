import type { ChatAnswer, ConsoleState } from '../../tenants/contract.ts';
import { render } from './dom.ts';
import { type PageState, said, view } from './pageView.ts';
import { wordsOf } from './words.ts';

/** How long the page waits before it connects again after the server has refused a stream, in milliseconds. */
const RECONNECT_MS = 2_000;
/** The most lines of the chat that are kept. */
const MOST_CHAT = 20;

const find = (selector: string): HTMLElement => document.querySelector(selector) as HTMLElement;
const language = document.documentElement.lang === 'ja' ? 'ja' : 'en';
const words = wordsOf(language);
/** The key in the address. Names of tenants need no escapes, so text that is not well escaped is a key of no tenant. */
function chosen(): string {
  const hash = location.hash.slice(1);
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}
const page: PageState = { language, chosen: chosen(), isLive: false, isBusy: false, chat: [] };
let state: ConsoleState = { tenants: [] };
let source: EventSource | undefined;
/** The newest line of the timeline when it was shown last, which tells whether there is one to announce. */
let newest: string | undefined;

function show(): void {
  render(find('#console'), view(state, page, words));
  document.title = [page.chosen.split('/')[1], words('title')].filter(Boolean).join(' · ');
  const [moment] = state.picture?.moments ?? [];
  if (moment && newest !== undefined && moment.id !== newest) find('#announcement').textContent = said(moment, words);
  if (state.picture) newest = moment?.id ?? '';
}

/** Opens the stream of the chosen tenant. If it ends the browser opens it again; if the server refuses it, this does. */
function connect(): void {
  source?.close();
  const opened = new EventSource(`/api/stream?tenant=${encodeURIComponent(page.chosen)}`);
  source = opened;
  opened.onmessage = ({ data }) => {
    state = JSON.parse(data) as ConsoleState;
    page.isLive = true;
    const [first] = state.tenants;
    if (page.chosen === '' && first) location.replace(`#${first.key}`);
    show();
  };
  opened.onerror = () => {
    page.isLive = false;
    show();
    if (opened.readyState === EventSource.CLOSED)
      setTimeout(() => source === opened && !document.hidden && connect(), RECONNECT_MS);
  };
}

/** Resolves with the answer to an action. A failure is shown, and there is no answer. */
async function post(action: string, body: object): Promise<unknown> {
  page.failure = undefined;
  try {
    const token = find('meta[name=console-token]').getAttribute('content') ?? '';
    const response = await fetch(`/api/${action}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Console-Token': token },
      body: JSON.stringify({ tenant: page.chosen, ...body }),
    });
    const answer = (await response.json()) as { error?: string };
    if (!response.ok) throw new Error(answer.error);
    return answer;
  } catch (error) {
    page.failure = (error as Error).message;
    return undefined;
  }
}

function say(isOwn: boolean, text: string): void {
  page.chat = [...page.chat, { isOwn, text }].slice(-MOST_CHAT);
  show();
  find('.chat').scrollTo(0, find('.chat').scrollHeight);
}

addEventListener('click', async ({ target }) => {
  const button = (target as Element).closest<HTMLElement>('[data-action]');
  const { action = '', what } = button?.dataset ?? {};
  if (!button || button.ariaDisabled === 'true' || page.isBusy) return;
  page.isBusy = true;
  show();
  await post(action, { what });
  page.isBusy = false;
  show();
});
addEventListener('submit', async event => {
  event.preventDefault();
  const input = find('#message') as HTMLInputElement;
  const message = input.value;
  input.value = '';
  say(true, words('sent', message));
  const answer = (await post('chat', { message })) as ChatAnswer | undefined;
  if (answer) say(false, words(answer.status === 0 ? 'unanswered' : 'answered', answer.status, answer.text));
  else show();
});
addEventListener('hashchange', () => {
  Object.assign(page, { chosen: chosen(), chat: [], failure: undefined });
  newest = undefined;
  connect();
});
// A browser opens at most six connections to one server for all its tabs, so a tab that is not shown closes its stream.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) source?.close();
  else connect();
});
setInterval(() => state.outageEndsAt !== undefined && show(), 1_000);
show();
if (!document.hidden) connect();
