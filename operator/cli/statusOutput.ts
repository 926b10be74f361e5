import { styleText } from 'node:util';
import { escaped, logLine } from '../tenant/printable.ts';
import type { Part, PartState, TenantState, TenantStatusView } from './tenantStatus.ts';

/** The output of `status`: one tenant with all its parts, a table of many, and JSON. */

/** The version of the JSON. It is raised when a field is removed or changes its meaning, but not for a new field. */
const SCHEMA_VERSION = 1;

type Color = 'green' | 'yellow' | 'red' | 'dim';

const STATES: Record<TenantState, { word: string; color: Color }> = {
  ready: { word: 'ready', color: 'green' },
  waiting: { word: 'waits', color: 'yellow' },
  blocked: { word: 'blocked', color: 'red' },
  suspended: { word: 'suspended', color: 'dim' },
  deleting: { word: 'deleting', color: 'yellow' },
  outdated: { word: 'not handled', color: 'yellow' },
};

const PARTS: Record<PartState, Color> = { done: 'green', waits: 'yellow', blocked: 'red', unknown: 'dim' };

const LABELS: Record<Part['kind'], string> = {
  ServiceAccount: 'service account',
  Keys: 'keys',
  Key: '  key',
  FormerGrant: '  former grant',
  Service: 'service',
  FormerService: '  former service',
  Url: 'URL',
};

export const asJson = (tenants: TenantStatusView[]): string =>
  escaped(JSON.stringify({ schemaVersion: SCHEMA_VERSION, tenants }, null, 2));

/** One line of JSON for a change that `--watch` has seen. */
export const changeJson = (tenants: TenantStatusView[], deleted?: { namespace: string; name: string }): string =>
  escaped(JSON.stringify({ schemaVersion: SCHEMA_VERSION, tenants, ...(deleted && { deleted: [deleted] }) }));

/** One line for a change of one of many tenants. */
export function changeLine({ namespace, name, state, reason, url, waitsFor }: TenantStatusView): string {
  const { word, color } = STATES[state];
  const shown = reason === undefined ? word : `${word} (${reason})`;
  return styleText(color, logLine(`${namespace}/${name} ${shown}: ${waitsFor ?? url ?? ''}`));
}

/** One tenant. `now`: milliseconds since the epoch. */
export function tenantLines(view: TenantStatusView, now: number): string[] {
  const { namespace, name, state, project, region, generation, waitsFor, parts, notes } = view;
  const lines = [
    `${styleText('bold', logLine(`${namespace}/${name}`))}  ${styleText(STATES[state].color, logLine(headline(view, now)))}`,
    logLine(`project ${project ?? 'not known yet'}, region ${region}, generation ${generation}`),
    '',
    ...parts.flatMap(partLines),
  ];
  if (parts.length === 0) lines.push('  The operator has nothing left to do for it in Google Cloud.');
  const isSaid = parts.some(({ message }) => message !== undefined && message === waitsFor);
  if (waitsFor !== undefined && !isSaid) lines.push('', logLine(waitsFor));
  const more = notes.filter(note => note !== waitsFor);
  if (more.length > 0) lines.push('', ...more.map(note => logLine(`- ${note}`)));
  return lines;
}

/** The state, the reason if it is about this state, and since when Ready has its status: `waits (Updating), not ready for 3m`. */
function headline({ state, reason = '', since }: TenantStatusView, now: number): string {
  const { word } = STATES[state];
  const isOfState = state !== 'outdated' && (state !== 'deleting' || /^Delet/.test(reason));
  const shown = isOfState && reason !== '' ? `${word} (${reason})` : word;
  if (since === undefined || !['ready', 'waiting', 'blocked'].includes(state)) return shown;
  return `${shown}, ${state === 'ready' ? '' : 'not ready '}for ${ageOf(since, now)}`;
}

const LABEL_WIDTH = Math.max(...Object.values(LABELS).map(label => label.length)) + 2;
const STATE_WIDTH = 'blocked'.length + 2;

function partLines({ kind, state, name, detail, reason, message }: Part): string[] {
  const label = LABELS[kind].padEnd(LABEL_WIDTH);
  const text = logLine(detail === undefined ? name : `${name}: ${detail}`);
  const lines = [`  ${styleText(PARTS[state], state.padEnd(STATE_WIDTH))}${label}${text}`];
  if (message !== undefined) {
    lines.push(' '.repeat(2 + STATE_WIDTH + LABEL_WIDTH) + styleText(PARTS[state], logLine(`${reason}: ${message}`)));
  }
  return lines;
}

export interface TableOptions {
  /** Show the namespace of each tenant. */
  withNamespace: boolean;
  /** Cut lines at this width. Absent: do not cut, for a file or another program. */
  width?: number;
}

/** All tenants, one line each, and a summary. */
export function tableLines(views: TenantStatusView[], { withNamespace, width }: TableOptions): string[] {
  const rows = views.map(view => rowOf(view, withNamespace));
  const head = [
    ...(withNamespace ? ['NAMESPACE'] : []),
    'NAME',
    'STATE',
    'REASON',
    'REGION',
    'URL OR WHAT IT WAITS FOR',
  ];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]?.length ?? 0)));
  const fitted = (cells: string[]) => {
    const line = cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 2))).join('');
    return width !== undefined && line.length > width ? `${line.slice(0, width - 1)}…` : line;
  };
  const lines = rows.map((row, i) => {
    const view = views[i];
    return view === undefined ? fitted(row) : styleText(STATES[view.state].color, fitted(row));
  });
  return [styleText('bold', fitted(head)), ...lines, '', summary(views)];
}

function rowOf(view: TenantStatusView, withNamespace: boolean): string[] {
  const { namespace, name, state, reason = '', region, url = '', waitsFor } = view;
  const cells = [name, STATES[state].word, reason, region, waitsFor ?? url];
  return [...(withNamespace ? [namespace] : []), ...cells].map(cell => logLine(cell));
}

/** `12 tenants: 10 ready, 1 waits, 1 blocked.` */
function summary(views: TenantStatusView[]): string {
  const counts = Object.entries(STATES).flatMap(([state, { word }]) => {
    const count = views.filter(view => view.state === state).length;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  return `${views.length} ${views.length === 1 ? 'tenant' : 'tenants'}: ${counts.join(', ')}.`;
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** The time since `since` in its largest unit, such as 3m. The clocks of two machines may differ, so it is at least 0 s. */
function ageOf(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  if (Number.isNaN(seconds)) return 'an unknown time';
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ['s', 1];
  return `${Math.floor(seconds / size)}${unit}`;
}
