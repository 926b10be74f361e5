import { afterEach, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, spec, type World } from './support/world.ts';

/** Cloud Run works out the template's maximum of instances from the project's quota: 100 as a rule, or 20, or 5. */

let world: World;
afterEach(() => world.close());

test.each([
  [5, 10],
  [20, 10],
  [20, 150],
  [100, 150],
])(
  'a maximum of %i that the server fills in: a tenant that asks for %i becomes Ready and is left alone',
  async (defaultMaxInstances, maxInstances) => {
    world = await createWorld({ cloud: { defaultMaxInstances } });
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec({ scaling: { minInstances: 0, maxInstances } }));
    await world.ready('tenant-a');
    const { scaling, template } = (await world.service('tenant-a')) as { scaling: JsonObject; template: JsonObject };
    expect(Math.min(Number(scaling.maxInstanceCount), Number((template.scaling as JsonObject).maxInstanceCount))).toBe(
      maxInstances,
    );
    world.forget();
    await world.check('tenant-a');
    expect(world.writes()).toEqual([]);
  },
);
