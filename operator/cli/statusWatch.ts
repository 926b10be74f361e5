import type { KubeApi, KubeObject, KubeWatchEvent } from '../../ports/kube.ts';
import { AI_TENANTS, keyOf, splitKey } from '../../ports/kubeResources.ts';
import { type Runtime, sleep } from '../../ports/runtime.ts';
import { watchOnce } from '../kube/watchOnce.ts';
import { logLine } from '../tenant/printable.ts';
import { ClusterUnread } from './clusterAccess.ts';
import { changeJson, changeLine, tableLines, tenantLines } from './statusOutput.ts';
import { listTenants, type Scope } from './tenantReads.ts';
import { type TenantStatusView, tenantStatus } from './tenantStatus.ts';
import { terminalSize } from './terminalSize.ts';

/**
 * `status --watch`: lists the tenants, watches them, and shows each change. On a terminal the screen is drawn again; elsewhere
 * lines are appended. It ends when the tenant of `scope.name` is deleted, or when nobody reads the output any more.
 */

/** Pauses after failures: 1, 2, 4 … s, at most this. */
const LONGEST_PAUSE_MS = 30_000;
/** A terminal is drawn at most this often, because a fleet may change hundreds of times a second. */
const DRAW_MS = 200;
const FIRST_PAUSE_MS = 1_000;

export async function watchStatus(kube: KubeApi, scope: Scope, runtime: Runtime): Promise<number> {
  const end = new AbortController();
  process.stdout.on('error', () => end.abort());
  const output = isTerminal() ? createScreen(scope, runtime) : createLog(scope, runtime);
  const tenants = new Map<string, KubeObject>();
  const isShown = ({ metadata }: KubeObject) => scope.name === undefined || metadata.name === scope.name;

  const remove = (key: string) => {
    if (!tenants.delete(key)) return;
    output.deleted(key, tenants);
    if (scope.name !== undefined) end.abort();
  };
  const put = (object: KubeObject) => {
    if (!isShown(object)) return;
    tenants.set(keyOf(object.metadata), object);
    output.changed(object, tenants);
  };
  const list = async (): Promise<string> => {
    const { objects, resourceVersion } = await listTenants(kube, scope.namespace);
    const keys = new Set(objects.map(({ metadata }) => keyOf(metadata)));
    for (const key of [...tenants.keys()]) if (!keys.has(key)) remove(key);
    for (const object of objects) put(object);
    return resourceVersion;
  };

  let resourceVersion: string | undefined = await list();
  let lastProblem: string | undefined;
  for (let failures = 0; !end.signal.aborted; ) {
    const problem: string | undefined = resourceVersion === undefined ? await relist() : await watch(resourceVersion);
    if (problem === undefined) {
      failures = 0;
      lastProblem = undefined;
      continue;
    }
    if (end.signal.aborted) break;
    // The same problem is reported once, even if it lasts for an hour.
    if (problem !== lastProblem) output.problem(problem);
    lastProblem = problem;
    await sleep(runtime, Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS), end.signal);
  }
  output.close();
  return 0;

  async function relist(): Promise<string | undefined> {
    try {
      resourceVersion = await list();
      return undefined;
    } catch (error) {
      if (error instanceof ClusterUnread) return error.message;
      throw error;
    }
  }

  /** One watch. If the server does not know the version any more, or the watch fails, the tenants are listed again. */
  async function watch(from: string): Promise<string | undefined> {
    const onEvent = ({ type, object }: KubeWatchEvent) => {
      resourceVersion = object.metadata.resourceVersion ?? resourceVersion;
      if (type === 'DELETED') remove(keyOf(object.metadata));
      else if (type !== 'BOOKMARK') put(object);
    };
    const { signal } = end;
    const { namespace } = scope;
    const ended = await watchOnce({
      api: kube,
      runtime,
      resource: AI_TENANTS,
      namespace,
      resourceVersion: from,
      signal,
      onEvent,
    });
    if (ended.ok) return undefined;
    resourceVersion = undefined;
    return ended.status.code === 410 ? undefined : `can't watch AiTenants: ${ended.status.message}`;
  }
}

const isTerminal = (): boolean => process.stdout.isTTY === true && process.env.TERM !== 'dumb';

type Tenants = ReadonlyMap<string, KubeObject>;

interface Output {
  changed(object: KubeObject, all: Tenants): void;
  deleted(key: string, all: Tenants): void;
  problem(message: string): void;
  close(): void;
}

/** Appends what has changed. A change of the object that does not change what is shown is left out. */
function createLog({ name, isJson }: Scope, runtime: Runtime): Output {
  const last = new Map<string, string>();
  const write = (line: string) => process.stdout.write(`${line}\n`);
  const timed = (text: string) => `${time(runtime)} ${text}`;
  const textOf = (view: TenantStatusView) =>
    name === undefined ? timed(changeLine(view)) : [time(runtime), ...tenantLines(view, runtime.now()), ''].join('\n');
  return {
    changed(object) {
      const view = tenantStatus(object);
      const key = keyOf(object.metadata);
      const content = JSON.stringify(view);
      if (last.get(key) === content) return;
      last.set(key, content);
      write(isJson ? changeJson([view]) : textOf(view));
    },
    deleted(key) {
      last.delete(key);
      write(isJson ? changeJson([], placeOf(key)) : timed(`${key} is deleted.`));
    },
    problem(message) {
      console.error(logLine(`status: ${message}. Trying again.`));
    },
    close() {},
  };
}

/** Draws the whole screen again after a change. */
function createScreen(scope: Scope, runtime: Runtime): Output {
  if (scope.isJson) return createLog(scope, runtime);
  let cancel: (() => void) | undefined;
  let draw = () => {};
  let last = '';
  const later = (lines: () => string[]) => {
    draw = () => {
      cancel?.();
      cancel = undefined;
      const { rows = Number.POSITIVE_INFINITY } = terminalSize();
      const all = [`${time(runtime)}   Ctrl-C ends`, '', ...lines()];
      const fitting = scope.name === undefined && all.length > rows ? [...all.slice(0, rows - 2), '…'] : all;
      // To the top left corner, and each line and the rest of the screen cleared (ECMA-48: CUP, EL, ED).
      process.stdout.write(`\x1b[H${fitting.map(line => `${line}\x1b[K`).join('\n')}\n\x1b[J${last}`);
      last = '';
    };
    cancel ??= runtime.after(DRAW_MS, () => draw());
  };
  const contentOf = (all: Tenants) => {
    const views = [...all.keys()]
      .sort()
      .flatMap(key => all.get(key) ?? [])
      .map(tenantStatus);
    if (scope.name !== undefined) return views.flatMap(view => tenantLines(view, runtime.now()));
    return tableLines(views, { withNamespace: scope.namespace === undefined, width: terminalSize().columns });
  };
  return {
    changed: (_, all) => later(() => contentOf(all)),
    deleted(key, all) {
      last = `${key} is deleted.\n`;
      later(() => contentOf(all));
    },
    problem(message) {
      process.stdout.write(`${logLine(`${message}. Trying again.`)}\n`);
    },
    close: () => draw(),
  };
}

function placeOf(key: string): { namespace: string; name: string } {
  const { namespace = '', name } = splitKey(key);
  return { namespace, name };
}

/** The time of day in UTC, such as 15:04:05Z. */
const time = (runtime: Runtime): string => `${new Date(runtime.now()).toISOString().slice(11, 19)}Z`;
