import type { ControllerParts } from './controller.ts';
import { createCrdController } from './crdController.ts';
import { createGarbageCollector } from './garbageCollector.ts';
import { createNamespaceController } from './namespaceController.ts';

/** Far above what any cluster here needs: a cluster that never comes to rest is a bug. */
const MOST_STEPS = 1_000_000;

/**
 * What runs beside the API in a real cluster. `settle()` lets all controllers run, one step at a time and in a fixed
 * order, until nothing is left to do.
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
