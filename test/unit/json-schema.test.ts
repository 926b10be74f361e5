import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { jsonSchemas } from '../../scripts/jsonSchema.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const schemas = jsonSchemas(readFileSync(`${ROOT}crds/aitenants.yaml`, 'utf8'));

/** test/e2e/go-tools.test.ts lets kubeconform validate objects by these schemas. */

test('crds/schemas has what scripts/jsonSchema.ts makes of the CRD, and nothing else (node scripts/jsonSchema.ts)', () => {
  const files = globSync('**/*.json', { cwd: `${ROOT}crds/schemas` });
  expect(files.sort()).toEqual([...schemas.keys()].sort());
  for (const [path, text] of schemas) expect(readFileSync(`${ROOT}crds/schemas/${path}`, 'utf8')).toBe(text);
});

test('a schema has the file name, version and kind that editors and kubeconform look for', () => {
  const schema = JSON.parse(schemas.get('ai-platform.dev/aitenant_v1alpha1.json') ?? '');
  expect(schema.properties.apiVersion.enum).toEqual(['ai-platform.dev/v1alpha1']);
  expect(schema.properties.kind.enum).toEqual(['AiTenant']);
  expect(schema.properties.spec).toMatchObject({ required: ['region', 'keys'], additionalProperties: false });
  expect(schema.properties.spec.properties.resources.properties.cpu.type).toEqual(['integer', 'string']);
  expect(JSON.stringify(schema)).not.toContain('x-kubernetes');
});
