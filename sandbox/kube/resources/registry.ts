import type { ResourceDef } from './resource.ts';

export type Registry = ReturnType<typeof createRegistry>;

/** The resources that are served now, built-in and custom. */
export function createRegistry(builtIns: ResourceDef[]) {
  const defs = new Map(builtIns.map(def => [`${def.group}/${def.plural}`, def]));
  const listeners = new Set<(def: ResourceDef) => void>();
  let generation = 0;
  return {
    all: () => [...defs.values()],
    find: (group: string, plural: string) => defs.get(`${group}/${plural}`),
    set(def: ResourceDef) {
      defs.set(`${def.group}/${def.plural}`, def);
      generation += 1;
    },
    remove(group: string, plural: string) {
      const def = defs.get(`${group}/${plural}`);
      defs.delete(`${group}/${plural}`);
      generation += 1;
      if (def) for (const listener of listeners) listener(def);
    },
    onRemove: (listener: (def: ResourceDef) => void) => void listeners.add(listener),
    /** Grows with every change, so that documents made from it can be kept. */
    generation: () => generation,
  };
}
