import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { atRest, containerA, planFor, present, seen, serviceA, templateA } from './support/tenantWorld.ts';

/** What an adopted template holds that nobody named is told by name; a value may itself be a key and is never told. */

const VALUE = 'sk-secret-value';
const name = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,12}$/).filter(one => one !== 'OPENAI_API_KEY');
const templates = fc.record({
  command: fc.array(fc.constant(VALUE), { maxLength: 3 }),
  args: fc.array(fc.constant(VALUE), { maxLength: 3 }),
  variables: fc.uniqueArray(name, { maxLength: 4 }),
  sidecars: fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), { maxLength: 3 }),
});
const told = ({ command, args, variables, sidecars }: ReturnType<typeof sample>, inventory = [] as typeof atRest) => {
  const env = variables.map((variable): JsonObject => ({ name: variable, value: VALUE }));
  const containers = [containerA({ command, args, env }), ...sidecars.map(one => ({ name: one, image: `i/${one}` }))];
  const labels = { 'ai-tenant-namespace': 'team' };
  const service = serviceA({ labels, template: templateA({ containers }) });
  const annotations = { 'ai-platform.dev/adopt': 'true' };
  return planFor({ annotations, status: { inventory }, cloud: { services: [seen(present(service))] } }).adopted;
};
const sample = () => fc.sample(templates, 1)[0] as { [of in 'command' | 'args' | 'variables' | 'sidecars']: string[] };

test('every command, argument, variable and sidecar that the spec does not name, and no value', () => {
  fc.assert(
    fc.property(templates, template => {
      const { command, args, variables, sidecars } = template;
      const [message = '', ...more] = told(template);
      expect(more).toEqual([]);
      expect(message === '').toBe([...command, ...args, ...variables, ...sidecars].length === 0);
      expect(message.includes(`a command (${command.length} words)`)).toBe(command.length > 0);
      expect(message.includes(`arguments (${args.length} words)`)).toBe(args.length > 0);
      if (variables.length > 0) expect(message).toContain(`variables ${variables.join(', ')}`);
      if (sidecars.length > 0) expect(message).toContain(`sidecars ${sidecars.join(', ')}`);
      expect(message).not.toContain(VALUE);
    }),
  );
});

test('a sidecar that the spec names is not told, and another one is', () => {
  const containers = [containerA(), ...['otel', 'theirs'].map(one => ({ name: one, image: `i/${one}` }))];
  const service = serviceA({ labels: { 'ai-tenant-namespace': 'team' }, template: templateA({ containers }) });
  const { adopted } = planFor({
    annotations: { 'ai-platform.dev/adopt': 'true' },
    spec: { sidecars: [{ name: 'otel', image: 'i/otel' }] },
    status: { inventory: [] },
    cloud: { services: [seen(present(service))] },
  });
  expect(adopted.join()).toContain('sidecars theirs.');
});

test('nothing of a service that the tenant knows as its own already', () => {
  expect(told({ command: [VALUE], args: [], variables: ['A'], sidecars: ['b'] }, atRest)).toEqual([]);
});
