import type { InventoryEntry, ObservedService, TenantSpec } from '../types.ts';
import { stayingNotes } from './laid.ts';

/** Messages about optional fields that are shown in Ready although nothing is wrong. */
export function fieldNotes(spec: TenantSpec, found: ObservedService, recorded: InventoryEntry[]): string[] {
  return [
    ...stayingNotes(spec, { service: found.raw, template: found.template }, recorded),
    ...(found.raw.defaultUriDisabled === true
      ? ['The run.app URL of the service is disabled, so status.url is absent.']
      : []),
    ...iapNotes(spec, found),
  ];
}

/**
 * IAP calls the service as its service agent, so without that invoker nobody gets in.
 * Source: docs.cloud.google.com/run/docs/securing/identity-aware-proxy-cloud-run.
 */
function iapNotes({ fields, invokers }: TenantSpec, { urls, name }: ObservedService): string[] {
  if (fields?.iap !== 'Enabled') return [];
  const number = urls.flatMap(url => /-(\d+)\.[a-z0-9-]+\.run\.app$/.exec(url)?.[1] ?? [])[0];
  const agent = (of: string) => `serviceAccount:service-${of}@gcp-sa-iap.iam.gserviceaccount.com`;
  const isInvoker = number === undefined ? invokers.some(isAnyAgent) : invokers.includes(agent(number));
  if (isInvoker) return [];
  const find = `gcloud projects describe ${name.split('/')[1]} --format='value(projectNumber)'`;
  return [
    `IAP lets nobody in until its service agent is among spec.invokers: ${agent(number ?? `PROJECT_NUMBER`)}` +
      `${number === undefined ? ` (the number: \`${find}\`)` : ''}.`,
  ];
}

const isAnyAgent = (member: string): boolean =>
  /^serviceAccount:service-\d+@gcp-sa-iap\.iam\.gserviceaccount\.com$/.test(member);
