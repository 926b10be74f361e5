import type { Json } from '../../../ports/json.ts';
import type { Script } from '../../../sandbox/gcp/run/scriptedContainers.ts';
import { type Exchange, fieldOf, isObject } from '../exchange.ts';

/** How a container failed, by the reason of a condition. Other failures have their cause in what was requested. */
const SCRIPTS: Record<string, Script> = {
  CONTAINER_MISSING: 'missing',
  HEALTH_CHECK_CONTAINER_ERROR: 'never',
};

/** The images that did not start in the recording, and so do not start in its replay. */
export function failingImages(exchanges: Exchange[]): Map<string, Script> {
  const scripts = new Map<string, Script>();
  const visit = (value: Json | undefined): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    if (!isObject(value)) return;
    const image = fieldOf(value, 'template.containers.0.image');
    const conditions = Array.isArray(value.conditions) ? value.conditions : [];
    for (const condition of [value.terminalCondition, ...conditions]) {
      const reasons = [fieldOf(condition, 'reason'), fieldOf(condition, 'revisionReason')];
      const script = reasons.map(reason => SCRIPTS[String(reason)]).find(one => one !== undefined);
      if (typeof image === 'string' && script !== undefined) scripts.set(image, script);
    }
    for (const inner of Object.values(value)) if (typeof inner === 'object') visit(inner);
  };
  for (const { body } of exchanges) visit(body);
  return scripts;
}
