import { styleText } from 'node:util';
import { escaped, logLine } from '../tenant/printable.ts';
import type { Step } from '../tenant/types.ts';
import type { TenantResult } from './planTenant.ts';

/** The output of `plan`, as text and as JSON. */

/** The version of the JSON. It is raised when a field is removed or changes its meaning, but not for a new field. */
const SCHEMA_VERSION = 1;

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

function countsOf(results: TenantResult[]): Counts {
  const steps = results.flatMap(each => each.steps);
  const count = (sign: string) => steps.filter(({ action }) => SIGNS[action].sign === sign).length;
  const unread = results.filter(({ state }) => state === 'unread').length;
  const withBlockers = results.filter(({ blocked }) => blocked.length > 0).length;
  return {
    tenants: results.length,
    add: count('+'),
    change: count('~'),
    remove: count('-'),
    blocked: withBlockers - unread,
    unread,
  };
}

export const asJson = (results: TenantResult[]): string =>
  escaped(JSON.stringify({ schemaVersion: SCHEMA_VERSION, counts: countsOf(results), tenants: results }, null, 2));

export function asText(results: TenantResult[]): string {
  if (results.length === 0) return 'There is no AiTenant here.';
  const lines = results.flatMap(tenantLines);
  const { tenants, add, change, remove, blocked, unread } = countsOf(results);
  lines.push('');
  if (unread > 0) {
    lines.push(
      styleText(
        'red',
        `The plan is incomplete: ${unread} of ${tenants} tenants could not be read. It reads with your own credentials.`,
      ),
    );
  }
  const blockedText = blocked > 0 ? `; ${blocked} of ${tenants} tenants blocked` : '';
  const title = unread > 0 ? 'Plan of what could be read' : 'Plan';
  lines.push(`${title}: ${add} to add, ${change} to change, ${remove} to remove${blockedText}.`);
  return lines.join('\n');
}

function tenantLines({ namespace, name, project, projectFrom, state, steps, blocked, notes }: TenantResult): string[] {
  const from = projectFrom === undefined ? '' : ` (from ${projectFrom})`;
  const lines = [styleText('bold', logLine(`${namespace}/${name}${project ? ` in project ${project}${from}` : ''}`))];
  for (const { action, target, changes } of steps) {
    const { sign, color } = SIGNS[action];
    lines.push(styleText(color, logLine(`  ${sign} ${action} ${target}`)));
    for (const { field, from: before, to } of changes) {
      lines.push(logLine(`      ${field}: ${before === undefined ? (to ?? '') : `${before} → ${to ?? '(removed)'}`}`));
    }
  }
  for (const { reason, message } of blocked) lines.push(styleText('red', logLine(`  ! ${reason}: ${message}`)));
  if (steps.length + blocked.length === 0)
    lines.push(state === 'deleting' ? '  Nothing is left to delete.' : '  Nothing to change.');
  for (const note of notes) lines.push(logLine(`  · ${note}`));
  return lines;
}
