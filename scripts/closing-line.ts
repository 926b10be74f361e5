import type { Reporter, TestModule } from 'vitest/node';
import { printNow } from './printNow.ts';

/**
 * Prints the line that scripts look for at the end of a test run: `N passed, N failed`; before it what failed at first, and after
 * many files the slowest of them.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    let skipped = 0;
    const second: string[] = [];
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1;
      for (const test of module.children.allTests()) {
        const state = test.result().state;
        if (test.diagnostic()?.flaky) second.push(test.fullName);
        if (state === 'passed') passed += 1;
        else if (state === 'failed') failed += 1;
        else skipped += 1;
      }
    }
    process.on('exit', () => {
      for (const line of slowest(modules)) printNow(line);
      for (const name of second) printNow(`Passed only at the second attempt: ${name}`);
      printNow(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    });
  }
}

/** The slowest 20 files of a run that had more. A test of over 2 s belongs into a file of `npm run test:long`, so each file shows its slowest. */
function slowest(modules: readonly TestModule[]): string[] {
  if (modules.length <= 20) return [];
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1).padStart(6)} s`;
  const files = modules.map(module => {
    const { collectDuration, setupDuration, duration } = module.diagnostic();
    const tests = [...module.children.allTests()].map(test => test.diagnostic()?.duration ?? 0);
    return {
      path: module.relativeModuleId,
      ms: collectDuration + setupDuration + duration,
      test: Math.max(0, ...tests),
    };
  });
  const first = files.toSorted((a, b) => b.ms - a.ms).slice(0, 20);
  return [
    'The slowest 20 files: all of it, its slowest test',
    ...first.map(({ path, ms, test }) => `${seconds(ms)} ${seconds(test)}  ${path}`),
  ];
}
