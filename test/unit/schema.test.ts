import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileCrd } from '../../schema/index.ts';
import type { CompiledVersion, FieldCause, PlainObject } from '../../schema/types.ts';
import { crdOf, widgetOf, widgetSchema } from './schema.cases.ts';
import recorded from './schema.recorded.json' with { type: 'json' };

const lines = (causes: FieldCause[]): string[] => causes.map(cause => `${cause.field}: ${cause.message}`).sort();

function compiled(crd: PlainObject): CompiledVersion {
  const result = compileCrd(crd);
  if (!result.ok) throw new Error(lines(result.causes).join('\n'));
  const [version] = result.crd.versions;
  if (!version) throw new Error('no version');
  return version;
}

const widgets = compiled(crdOf(widgetSchema));
const admit = (object: PlainObject): PlainObject => widgets.prune(widgets.applyDefaults(object));
const causesOf = (crd: PlainObject): string[] => {
  const result = compileCrd(crd);
  return result.ok ? [] : lines(result.causes);
};
const specOf = (spec: unknown): unknown => admit(widgetOf(spec)).spec;

describe('an object, as kube-apiserver judges it', () => {
  it.each(recorded.objects)('$name', ({ spec, causes, ...more }) => {
    const old = 'old' in more ? admit(widgetOf(more.old)) : undefined;
    const name = 'widget' in more ? more.widget : 'w';
    expect(lines(widgets.validate(admit(widgetOf(spec, name)), old))).toEqual(causes);
  });
});

describe('a CustomResourceDefinition that kube-apiserver refuses', () => {
  it.each(recorded.crds)('$name', entry => {
    const crd = crdOf(
      ('schema' in entry ? entry.schema : { type: 'object' }) as PlainObject,
      ('spec' in entry ? entry.spec : {}) as PlainObject,
    );
    if ('crdName' in entry) crd.metadata = { name: entry.crdName };
    expect(causesOf(crd)).toEqual(entry.causes);
  });

  it('uses a function of CEL that is not known here: refused, never misjudged', () => {
    const rule = { rule: "format.named('dns1123Label').hasValue()" };
    const schema = { type: 'object', properties: { spec: { type: 'string', 'x-kubernetes-validations': [rule] } } };
    expect(causesOf(crdOf(schema))[0]).toContain("undeclared reference to 'named'");
  });

  it('has a rule that cannot be read', () => {
    const rule = { rule: 'self ==' };
    const schema = { type: 'object', properties: { spec: { type: 'string', 'x-kubernetes-validations': [rule] } } };
    expect(causesOf(crdOf(schema))[0]).toContain('compilation failed: ERROR: <input>:1:');
  });
});

describe('pruning', () => {
  it('drops what the schema does not know, and says where it was', () => {
    const object = widgetOf({ size: 2, foo: 1, parts: [{ name: 'a', y: 2 }] });
    const pruned = widgets.prune(object);
    expect(pruned).toEqual(widgetOf({ size: 2, parts: [{ name: 'a' }] }));
    expect(widgets.unknownFields(object)).toEqual(['spec.foo', 'spec.parts[0].y']);
  });

  it('keeps what is said to be free, but not in a part of it that is described', () => {
    const free = { x: { y: 1 }, known: { a: '1', b: 2 } };
    expect(specOf({ free })).toMatchObject({ free: { x: { y: 1 }, known: { a: '1' } } });
  });

  it("keeps a resource's apiVersion, kind and metadata, at the root and embedded", () => {
    const template = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: { a: 'b' } }, spec: { x: 1 } };
    const object = { ...widgetOf({ template }), metadata: { name: 'w', labels: { a: 'b' } }, extra: 1 };
    expect(widgets.prune(object)).toEqual({
      apiVersion: 'test.example.com/v1',
      kind: 'Widget',
      metadata: { name: 'w', labels: { a: 'b' } },
      spec: { template },
    });
  });

  it('drops a null that is not allowed and has no default', () => {
    expect(specOf({ size: 2, name: null })).not.toHaveProperty('name');
  });

  it('leaves its argument as it is', () => {
    const object = widgetOf({ foo: { bar: 1 } });
    const before = structuredClone(object);
    admit(object);
    expect(object).toEqual(before);
  });
});

describe('defaulting', () => {
  it('fills in what is absent, also inside of a default', () => {
    expect(specOf({ size: 2 })).toEqual({ size: 2, color: 'red', nested: { deep: { a: 1, b: 2 }, maybe: 'x' } });
  });

  it('takes null for absent where null is not allowed', () => {
    expect(specOf({ color: null, nested: { maybe: null } })).toMatchObject({ color: 'red', nested: { maybe: null } });
  });

  it('gives every object a default of its own', () => {
    const [first, second] = [admit(widgetOf({})), admit(widgetOf({}))] as { spec: PlainObject }[];
    expect(first?.spec.nested).not.toBe(second?.spec.nested);
  });
});

describe('an update', () => {
  const before = widgetOf({ size: 3, color: 'red' });

  it('does not refuse what was wrong already and has not been touched', () => {
    const after = widgetOf({ size: 3, color: 'green' });
    expect(lines(widgets.validate(admit(after), admit(before)))).toEqual([]);
  });

  it('refuses what is made wrong', () => {
    const after = widgetOf({ size: 5, color: 'red' });
    expect(lines(widgets.validate(admit(after), admit(before)))).toEqual([
      'spec.size: Invalid value: 5: spec.size in body should be a multiple of 2',
    ]);
  });
});

describe('whatever comes', () => {
  const anything = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<unknown>;
  /** Objects whose fields exist, with values that may be anything. */
  const names = Object.keys(specProperties());
  const near = fc.dictionary(fc.constantFrom(...names, 'foo', '__proto__', 'constructor'), anything, { maxKeys: 6 });

  it('pruning after defaulting is done once: a second time changes nothing', () => {
    fc.assert(
      fc.property(near, spec => {
        const once = admit(widgetOf(spec));
        expect(admit(once)).toEqual(once);
      }),
    );
  });

  it('what is admitted has no unknown field', () => {
    fc.assert(
      fc.property(near, spec => {
        expect(widgets.unknownFields(admit(widgetOf(spec)))).toEqual([]);
      }),
    );
  });

  it('validation answers and never throws', () => {
    fc.assert(
      fc.property(near, anything, (spec, old) => {
        const before = widgetOf(old);
        for (const cause of [...widgets.validate(widgetOf(spec)), ...widgets.validate(widgetOf(spec), before)]) {
          expect(cause.reason).toMatch(/^FieldValue[A-Z]/);
          expect(cause.field).not.toBe('');
        }
      }),
    );
  });

  it('any JSON for a CustomResourceDefinition is judged, not thrown at', () => {
    fc.assert(
      fc.property(anything, schema => {
        const result = compileCrd(crdOf(schema as PlainObject));
        if (!result.ok) expect(result.causes.length).toBeGreaterThan(0);
      }),
    );
  });
});

function specProperties(): PlainObject {
  const { properties } = widgetSchema as { properties: { spec: { properties: PlainObject } } };
  return properties.spec.properties;
}
