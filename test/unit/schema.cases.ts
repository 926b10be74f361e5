import type { PlainObject } from '../../schema/types.ts';

/** A CRD with a bit of everything. What kube-apiserver 1.37.2 says of objects of it is in schema.recorded.json. */

const text = { type: 'string' };
export const widgetSchema: PlainObject = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 10, multipleOf: 2 },
        ratio: { type: 'number', exclusiveMinimum: true, minimum: 0, maximum: 1.5 },
        small: { type: 'integer', format: 'int32' },
        color: { type: 'string', enum: ['red', 'green'], default: 'red' },
        level: { type: 'integer', enum: [1, 2] },
        name: { type: 'string', minLength: 2, maxLength: 5, pattern: '^[a-z]+$' },
        when: { type: 'string', format: 'date-time' },
        address: { type: 'string', format: 'ipv4' },
        port: { 'x-kubernetes-int-or-string': true },
        labels: { type: 'object', additionalProperties: { type: 'string', maxLength: 3 }, maxProperties: 2 },
        tags: { type: 'array', items: text, 'x-kubernetes-list-type': 'set', maxItems: 3 },
        parts: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name', 'kind'],
          maxItems: 5,
          items: {
            type: 'object',
            required: ['name'],
            properties: {
              name: { type: 'string', maxLength: 20 },
              kind: { type: 'string', default: 'plain', maxLength: 20 },
              count: { type: 'integer', default: 1 },
            },
            'x-kubernetes-validations': [
              {
                rule: 'self.count >= oldSelf.count',
                message: 'count must not shrink',
                fieldPath: '.count',
                reason: 'FieldValueForbidden',
              },
            ],
          },
        },
        nested: {
          type: 'object',
          default: { deep: { a: 1 } },
          properties: {
            deep: { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'integer', default: 2 } } },
            maybe: { type: 'string', nullable: true, default: 'x' },
          },
        },
        free: {
          type: 'object',
          'x-kubernetes-preserve-unknown-fields': true,
          properties: { known: { type: 'object', properties: { a: text } } },
        },
        any: { 'x-kubernetes-preserve-unknown-fields': true },
        template: {
          type: 'object',
          'x-kubernetes-embedded-resource': true,
          'x-kubernetes-preserve-unknown-fields': true,
        },
        choice: {
          type: 'object',
          properties: { a: text, b: text },
          oneOf: [{ required: ['a'] }, { required: ['b'] }],
        },
        either: { type: 'integer', anyOf: [{ maximum: 3 }, { minimum: 7 }] },
        both: { type: 'integer', allOf: [{ minimum: 3 }, { maximum: 7 }] },
        never: { type: 'string', not: { enum: ['bad'] } },
        fixed: {
          type: 'string',
          maxLength: 20,
          'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'is fixed' }],
        },
        once: {
          type: 'integer',
          'x-kubernetes-validations': [
            { rule: '!oldSelf.hasValue() || oldSelf.value() < self', optionalOldSelf: true, message: 'must grow' },
          ],
        },
        namespace: { type: 'string', maxLength: 20, 'x-kubernetes-validations': [{ rule: "self.startsWith('ns-')" }] },
        cpu: {
          'x-kubernetes-int-or-string': true,
          'x-kubernetes-validations': [
            {
              rule: "quantity(string(self)).compareTo(quantity('2')) <= 0",
              message: 'at most 2',
              reason: 'FieldValueForbidden',
            },
          ],
        },
      },
      'x-kubernetes-validations': [
        {
          rule: "!has(self.__namespace__) || self.__namespace__ != 'ns-bad'",
          messageExpression: "'no ' + self.__namespace__",
          fieldPath: '.namespace',
        },
        { rule: '!has(self.tags) || self.tags.all(t, t.size() < 4)', message: 'tags are short' },
        {
          rule: "!has(self.labels) || !('x' in self.labels) || self.labels['x'] == self.labels['y']",
          message: 'x is y',
        },
        {
          rule: "!has(self.when) || self.when > timestamp('2020-01-01T00:00:00Z')",
          message: 'too old',
          fieldPath: '.when',
          reason: 'FieldValueRequired',
        },
        {
          rule: 'self.nested.deep.b < 100',
          message: 'b is small',
          messageExpression: "self.nested.deep.b == 101 ? '' : 'b is %d'.format([self.nested.deep.b])",
        },
      ],
    },
    status: { type: 'object', properties: { phase: text } },
  },
  'x-kubernetes-validations': [
    {
      rule: "self.metadata.name != 'forbidden'",
      message: 'not this name',
      reason: 'FieldValueDuplicate',
      fieldPath: '.spec.name',
    },
  ],
};

export const crdOf = (openAPIV3Schema: PlainObject, more: PlainObject = {}): PlainObject => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.test.example.com' },
  spec: {
    group: 'test.example.com',
    scope: 'Namespaced',
    names: { kind: 'Widget', listKind: 'WidgetList', plural: 'widgets', singular: 'widget' },
    versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema } }],
    ...more,
  },
});

export const widgetOf = (spec: unknown, name = 'w'): PlainObject => ({
  apiVersion: 'test.example.com/v1',
  kind: 'Widget',
  metadata: { name, namespace: 'default' },
  spec,
});
