import { parseArgs } from 'node:util';
import { fuzz, randomFrom } from './fuzzer.ts';
import { targets } from './targets.ts';

/** `npm run fuzz -- [--seconds N] [--seed S] [NAME…]`: each parser of ours for so long, guided by coverage. */
const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '30' }, seed: { type: 'string', default: String(Date.now() % 1e9) } },
  allowPositionals: true,
});
const chosen = targets.filter(({ name }) => positionals.length === 0 || positionals.some(word => name.includes(word)));
console.log(`seed ${values.seed}, ${values.seconds} s each\n`);
console.log('runs      kept  code reached  target');
for (const target of chosen) {
  const end = performance.now() + Number(values.seconds) * 1000;
  const found = fuzz(target, randomFrom(Number(values.seed)), () => performance.now() > end);
  const share = `${((100 * found.reached) / found.of).toFixed(1)} %`;
  const cells = [String(found.runs).padEnd(10), String(found.kept).padEnd(6), share.padEnd(14), found.name];
  console.log(cells.join(''));
  if (!found.failure) continue;
  const { input, error } = found.failure;
  console.log(`\nFAILED with ${JSON.stringify(input)}\n${error instanceof Error ? error.stack : String(error)}`);
  process.exitCode = 1;
}
