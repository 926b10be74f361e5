import type { ControllerParts } from './controller.ts';
import { createCrdController } from './crdController.ts';
import { createGarbageCollector } from './garbageCollector.ts';
import { createNamespaceController } from './namespaceController.ts';

/** Far more steps than any cluster here needs. Reaching it means a bug: two controllers undo each other's work. */
const MOST_STEPS = 1_000_000;

/**
 * The controllers that run beside the API in a real cluster. `settle()` runs all of them, one step at a time and in a fixed
 * order, until none has a pending action.
 */
export function createLifecycle(parts: ControllerParts) {
  const controllers = [createCrdController(parts), createGarbageCollector(parts), createNamespaceController(parts)];
  parts.store.onWrite((storage, event) => {
    for (const controller of controllers) controller.observe(storage, event);
  });
  return {
    settle() {
      for (let steps = 0; controllers.some(controller => controller.step()); steps += 1) {
        if (steps > MOST_STEPS) throw new Error('the local Kubernetes API does not settle');
      }
    },
  };
}
