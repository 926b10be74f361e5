import { readConfig } from './config.ts';
import { createLog, errorFields, inOneWrite, scrubber } from './log.ts';
import { type Backend, startBackend } from './server.ts';
import { checkKey } from './startupCheck.ts';

if (process.argv.slice(2).some(argument => argument === '--help' || argument === '-h')) {
  const { USAGE } = await import('./usage.ts');
  process.stdout.write(USAGE);
  process.exit(0);
}

// Cloud Run kills 10 s after its SIGTERM (container contract); the last second is for going.
const graceMs = 9000;

const scrub = scrubber([process.env.OPENAI_API_KEY ?? '', process.env.OPENAI_API_KEY?.trim() ?? '']);
const output = inOneWrite(lines => process.stdout.write(lines));
process.once('exit', output.flush);
const log = createLog(output.write, scrub);

let starting: Promise<Backend> | undefined;
let stopping = false;
const stop = async (why: Record<string, string>, code: number) => {
  if (stopping) return;
  stopping = true;
  log('INFO', 'stopping', why);
  const finished = await (await starting)?.close(graceMs);
  log(finished ? 'INFO' : 'WARNING', finished ? 'stopped' : 'stopped, some requests were cut');
  process.exit(code);
};

// A rejected promise leaves only its own request undone. After an exception outside of any promise the state of the process is
// unknown: it takes nothing new, lets the answers under way finish, and ends.
process.on('unhandledRejection', error => log('ERROR', 'unhandled rejection', errorFields(error)));
process.on('uncaughtException', error => {
  log('ERROR', 'uncaught error', errorFields(error));
  stop({ error: 'uncaught' }, 1).catch(() => process.exit(1));
});
// Nobody reads the log any more: no reason to stop answering.
process.stdout.on('error', () => {});

try {
  const config = readConfig(process.env);
  // Diagnostic reports and child processes would carry it on.
  delete process.env.OPENAI_API_KEY;
  process.report.excludeEnv = true;
  if (config.startupCheckKey) await checkKey(config, log);
  starting = startBackend(config, log, scrub);
  process.once('SIGTERM', signal => void stop({ signal }, 0));
  process.once('SIGINT', signal => void stop({ signal }, 0));

  const { port } = await starting;
  log('INFO', 'listening', { port, model: config.model });
  if (!config.key.ok) log('WARNING', config.key.problem.message);
} catch (error) {
  // Its own texts (of readConfig) and the system's name no value.
  const { code, port, message } = error as NodeJS.ErrnoException & { port?: number };
  const why = code === 'EADDRINUSE' ? `port ${port} is in use by another program: set PORT to another one.` : message;
  log('ERROR', `can't start: ${why}`);
  process.exit(1);
}
