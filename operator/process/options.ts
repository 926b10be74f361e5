import { type ParseArgsConfig, parseArgs } from 'node:util';
import { type Limits, PUBLISHED } from '../gcp/quota.ts';
import { patternProblem } from '../tenant/identity.ts';
import { isProjectId } from '../tenant/names.ts';
import { quoted } from '../tenant/printable.ts';
import type { Settings } from '../tenant/types.ts';

/** The operator's flags. Each can also be set by its environment variable: `--sync-interval` is `AITENANT_SYNC_INTERVAL`. */
export interface Options {
  settings: Omit<Settings, 'clusterId'>;
  clusterId?: string;
  limits: Limits;
  namespace?: string;
  workers: number;
  leaderElect: boolean;
  metricsAddress: string;
  healthAddress: string;
  logLevel: LogLevel;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

interface Flag {
  argument: string;
  help: string;
  fallback?: string;
}

const FLAGS: Record<string, Flag> = {
  project: { argument: 'ID', help: 'project of tenants whose Namespace names none' },
  projects: { argument: 'LIST', help: 'projects that may be used, with * as a wildcard, separated by commas (all)' },
  'impersonation-accounts': {
    argument: 'LIST',
    help: 'service accounts that Namespaces may name, with * and NAMESPACE as placeholders (none)',
  },
  'require-impersonation': { argument: '', help: 'refuse tenants whose Namespace names no service account to act as' },
  'default-image': {
    argument: 'IMAGE',
    help: 'image of a new service if the spec names none',
    fallback: 'gcr.io/cloudrun/hello',
  },
  namespace: { argument: 'NAME', help: 'watch this namespace only (all)' },
  workers: { argument: 'N', help: 'tenants reconciled at once', fallback: '8' },
  'sync-interval': { argument: 'TIME', help: 'how often an unchanged tenant is checked', fallback: '10m' },
  quotas: {
    argument: 'LIST',
    help: 'calls a minute and project (run: and region) to keep within, as API.read=N or API.write=N; 0: no limit',
    fallback: Object.entries(PUBLISHED)
      .map(([name, limit]) => `${name}=${limit}`)
      .join(','),
  },
  'claim-policy': {
    argument: 'labelled|any',
    help: 'use existing resources only if they consent to the namespace, or always',
    fallback: 'labelled',
  },
  restore: {
    argument: '',
    help: 'take over what carries full owner marks although the status does not know it: once, for a rebuilt cluster',
  },
  'consent-uid': { argument: '', help: 'printed commands for consent also name the UID of the Namespace' },
  'cluster-id': {
    argument: 'ID',
    help: 'name of this cluster in owner marks; keep it when a cluster is rebuilt (UID of Namespace kube-system)',
  },
  'leader-elect': { argument: '', help: 'only one replica acts at a time' },
  'region-move-grace': { argument: 'TIME', help: "how long a moved tenant's former service stays", fallback: '1h' },
  'metrics-address': { argument: 'HOST:PORT', help: '/metrics; 0 turns it off', fallback: ':8080' },
  'health-address': { argument: 'HOST:PORT', help: '/healthz and /readyz; 0 turns it off', fallback: ':8081' },
  'log-level': { argument: LOG_LEVELS.join('|'), help: 'how much is logged', fallback: 'info' },
};

/** The flags' names, without the dashes. */
export const FLAG_NAMES: readonly string[] = Object.keys(FLAGS);

export function usage(): string {
  const lines = Object.entries(FLAGS).map(([name, { argument, help, fallback }]) => {
    const flag = `--${name}${argument === '' ? '' : ` ${argument}`}`;
    return `  ${flag.padEnd(34)}${help}${fallback === undefined ? '' : ` (${fallback})`}`;
  });
  return [
    'Usage: node operator/main.ts [FLAG…]',
    '',
    'Reconciles AiTenants: service account, key grants and Cloud Run service of each.',
    'Each flag can also be set by AITENANT_FLAG_NAME in the environment.',
    '',
    ...lines,
    `  ${'--help'.padEnd(34)}this page`,
    '',
    'Google Cloud: Application Default Credentials; CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_SECRETMANAGER and …_IAM name',
    'other addresses. Kubernetes: KUBECONFIG, ~/.kube/config, or the pod’s service account.',
  ].join('\n');
}

/** The flags or environment variables are wrong. The message says what to write instead. */
export class UsageError extends Error {}

/** Reads the operator's flags. Returns `help` for --help. Throws `UsageError`. */
export function readOptions(argv: string[], env: Record<string, string | undefined>): Options | 'help' {
  const { values, positionals } = parseFlags(argv);
  if (values.help === true) return 'help';
  if (positionals.length > 0) throw new UsageError(`What is ${quoted(positionals[0] ?? '')}? All flags begin with --.`);
  return optionsOf(values, env);
}

/** The options. A flag that is not given takes its environment variable, then its default. Throws `UsageError`. */
export function optionsOf(given: Record<string, unknown>, env: Record<string, string | undefined>): Options {
  const value = (name: string): string | undefined => {
    const flag = given[name];
    if (typeof flag === 'string') return flag;
    return env[`AITENANT_${name.replaceAll('-', '_').toUpperCase()}`] ?? FLAGS[name]?.fallback;
  };
  const required = (name: string): string => value(name) ?? '';
  const isOn = (name: string): boolean => given[name] === true || /^(1|true|yes)$/i.test(value(name) ?? '');

  const project = value('project') || undefined;
  if (project !== undefined && !isProjectId(project)) {
    throw new UsageError(`--project=${project} is not a project id (a project number will not do).`);
  }
  const clusterId = value('cluster-id') || undefined;
  if (clusterId !== undefined) checkClusterId(clusterId);
  const workers = Number(required('workers'));
  if (!Number.isInteger(workers) || workers < 1 || workers > 1000) {
    throw new UsageError(`--workers=${required('workers')} must be a whole number from 1 to 1000.`);
  }
  return {
    settings: {
      project,
      projects: list(value('projects')),
      impersonationAccounts: impersonationPatterns(list(value('impersonation-accounts'))),
      requireImpersonation: isOn('require-impersonation'),
      defaultImage: required('default-image'),
      claimPolicy: oneOf('claim-policy', required('claim-policy'), ['labelled', 'any'] as const),
      restore: isOn('restore'),
      consentUid: isOn('consent-uid'),
      regionMoveGraceMs: duration('region-move-grace', required('region-move-grace'), 0),
      syncIntervalMs: duration('sync-interval', required('sync-interval'), 1_000),
    },
    clusterId,
    limits: limits(required('quotas')),
    namespace: value('namespace') || undefined,
    workers,
    leaderElect: isOn('leader-elect'),
    metricsAddress: required('metrics-address'),
    healthAddress: required('health-address'),
    logLevel: oneOf('log-level', required('log-level'), LOG_LEVELS),
  };
}

/** Throws `UsageError` if the ID cannot be the value of a label in Google Cloud. */
export function checkClusterId(id: string): void {
  if (/^[a-z0-9][-_a-z0-9]{0,62}$/.test(id)) return;
  throw new UsageError(
    `--cluster-id=${id} cannot be a label: lower-case letters, digits, - and _, at most 63, such as prod-tokyo.`,
  );
}

type OwnFlags = NonNullable<ParseArgsConfig['options']>;

/** Parses the operator's flags and those that a command adds (`own`). Throws `UsageError`. */
export function parseFlags(
  args: string[],
  own: OwnFlags = {},
): { values: Record<string, unknown>; positionals: string[] } {
  const flags = Object.entries(FLAGS).map(
    ([name, { argument }]) => [name, { type: argument === '' ? ('boolean' as const) : ('string' as const) }] as const,
  );
  const options: OwnFlags = { ...Object.fromEntries(flags), help: { type: 'boolean', short: 'h' }, ...own };
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(flagProblem(error));
  }
}

