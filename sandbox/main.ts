import { AI_TENANTS } from '../ports/kubeResources.ts';
import { demonstrate, takeAway } from './demo/demo.ts';
import { nextSteps } from './demo/nextSteps.ts';
import { tail } from './operatorProcess.ts';
import { type Options, readOptions, UsageError, usage } from './options.ts';
import { createProgress, Failure } from './progress.ts';
import { startWorld, type World } from './world.ts';

/**
 * `npm run sandbox`. Exit codes: 0 after the demonstration (`--once`) or when a signal stops it, 1 after a failure, 2 for wrong
 * options, and 128 + the signal's number if a signal arrives before `--once` has finished.
 */

const print = (line: string): void => console.log(line);

async function main(options: Options): Promise<void> {
  const closers: (() => Promise<void> | void)[] = [];
  let world: World | undefined;
  let ending: Promise<never> | undefined;

  const end = (code: number): Promise<never> => {
    ending ??= (async () => {
      if (options.kube === 'current' && world)
        await leaveCluster(world, options.demo).catch(error => console.error(telling(error)));
      for (const close of closers.reverse()) await close();
      if (world && !options.once) print(leaving(world));
      process.exit(code);
    })();
    return ending;
  };
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => {
      // A second signal ends the process at once. The watchdogs then kill the processes that still run.
      if (ending) process.exit(128 + number);
      print('\nStopping …');
      void end(options.once ? 128 + number : 0);
    });
  }

  try {
    const step = createProgress(print);
    print(`Sandbox in ${options.state}`);
    world = await startWorld(options, step, print, closers);
    const { operatorEnded } = world;
    const lost = operatorEnded.then(how => {
      if (!ending) throw new Failure(`The operator ended ${how}.`);
    });
    lost.catch(() => {});
    let tenantUrl: string | undefined;
    if (options.demo) {
      print('Demonstration');
      const demonstration = demonstrate(world, step, print);
      await Promise.race([demonstration, lost]);
      tenantUrl = await demonstration;
    }
    if (options.once) return await end(0);
    print(nextSteps(world, tenantUrl));
    await lost;
  } catch (error) {
    // An error while the sandbox is stopping is a consequence of the stop, not a failure to report.
    if (ending) return await ending;
    console.error(`\nFailed: ${telling(error)}`);
    const log = world && tail(world.operatorLog);
    if (log) console.error(`\nThe end of ${world?.operatorLog}:\n${log}`);
    await end(1);
  }
}

const telling = (error: unknown): string =>
  error instanceof Failure ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);

/** Asks the user to unset the exported variables, which a shell keeps after the sandbox has stopped. */
const leaving = ({ envFile }: World): string =>
  `Stopped. A shell that has sourced ${envFile} still points at this sandbox. Run in it: source ${envFile}.off`;

/**
 * With `--kube=current` the cluster stays after the sandbox. Deletes the demonstration's tenant while the operator still runs,
 * because only the operator removes its finalizer.
 */
async function leaveCluster(world: World, hadDemo: boolean): Promise<void> {
  if (hadDemo) {
    await Promise.race([takeAway(world), world.operatorEnded]);
  }
  const left = await world.kube.list(AI_TENANTS, {});
  const names = left.ok ? left.value.items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`) : [];
  if (names.length === 0) return;
  print(`Left in the cluster: ${names.join(', ')}. Start again with --kube=current to manage or delete them.`);
}

// By default Node.js ends the process on an unhandled rejection. One request that fails unexpectedly must not end all services
// of the sandbox.
process.on('unhandledRejection', error => console.error(`A bug in the sandbox, please report it: ${telling(error)}`));

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options === 'help') print(usage);
  else await main(options);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`sandbox: ${error.message}\nAll options: npm run sandbox -- --help`);
  process.exit(2);
}
