import {
  BREAKERS,
  type Breaker,
  type ConsoleState,
  type KeyPicture,
  type Moment,
  type TenantPicture,
} from '../../tenants/contract.ts';
import { type Html, html } from './dom.ts';
import type { Language, Words } from './words.ts';

/** What the page knows beside the state that the server sends. */
export interface PageState {
  language: Language;
  /** The key of the chosen tenant. */
  chosen: string;
  isLive: boolean;
  /** A button was pressed, and the sandbox has not answered yet. */
  isBusy: boolean;
  failure?: string;
  chat: { isOwn: boolean; text: string }[];
}

/** From bad to good: a station is as good as the worst of its parts. */
const MARKS = ['bad', 'wait', 'none', 'ok'] as const;
type Mark = (typeof MARKS)[number];
const worst = (...marks: Mark[]): Mark => MARKS.find(mark => marks.includes(mark)) ?? 'ok';
const isOk = (right: boolean): Mark => (right ? 'ok' : 'bad');
const ofCondition = ({ status, reason }: { status?: string; reason?: string } = {}): Mark =>
  status === undefined
    ? 'none'
    : status === 'True'
      ? 'ok'
      : status === 'False' && reason !== 'Updating'
        ? 'bad'
        : 'wait';

const SHAPES: Record<Mark, string> = {
  ok: 'm7 12.5 3.5 3.5L17 9',
  wait: 'M12 6v6l4 2',
  bad: 'm8 8 8 8m0-8-8 8',
  none: 'M8 12h8',
};
const icon = (mark: Mark, label = ''): Html =>
  html`<svg class="icon ${mark}" viewBox="0 0 24 24" role="img" aria-label="${label}" aria-hidden="${label === '' ? 'true' : 'false'}"><circle cx="12" cy="12" r="11"/><path d="${SHAPES[mark]}"/></svg>`;

/** The whole page. Its buttons have `data-action`, and `data-what` for a fault. */
export function view(state: ConsoleState, page: PageState, words: Words): Html {
  const { picture, tenants, trouble, outageEndsAt } = state;
  const [language, name] = page.language === 'ja' ? ['en', 'English'] : ['ja', '日本語'];
  const seconds = Math.max(0, Math.ceil(((outageEndsAt ?? 0) - Date.now()) / 1000));
  const banner = trouble ?? (outageEndsAt === undefined ? undefined : words('outage.now', seconds));
  return html`<header>
    <h1>${words('title')}</h1>
    <p>${words('intro')}</p>
    <p class="link ${page.isLive ? 'live' : 'lost'}">${words(page.isLive ? 'live' : 'lost')}</p>
    <a href="/?lang=${language}#${page.chosen}" lang="${language}" hreflang="${language}">${name}</a>
  </header>
  <div class="columns">
    <nav aria-labelledby="tenants"><h2 id="tenants">${words('tenants')}</h2><ul>${tenants.map(one => row(one, page, words))}</ul></nav>
    <main>
      <p class="banner">${banner}</p>
      ${picture ? tenant(picture, page, words) : html`<p>${words(tenants.length > 0 ? 'gone' : 'none')}</p>`}
    </main>
  </div>`;
}

function row({ key, status, reason }: ConsoleState['tenants'][number], { chosen }: PageState, words: Words): Html {
  const [namespace, name] = key.split('/');
  const mark = ofCondition({ status, reason });
  return html`<li><a href="#${key}" aria-current="${key === chosen ? 'page' : 'false'}">${icon(mark, words(`mark.${mark}`))}
    <span><strong>${name}</strong> <small>${namespace} · ${reason || words('mark.none')}</small></span></a></li>`;
}

