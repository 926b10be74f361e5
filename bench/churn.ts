import { readFileSync } from 'node:fs';
import { createChurnWorld } from './support/churn.ts';
import type { Figure } from './support/figure.ts';
import { heapMiB, publish, shown } from './support/report.ts';

/**
 * Tenants that are created, become Ready and are deleted, in virtual time: how much of the heap is the operator's after the
 * first thousand and after twenty thousand. Its share is what is free once it has stopped and nothing refers to it any more;
 * the local Google Cloud and Kubernetes API keep much more than it does.
 */

const [FIRST, LAST] = [1_000, 20_000];

const figures: Figure[] = [];
// What is compiled and cached once in the life of a process is not of any number of tenants.
await operatorMiB(1_000);
const first = await operatorMiB(FIRST);
const last = await operatorMiB(LAST);
figures.push({ what: `the operator's heap after ${FIRST.toLocaleString('en-US')} tenants, MiB`, value: first });
figures.push({
  what: `the operator's heap after ${LAST.toLocaleString('en-US')} tenants, MiB`,
  value: last,
  plot: true,
});
// A process with one tenant, as `npm run bench -- tenants` last measured it: Node.js, the code and one tenant.
const { figures: measured } = JSON.parse(readFileSync(new URL('results/tenants.json', import.meta.url), 'utf8')) as {
  figures: Figure[];
};
const idle = measured.find(({ what }) => what === '1: operator process: resident, MiB')?.value ?? Number.NaN;
figures.push({ what: 'resident memory of an idle operator process, MiB (tenants.json)', value: idle });
figures.push({ what: 'idle + the second ÷ idle + the first', value: (idle + last) / (idle + first), target: '≤ 1.1' });
publish({
  name: 'churn',
  title: 'Tenants that come and go',
  figures,
  notes: [
    'Fifty at a time, in five namespaces that come and go with them, beside ten tenants that stay; one in ten never becomes Ready.',
    'Measured two hours after the last one has gone, with the published quotas and the metrics of the process.',
  ],
});
process.exit(0);

async function operatorMiB(tenants: number): Promise<number> {
  const world = await createChurnWorld();
  await world.churn(tenants);
  await world.rest();
  const all = await settledHeapMiB();
  await world.release();
  const rest = await settledHeapMiB();
  // A run takes minutes: it says how far it is.
  console.error(`  ${tenants} tenants: ${shown(all - rest)} MiB of ${shown(all)} are the operator's`);
  return all - rest;
}

async function settledHeapMiB(): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    heapMiB();
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  return heapMiB();
}
