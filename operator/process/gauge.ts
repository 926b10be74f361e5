import { Gauge, type Registry } from 'prom-client';

type Labels = Record<string, string>;

/** Registers a gauge whose series are computed anew for each scrape. */
export function gauge(
  registry: Registry,
  name: string,
  labelNames: string[],
  help: string,
  collect: (set: (labels: Labels, value: number) => void) => void,
): void {
  new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      collect((labels, value) => this.set(labels, value));
    },
  });
}
