import type { Operator } from '../operator/operator.ts';
import type { Figure } from './support/figure.ts';
import { pass, settled } from './support/interval.ts';
import { publish, quantile, shown } from './support/report.ts';
import { createWorld, until, type World } from './support/world.ts';

/**
 * Whether a tenant costs more where there are more of them. Two worlds, of 1,000 and of 10,000 tenants (`--n=A,B`), pass five intervals
 * each, in turn, so that other work on the machine falls on both. What is measured is the processor time of this thread without the
 * time in the stand-ins.
 */

const RUNS = 5;
const asked =
  process.argv
    .find(argument => argument.startsWith('--n='))
    ?.slice(4)
    .split(',')
    .map(Number) ?? [];
const sizes = asked.length === 2 ? asked : [1_000, 10_000];

const processorMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

interface Grown {
  count: number;
  world: World;
  operator: Operator;
  /** Microseconds a tenant, of each run. */
  costs: number[];
}

/** Processor time of the operator during `work`, microseconds a tenant. */
async function cost({ busy }: World, count: number, work: () => Promise<void>): Promise<number> {
  busy.gcpMs = busy.kubeMs = 0;
  const before = processorMs();
  await work();
  return ((processorMs() - before - busy.gcpMs - busy.kubeMs) * 1000) / count;
}

const figures: Figure[] = [];
const grown: Grown[] = [];
for (const count of sizes) {
  const world = await createWorld({ creationMs: 1_000, clock: processorMs });
  await world.prepare(count);
  const operator = await world.start();
  const fresh = await cost(world, count, async () => {
    await world.createTenants(count);
    await until(() => world.ready.size === count, `${count} tenants are Ready`);
  });
  figures.push({ what: `${count.toLocaleString('en-US')}: a new tenant until Ready, one run, µs`, value: fresh });
  console.error(`  ${count}: all are Ready, ${shown(fresh)} µs each`);
  await settled(operator);
  // Once round, so that each tenant has its slot.
  await pass(world.time, operator);
  grown.push({ count, world, operator, costs: [] });
}
for (let run = 0; run < RUNS; run++) {
  for (const { count, world, operator, costs } of grown) {
    costs.push(await cost(world, count, () => pass(world.time, operator)));
    console.error(`  ${count}: interval ${run + 1} of ${RUNS}: ${shown(costs.at(-1) ?? Number.NaN)} µs a tenant`);
  }
}
for (const { count, costs } of grown) {
  const of = `${count.toLocaleString('en-US')}: a tenant and interval, µs`;
  figures.push({ what: `${of}, median of ${RUNS}`, value: quantile(costs, 0.5), plot: true });
  figures.push({ what: `${of}, least`, value: Math.min(...costs) }, { what: `${of}, most`, value: Math.max(...costs) });
}
const [few, many] = grown as [Grown, Grown];
const ratios = few.costs.map((value, run) => (many.costs[run] ?? Number.NaN) / value);
const what = `a tenant and interval at ${many.count.toLocaleString('en-US')} ÷ ${few.count.toLocaleString('en-US')}`;
figures.push({
  what: `${what}, medians`,
  value: quantile(many.costs, 0.5) / quantile(few.costs, 0.5),
  target: '≤ 1.05',
});
figures.push({ what: `${what}, least pair`, value: Math.min(...ratios) });
figures.push({ what: `${what}, most pair`, value: Math.max(...ratios) });
publish({
  name: 'growth',
  title: 'Growth',
  figures,
  notes: ['Processor time of the operator, without the stand-ins; the two sizes take turns.'],
});
process.exit(0);
