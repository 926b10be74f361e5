import { onlyLatestServes, readsSecret } from './template.ts';
import type { ObservedService } from './types.ts';

/** What the revisions that serve may be and may do, as far as one read of their service shows it. */

/**
 * Whether the service serves the last update that Cloud Run accepted. Source: Cloud Run Admin API v2,
 * Service.terminal_condition.
 */
export function isReady(service: ObservedService): boolean {
  return (
    !service.reconciling &&
    service.terminal.state === 'SUCCEEDED' &&
    // Cloud Run counts generations from 1. `0` stands for a generation that the answer lacks.
    service.generation !== '0' &&
    service.observedGeneration === service.generation &&
    service.deleteTime === undefined
  );
}

/**
 * Whether no other revision serves than the one of the template. This is proved in two cases: the service is ready and its latest revision
 * gets all traffic; or no revision has ever served, because the service failed and has no latest ready revision (service.proto).
 */
function onlyTemplateServes(service: ObservedService): boolean {
  const settled = isReady(service) && onlyLatestServes(service.trafficStatuses, service.latestCreatedRevision);
  const failed = !service.reconciling && service.terminal.state === 'FAILED';
  return settled || (failed && service.latestReadyRevision === '');
}

/** Whether a revision that serves may still read the secret. */
export const mayRead = (service: ObservedService, secretId: string): boolean =>
  !onlyTemplateServes(service) || readsSecret(service.template, secretId);

/** Whether a revision that serves may run as the service account. */
export const mayRunAs = (service: ObservedService, email: string): boolean =>
  !onlyTemplateServes(service) || service.template.serviceAccount === email;
