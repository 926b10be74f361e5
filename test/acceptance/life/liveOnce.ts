import type { Exchange } from '../exchange.ts';
import { EXPIRES } from '../names.ts';
import { createOperatorCalls } from '../operatorCalls.ts';
import { startOperatorWorld } from '../operatorWorld.ts';
import type { Options } from '../options.ts';
import { stepLine } from '../report.ts';
import type { Session } from '../session.ts';
import { cloudReader } from './cloudReader.ts';
import type { StepResult } from './life.ts';
import { runLife } from './lifeRunner.ts';
import { createPinger } from './pinger.ts';
import { STEPS } from './steps.ts';

interface Lived {
  steps: StepResult[];
  /** What the operator tried to change although it is not the run's. */
  refused: string[];
}

/** Starts the operator, leads a tenant through its life, and stops the operator. */
export async function liveOnce(
  session: Session,
  { region, secondRegion }: Options,
  env: Record<string, string | undefined>,
  { print, signal }: { print: (text: string) => void; signal: AbortSignal },
): Promise<Lived> {
  const { project, prefix, expires, addresses, guard, log, caller, pollMs, waitMs } = session;
  const { isReal } = addresses;
  const calls = createOperatorCalls({ env, addresses, guard, log });
  const writes: Exchange[] = [];
  let last = 0;
  const forget = log.listen(exchange => {
    last = exchange.id;
    if (exchange.by === 'operator' && exchange.method !== 'GET') writes.push(exchange);
  });
  // Long enough that a step that reads both services sees them side by side.
  const regionMoveGraceMs = Math.max(1_000, 10 * pollMs);
  const operator = await startOperatorWorld({ project, expires, call: calls.call, regionMoveGraceMs, signal });
  const life = {
    project,
    region,
    secondRegion,
    name: (suffix: string) => `${prefix}-${suffix}`,
    labels: { [EXPIRES]: expires },
    description: `${EXPIRES}=${expires}`,
    call: caller.call,
    operator,
    cloud: cloudReader(caller.call, project),
    pinger: createPinger(isReal ? 500 : 100),
    writesSince: (from: number) => writes.filter(({ id }) => id > from),
    lastExchange: () => last,
    place: { region },
    waitMs,
    pollMs,
  };
  try {
    const steps = await runLife(STEPS, life, { signal, onResult: result => print(stepLine(result)) });
    const complaints = operator.complaints();
    if (steps.some(({ outcome }) => outcome === 'failed') && complaints.length > 0) {
      print(`The last warnings of the operator:\n${complaints.map(line => `  ${line}`).join('\n')}`);
    }
    return { steps, refused: calls.refused };
  } finally {
    await operator.stop();
    forget();
    calls.close();
  }
}