function tenant(picture: TenantPicture, page: PageState, words: Words): Html {
  const [namespace = '', name] = picture.key.split('/');
  const ready = picture.conditions.find(({ type }) => type === 'Ready');
  const mark = ofCondition(ready);
  const lines = page.chat.map(({ isOwn, text }) => html`<li class="${isOwn ? 'own' : 'answer'}">${text}</li>`);
  return html`<div class="head">
    <h2>${name} <small>${words('namespace', namespace)}</small></h2>
    <p class="badge ${mark}" data-ready="${ready?.status} ${ready?.reason}">${icon(mark)} ${words(`ready.${ready?.status ?? 'Unknown'}`)} · ${ready?.reason ?? '–'}</p>
    <button type="button" data-action="check" aria-describedby="check-hint">${words('check')}</button>
    <p id="check-hint">${words('check.hint')}</p>
    <p class="message" lang="en">${ready?.message}</p>
  </div>
  <section aria-labelledby="road"><h3 id="road">${words('road')}</h3><ol class="road">${stations(picture, words)}</ol></section>
  <div class="halves">
    <section aria-labelledby="breakers"><h3 id="breakers">${words('breakers')}</h3>
      <p role="alert">${page.failure && words('failed', page.failure)}</p>
      <ul class="cards">${BREAKERS.map(what => card(what, picture, page, words))}</ul></section>
    <div>
    <section aria-labelledby="timeline"><h3 id="timeline">${words('timeline')}</h3>
      <ol class="moments" tabindex="0" aria-labelledby="timeline">${picture.moments.map(one => line(one, page, words))}</ol></section>
    <section aria-labelledby="chat"><h3 id="chat">${words('chat')}</h3>
      <ol class="chat" role="log" tabindex="0" aria-labelledby="chat">${lines}</ol>
      <form><label for="message">${words('message')}</label>
        <input id="message" name="message" autocomplete="off" maxlength="2000" required>
        <button>${words('send')}</button></form></section>
    </div>
  </div>
  <details><summary>${words('conditions')}</summary><div class="scroll" tabindex="0">${conditionTable(picture)}</div></details>
  <details><summary>${words('log.operator')}</summary><pre tabindex="0" lang="en">${picture.logs.operator || words('log.none')}</pre></details>
  <details><summary>${words('log.service')}</summary><pre tabindex="0" lang="en">${picture.logs.service || words('log.none')}</pre></details>`;
}

/** The four stations from the account to the URL: what the operator says of each, and what is in Google Cloud now. */
function stations(picture: TenantPicture, words: Words): Html[] {
  const { account, keys, service, wanted } = picture;
  const said = (type: string): Mark => ofCondition(picture.conditions.find(one => one.type === type));
  const lost: Mark = said('ServiceReady') === 'ok' ? 'bad' : 'none';
  const missing = [fact(lost, words('missing'))];
  const station = (key: string, mark: Mark, facts: Html[]) =>
    html`<li class="${mark}" data-station="${key}"><h4>${icon(mark, words(`mark.${mark}`))} ${words(key)}</h4><ul>${facts}</ul></li>`;
  const [id, domain = ''] = account.email.split('@');
  const parts = domain.split(/(?=\.)/).map(part => html`<wbr>${part}`);
  const forAccount = [fact(isOk(account.exists), html`<strong>${id}</strong><wbr>@${parts}`)];
  const ofKeys = keys.flatMap(key => keyFacts(key, words));
  const first = station('account', account.exists ? said('ServiceAccountReady') : 'none', forAccount);
  const second = station('grants', worst(said('SecretAccessReady'), ...keys.map(markOfKey)), ofKeys);
  if (!service) return [first, second, station('service', lost, missing), station('url', lost, missing)];
  const { minInstances: least, maxInstances: most } = service;
  const isScaled = least === wanted.minInstances && most === wanted.maxInstances;
  const instead = isScaled ? '' : ` (${words('instances.spec', wanted.minInstances, wanted.maxInstances)})`;
  const isServing = service.revisions.some(({ percent, state }) => percent > 0 && state === 'ready');
  const marks = { ready: 'ok', starting: 'wait', failed: 'bad' } as const;
  const shown = service.revisions.filter(({ percent }, at) => at === 0 || percent > 0);
  const revisions = shown.map(({ name, state, percent }) => {
    const share = html`<meter min="0" max="100" value="${percent}" aria-hidden="true"></meter>`;
    const short = name.slice(service.name.length + 1);
    return fact(
      marks[state],
      html`<code>${short}</code> ${words(`revision.${state}`)} · ${words('traffic', percent)} ${share}`,
    );
  });
  return [
    first,
    second,
    station('service', worst(said('ServiceReady'), isOk(isScaled)), [
      fact('ok', html`<strong>${service.name}</strong> ${service.region}`),
      fact(isOk(isScaled), words('instances', least, most) + instead),
      ...revisions,
    ]),
    station('url', isServing ? 'ok' : lost, [
      fact(isOk(isServing), html`<a href="${service.url}/health" target="_blank" rel="noreferrer">${service.url}</a>`),
      fact('ok', words(service.isPublic ? 'public' : 'private')),
    ]),
  ];
}

