import { commandLine } from '../../scripts/commandLine.ts';
import { fuzzBackend } from './backend.ts';
import { fuzz, randomFrom } from './fuzzer.ts';
import { fuzzPorts } from './ports.ts';
import { targets } from './targets.ts';

const BACKEND = 'requests to the backend';
const PORTS = 'ports: hostile requests to every HTTP port';

const HELP = `npm run fuzz -- [--seconds N] [--seed S] [NAME…]

Each parser of ours, guided by coverage, the backend and every HTTP port. Exit code 1 if one fails.

  --seconds N   for so long each (default 30)
  --seed S      the same inputs again
  NAME          only what has this word in its name`;

const { values, positionals } = commandLine(HELP, {
  options: { seconds: { type: 'string', default: '30' }, seed: { type: 'string', default: String(Date.now() % 1e9) } },
  allowPositionals: true,
});
const seed = Number(values.seed);
const isChosen = (name: string) => positionals.length === 0 || positionals.some(word => name.includes(word));
/** A clock for one target. */
const until = () => {
  const end = performance.now() + Number(values.seconds) * 1000;
  return () => performance.now() > end;
};
const fails = (input: unknown, error: unknown) => {
  console.log(`\nFAILED with ${JSON.stringify(input)}\n${error instanceof Error ? error.stack : String(error)}`);
  process.exitCode = 1;
};

console.log(`seed ${seed}, ${values.seconds} s each\n`);
console.log('runs      kept  code reached  target');
for (const target of targets.filter(({ name }) => isChosen(name))) {
  const { runs, kept, reached, of, name, failure } = fuzz(target, randomFrom(seed), until());
  const share = `${((100 * reached) / of).toFixed(1)} %`;
  console.log([String(runs).padEnd(10), String(kept).padEnd(6), share.padEnd(14), name].join(''));
  if (failure) fails(failure.input, failure.error);
}
if (isChosen(BACKEND)) {
  const { requests, statuses, failures } = await fuzzBackend(seed, until());
  const told = [...statuses].sort(([a], [b]) => a - b).map(([status, times]) => `${times} × ${status || 'broken off'}`);
  console.log(`${String(requests).padEnd(30)}${BACKEND}: ${told.join(', ')}`);
  for (const { what, shot } of failures)
    fails(
      shot?.pieces.map(piece => piece.toString('latin1').slice(0, 2_000)),
      what,
    );
}
if (isChosen(PORTS)) {
  const { requests, failures } = await fuzzPorts(seed, until());
  console.log(`${String(requests).padEnd(30)}${PORTS}`);
  for (const { what, request } of failures) fails(request, what);
}