/** The message of `parseArgs` for a wrong flag, without its advice about positional arguments, which no command has. */
export const flagProblem = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replace(/\. To specify a positional argument .*/s, '');

const list = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '');

function impersonationPatterns(patterns: string[]): string[] {
  for (const pattern of patterns) {
    const problem = patternProblem(pattern);
    if (problem) throw new UsageError(`--impersonation-accounts=${pattern}: ${problem}.`);
  }
  return patterns;
}

/** The limits of `--quotas`. A quota that the flag does not name keeps its published limit. */
function limits(text: string): Limits {
  const given = list(text).map(item => {
    const [, name = '', number = ''] = /^([a-z]+\.[a-z]+)=(\d{1,9})$/.exec(item) ?? [];
    if (!(name in PUBLISHED)) {
      throw new UsageError(
        `--quotas=${item} must be like secretmanager.read=600; there are ${Object.keys(PUBLISHED).join(', ')}.`,
      );
    }
    return [name, Number(number)];
  });
  return { ...PUBLISHED, ...Object.fromEntries(given) };
}

function oneOf<T extends string>(flag: string, value: string, words: readonly T[]): T {
  const word = words.find(other => other === value);
  if (word === undefined) throw new UsageError(`--${flag}=${value} must be one of: ${words.join(', ')}.`);
  return word;
}

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `10m`, `1h30m`, or a plain number of seconds → milliseconds. */
function duration(flag: string, text: string, least: number): number {
  const wrong = new UsageError(
    `--${flag}=${text} is not a time such as 90s, 10m or 1h${least > 0 ? ' (at least 1s)' : ''}.`,
  );
  if (/^\d+$/.test(text)) {
    if (Number(text) * 1000 < least) throw wrong;
    return Number(text) * 1000;
  }
  if (!/^(\d+(ms|s|m|h|d))+$/.test(text)) throw wrong;
  const ms = [...text.matchAll(/(\d+)(ms|s|m|h|d)/g)].reduce(
    (sum, [, count = '0', unit = 's']) => sum + Number(count) * (UNITS[unit] ?? 0),
    0,
  );
  if (ms < least) throw wrong;
  return ms;
}
