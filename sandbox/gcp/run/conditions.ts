import type { Condition } from './messages.ts';
import type { Failure } from './serviceState.ts';

/** The text and reason of a container that does not listen, as captured from the real service. */
export function notListening(port: number, logUri: string): Failure {
  return {
    message: `The user-provided container failed to start and listen on the port defined provided by the PORT=${port} environment variable within the allocated timeout. This can happen when the container port is misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this revision might contain more information.\n\nLogs URL: ${logUri}\nFor more troubleshooting guidance, see https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start `,
    reason: { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR' },
  };
}

export const imageMissing = (image: string): Failure => ({
  message: `Image '${image}' not found.`,
  reason: { reason: 'CONTAINER_MISSING' },
});

export const secretsFailed = (message: string): Failure => ({
  message,
  reason: { reason: 'SECRETS_ACCESS_CHECK_FAILED' },
});

/** A revision's failure as the service tells it. */
export const ofRevision = (id: string, failure: Failure): Failure => ({
  ...failure,
  message: `Revision '${id}' is not ready and cannot serve traffic. ${failure.message}`,
});

export const noSuchRevision = (id: string): Failure => ({
  message: `Revision '${id}' does not exist or is deleted. Update all traffic to route to currently available revisions.`,
  reason: { reason: 'REVISION_FAILED' },
});

export const succeeded = (type: string): Condition => ({ type, state: 'CONDITION_SUCCEEDED' });
export const reconciling = (type: string): Condition => ({ type, state: 'CONDITION_RECONCILING' });
export const failed = (type: string, { message, reason }: Failure): Condition => ({
  type,
  state: 'CONDITION_FAILED',
  message,
  severity: 'ERROR',
  ...reason,
});

/** `next` with the time of the last change of state carried over from `before`, or `now`. */
export function transition(before: Condition | undefined, next: Condition, now: string): Condition {
  return { ...next, lastTransitionTime: before?.state === next.state ? before.lastTransitionTime : now };
}

/** All of `next`, each against the one of its type in `before`. */
export const transitions = (before: Condition[], next: Condition[], now: string): Condition[] =>
  next.map(condition =>
    transition(
      before.find(({ type }) => type === condition.type),
      condition,
      now,
    ),
  );