const fact = (mark: Mark, text: Html | string): Html => html`<li>${icon(mark)}<span>${text}</span></li>`;
const liveOf = ({ live, versions }: KeyPicture) => versions.find(({ number }) => number === live) ?? versions[0];
const markOfKey = (key: KeyPicture): Mark => isOk(key.consents && key.granted && liveOf(key)?.state === 'ENABLED');

function keyFacts(key: KeyPicture, words: Words): Html[] {
  const { state = 'none', number = '' } = liveOf(key) ?? {};
  if (!key.exists) return [fact('bad', html`<strong>${key.secret}</strong> ${words('missing')}`)];
  return [
    fact(markOfKey(key), html`<strong>${key.secret}</strong> ${key.env && `→ ${key.env}`}`),
    fact(isOk(state === 'ENABLED'), words(`version.${state}`, number)),
    fact(isOk(key.consents), words(`consents.${key.consents}`)),
    fact(isOk(key.granted), words(`granted.${key.granted}`)),
  ];
}

/** The faults that only the operator mends. */
const HEALS: Breaker[] = ['drift', 'deletion'];

/** One fault with one button, which breaks what is whole and mends what is broken. */
function card(what: Breaker, { broken }: TenantPicture, { isBusy }: PageState, words: Words): Html {
  const isBroken = broken.includes(what);
  const how = isBroken && !HEALS.includes(what) ? 'mend' : 'break';
  // A button that is disabled would lose the focus, so it only says that it is.
  const isOff = isBusy || (isBroken && how === 'break');
  return html`<li class="${isBroken ? 'bad' : ''}" data-card="${what}">
    <h4>${words(`${what}.title`)} <span class="badge bad">${isBroken && words('broken')}</span></h4>
    <p id="${what}">${words(`${what}.text`)}</p>
    <button type="button" class="${how}" data-action="${how}" data-what="${what}" aria-describedby="${what}"
      aria-disabled="${isOff}">${words(`${what}.${how}`)}</button>
  </li>`;
}

/** A line of the timeline as text. */
export function said(moment: Moment, words: Words): string {
  if (moment.from === 'event') {
    const { reason, message, count } = moment;
    return `${message.startsWith(reason) ? '' : `${reason}: `}${message}${count > 1 ? ` (×${count})` : ''}`;
  }
  if (moment.from === 'ready') return `Ready = ${moment.status} (${moment.reason})`;
  return moment.how === 'end'
    ? words('outage.end')
    : words('sent', words(moment.how === 'ask' ? 'check' : `${moment.what}.${moment.how}`));
}

function line(moment: Moment, { language }: PageState, words: Words): Html {
  const isWarning = moment.from === 'event' && moment.warning;
  const mark =
    moment.from === 'user' ? 'user' : moment.from === 'ready' ? ofCondition(moment) : isWarning ? 'bad' : 'event';
  return html`<li class="${mark}"><time>${new Date(moment.at).toLocaleTimeString(language)}</time> <span>${said(moment, words)}</span></li>`;
}

function conditionTable({ conditions }: TenantPicture): Html {
  const rows = conditions.map(
    ({ type, status, reason, message }) =>
      html`<tr><th scope="row">${type}</th><td>${status}</td><td>${reason}</td><td>${message}</td></tr>`,
  );
  return html`<table lang="en"><thead><tr><th>Type</th><th>Status</th><th>Reason</th><th>Message</th></tr></thead><tbody>${rows}</tbody></table>`;
}
