import { stringify } from 'yaml';
import type { JsonObject } from '../../../ports/json.ts';
import { spec } from '../../e2e/support/world.ts';

/** The image of a tenant that names no other. It is in the file, because without `spec.image` the operator leaves the image as it is. */
const IMAGE = 'gcr.io/acme/app:1';

/** A file of the tenants' repository: the manifest of one AiTenant, with the key `key-of-TEAM` unless `over` names another. */
export function tenantFile(
  team: string,
  name: string,
  over: JsonObject = {},
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> } = {},
): string {
  const keys = [{ name: 'openai', secretRef: { external: keyOf(team) }, env: 'OPENAI_API_KEY' }];
  return stringify({
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name, ...metadata },
    spec: spec({ keys, image: IMAGE, ...over }),
  });
}

export const keyOf = (team: string) => `key-of-${team}`;

/** Where the ApplicationSet looks for a tenant's file. */
export const pathOf = (team: string, name: string) => `tenants/${team}/${name}.yaml`;

/** The Application that the ApplicationSet makes of it. */
export const applicationOf = (team: string, name: string) => `${team}-${name}`;
