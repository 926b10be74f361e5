import { basename } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

/** Prints a table of the scenarios at the end of the run: what each of them is, its result and its time in seconds. */
export default class ScenarioTable implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = modules.flatMap(module => {
      const tests = [...module.children.allTests()];
      const spent = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
      const setup =
        module.diagnostic().duration - tests.reduce((sum, test) => sum + (test.diagnostic()?.duration ?? 0), 0);
      return [
        ...tests.map(test => [
          basename(module.moduleId),
          test.fullName,
          test.result().state,
          spent(test.diagnostic()?.duration ?? 0),
        ]),
        [basename(module.moduleId), '(start and stop)', '', spent(setup)],
      ];
    });
    const table = [['file', 'scenario', 'result', 'time'], ['---', '---', '---', '---'], ...rows];
    process.on('exit', () => {
      for (const row of table) console.log(`| ${row.join(' | ')} |`);
    });
  }
}
