import { styleText } from 'node:util';
import { escaped, logLine } from '../tenant/printable.ts';
import type { Step } from '../tenant/types.ts';
import type { TenantResult } from './planTenant.ts';

/** The output of `plan`, as text and as JSON. `planMarkdown.ts` has a third form. */

/** The version of the JSON. It is raised when a field is removed or changes its meaning, but not for a new field. */
const SCHEMA_VERSION = 1;

/** The sign of a step, by what it does. */
const SIGNS: Record<Step['verb'], { sign: '+' | '~' | '-'; color: 'green' | 'yellow' | 'red' }> = {
  Create: { sign: '+', color: 'green' },
  Grant: { sign: '+', color: 'green' },
  Update: { sign: '~', color: 'yellow' },
  Adopt: { sign: '~', color: 'yellow' },
  Abandon: { sign: '~', color: 'yellow' },
  Revoke: { sign: '-', color: 'red' },
  Delete: { sign: '-', color: 'red' },
};

export interface Counts {
  tenants: number;
  add: number;
  change: number;
  remove: number;
  /** Tenants with a blocker, without those of `unread`. */
  blocked: number;
  /** Tenants of which something could not be read, so their steps are incomplete. */
  unread: number;
}

export function countsOf(results: TenantResult[]): Counts {
  const steps = results.flatMap(each => each.steps);
  const count = (sign: string) => steps.filter(({ action }) => SIGNS[action].sign === sign).length;
  const unread = results.filter(({ state }) => state === 'unread').length;
  const isBlocked = ({ blocked, state }: TenantResult) => blocked.length > 0 && state !== 'unread';
  return {
    tenants: results.length,
    add: count('+'),
    change: count('~'),
    remove: count('-'),
    blocked: results.filter(isBlocked).length,
    unread,
  };
}

export const asJson = (results: TenantResult[]): string =>
  escaped(JSON.stringify({ schemaVersion: SCHEMA_VERSION, counts: countsOf(results), tenants: results }, null, 2));

/** One sentence about the whole plan. */
export function summaryOf(results: TenantResult[]): string {
  if (results.length === 0) return 'There is no AiTenant here.';
  const { tenants, add, change, remove, blocked, unread } = countsOf(results);
  const blockedText = blocked > 0 ? `; ${blocked} of ${tenants} tenants blocked` : '';
  const title = unread > 0 ? 'Plan of what could be read' : 'Plan';
  return `${title}: ${add} to add, ${change} to change, ${remove} to remove${blockedText}.`;
}

/** The warning that something is missing in the plan; undefined for a complete plan. */
export function incompleteness(results: TenantResult[]): string | undefined {
  const { tenants, unread } = countsOf(results);
  if (unread === 0) return undefined;
  return `The plan is incomplete: ${unread} of ${tenants} tenants could not be read. It reads with your own credentials.`;
}

export function asText(results: TenantResult[]): string {
  const lines = results.flatMap(result => [styleText('bold', titleOf(result)), ...detailLines(result, COLORED)]);
  const warning = incompleteness(results);
  if (results.length > 0) lines.push('');
  if (warning !== undefined) lines.push(styleText('red', warning));
  return [...lines, summaryOf(results)].join('\n');
}

export function titleOf({ namespace, name, project, projectFrom }: TenantResult): string {
  const from = projectFrom === undefined ? '' : ` (from ${projectFrom})`;
  return logLine(`${namespace}/${name}${project ? ` in project ${project}${from}` : ''}`);
}

/** How the lines of a plan look. */
interface LineStyle {
  indent: string;
  noteSign: string;
  colored(color: 'green' | 'yellow' | 'red', line: string): string;
}
const COLORED: LineStyle = { indent: '  ', noteSign: '·', colored: (color, line) => styleText(color, line) };

/** What is to be done for one tenant, one line each. No line has a line break or a control character. */
export function detailLines(
  { state, steps, blocked, notes }: TenantResult,
  { indent, noteSign, colored }: LineStyle,
): string[] {
  const lines: string[] = [];
  for (const { action, target, changes } of steps) {
    const { sign, color } = SIGNS[action];
    lines.push(colored(color, logLine(`${indent}${sign} ${action} ${target}`)));
    for (const { field, from: before, to } of changes) {
      const change = before === undefined ? (to ?? '') : `${before} → ${to ?? '(removed)'}`;
      lines.push(logLine(`${indent}    ${field}: ${change}`));
    }
  }
  for (const { reason, message } of blocked) lines.push(colored('red', logLine(`${indent}! ${reason}: ${message}`)));
  if (steps.length + blocked.length === 0)
    lines.push(`${indent}${state === 'deleting' ? 'Nothing is left to delete.' : 'Nothing to change.'}`);
  for (const note of notes) lines.push(logLine(`${indent}${noteSign} ${note}`));
  return lines;
}
