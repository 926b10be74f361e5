import type { JsonObject } from '../../ports/json.ts';
import type { Context } from './context.ts';
import { sidecarsOf } from './fields/sidecarSpec.ts';
import { serviceEntry } from './inventory.ts';
import { part } from './names.ts';
import { claimService } from './ownership.ts';
import { printable } from './printable.ts';
import { sidecarsOf as others, servingContainer } from './template.ts';
import type { Observed, ObservedService } from './types.ts';

/**
 * Messages about content of adopted services that the spec does not name. Whoever may create services in the project can
 * prepare one whose command or variables send the tenant's keys elsewhere, so an event names that content before the service
 * gets a key. Only names are shown, because a value or an argument may be a key.
 */
export function adoptedContent(ctx: Context, observed: Observed): string[] {
  return observed.services.flatMap(({ name, service }) => {
    if (serviceEntry(ctx.status.inventory, name) || service.state !== 'present') return [];
    if (!['ours', 'consented'].includes(claimService(service.value, ctx.rules))) return [];
    const foreign = foreignContent(ctx, service.value);
    if (foreign.length === 0) return [];
    const [project, region, id] = [part(name, 'projects'), part(name, 'locations'), part(name, 'services')];
    return [
      printable(
        `The adopted Cloud Run service ${id} in ${region} keeps what this AiTenant does not name: ${foreign.join('; ')}. ` +
          `Check that it may read the keys: gcloud run services describe ${id} --region=${region} --project=${project}`,
      ),
    ];
  });
}

const list = (value: unknown): JsonObject[] => (Array.isArray(value) ? (value as JsonObject[]) : []);

function foreignContent({ desired }: Context, { template }: ObservedService): string[] {
  const { spec } = desired;
  const main = servingContainer(template);
  const ours = sidecarsOf(spec).map(({ name }) => name);
  const sidecars = others(template).filter(({ name }) => !ours.includes(String(name)));
  const named = new Set([...spec.env.map(({ name }) => name), ...spec.keys.flatMap(({ env }) => env ?? [])]);
  const variables = list(main.env).flatMap(({ name }) => (typeof name === 'string' && !named.has(name) ? name : []));
  const words = (field: 'command' | 'args', what: string) => {
    const count = spec.fields?.[`container.${field}`] === undefined ? list(main[field]).length : 0;
    return count > 0 ? [`${what} (${count} words)`] : [];
  };
  return [
    ...words('command', 'a command'),
    ...words('args', 'arguments'),
    ...(variables.length > 0 ? [`variables ${some(variables)}`] : []),
    ...(sidecars.length > 0 ? [`sidecars ${some(sidecars.map(({ name, image }) => `${name ?? image}`))}`] : []),
  ];
}

/** With this many names the message fits into an event (1,024 bytes). */
const SHOWN = 10;
const some = (names: string[]): string =>
  names
    .slice(0, SHOWN)
    .map(name => name.slice(0, 50))
    .join(', ') + (names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '');
