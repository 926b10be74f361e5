import type { Reporter, TestModule } from 'vitest/node';
import { printNow } from './printNow.ts';

/**
 * Prints the line that scripts look for at the end of a test run: `N passed, N failed`; and before
 * it what failed at first.
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
      for (const name of second) printNow(`Passed only at the second attempt: ${name}`);
      printNow(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    });
  }
}
