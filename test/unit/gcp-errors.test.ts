import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../../operator/gcp/errors.ts';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import type { FailureKind } from '../../operator/tenant/types.ts';
import type { GcpCode, GcpStatus } from '../../ports/gcp.ts';

const KINDS: [GcpCode, FailureKind][] = [
  ['CANCELLED', 'Transient'],
  ['UNKNOWN', 'Transient'],
  ['INVALID_ARGUMENT', 'Invalid'],
  ['DEADLINE_EXCEEDED', 'Transient'],
  ['NOT_FOUND', 'NotFound'],
  ['ALREADY_EXISTS', 'Conflict'],
  ['PERMISSION_DENIED', 'PermissionDenied'],
  ['RESOURCE_EXHAUSTED', 'QuotaExceeded'],
  ['FAILED_PRECONDITION', 'Invalid'],
  ['ABORTED', 'Conflict'],
  ['OUT_OF_RANGE', 'Invalid'],
  ['UNIMPLEMENTED', 'Invalid'],
  ['INTERNAL', 'Transient'],
  ['UNAVAILABLE', 'Transient'],
  ['DATA_LOSS', 'Transient'],
  ['UNAUTHENTICATED', 'PermissionDenied'],
];

describe.each(KINDS)('%s', (code, kind) => {
  test(`is ${kind} for every method, in Google Cloud's own words`, () => {
    for (const method of METHODS.keys()) {
      expect(failureOf(method, { code, message: 'Something happened.' })).toMatchObject({
        kind,
        message: 'Something happened.',
      });
    }
  });
});

const ACT_AS =
  "Permission 'iam.serviceaccounts.actAs' denied on service account sa-a@p.iam.gserviceaccount.com (or it may not exist).";
const GET = "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).";
const MEMBER = 'Service account sa-a@p.iam.gserviceaccount.com does not exist.';

describe('a fresh account that is not visible everywhere yet', () => {
  test.each<[string, GcpCode, string, FailureKind]>([
    [rpc.createService, 'PERMISSION_DENIED', ACT_AS, 'Propagating'],
    [rpc.updateService, 'PERMISSION_DENIED', ACT_AS, 'Propagating'],
    [rpc.deleteService, 'PERMISSION_DENIED', ACT_AS, 'PermissionDenied'],
    [rpc.getAccount, 'PERMISSION_DENIED', GET, 'Propagating'],
    [
      rpc.createAccount,
      'PERMISSION_DENIED',
      "Permission 'iam.serviceAccounts.create' denied on resource (or it may not exist).",
      'PermissionDenied',
    ],
    [rpc.getService, 'PERMISSION_DENIED', GET, 'PermissionDenied'],
    [
      rpc.getAccount,
      'PERMISSION_DENIED',
      "Permission 'iam.serviceAccounts.get' denied on resource.",
      'PermissionDenied',
    ],
    [rpc.setSecretPolicy, 'INVALID_ARGUMENT', MEMBER, 'Propagating'],
    [rpc.setServicePolicy, 'INVALID_ARGUMENT', MEMBER, 'Propagating'],
    [rpc.setSecretPolicy, 'INVALID_ARGUMENT', 'User a@example.com does not exist.', 'Invalid'],
    [rpc.createService, 'INVALID_ARGUMENT', MEMBER, 'Propagating'],
    [rpc.getSecretPolicy, 'INVALID_ARGUMENT', MEMBER, 'Invalid'],
    [rpc.setSecretPolicy, 'FAILED_PRECONDITION', MEMBER, 'Invalid'],
  ])('%s %s "%s" → %s', (method, code, message, kind) => {
    expect(failureOf(method, { code, message })).toMatchObject({ kind, message });
  });
});

test('whatever comes, the same status always gives the same kind of failure, and its delay up to a minute', () => {
  const status = fc.record({
    code: fc.constantFrom(...KINDS.map(([code]) => code)),
    message: fc.string(),
    details: fc.array(fc.jsonValue() as fc.Arbitrary<null>),
    retryAfterMs: fc.nat(),
  });
  fc.assert(
    fc.property(fc.constantFrom(...METHODS.keys()), status, (method, given: GcpStatus) => {
      const failure = failureOf(method, given);
      expect(failureOf(method, given)).toEqual(failure);
      expect(failure.retryAfterMs).toBe(Math.min(given.retryAfterMs ?? 0, 60_000));
      expect(failure.message.startsWith(given.message)).toBe(true);
    }),
  );
});

describe('a printed command names the project and the region that were asked for', () => {
  const region = "Permission denied on 'locations/mars-central1' (or it may not exist).";

  test.each([
    { parent: 'projects/my-project/locations/mars-central1' },
    { name: 'projects/my-project/locations/mars-central1/services/a' },
    { resource: 'projects/my-project/locations/mars-central1/services/a' },
    { service: { name: 'projects/my-project/locations/mars-central1/services/a' } },
  ])('%j', request => {
    const { advice } = failureOf(rpc.listServices, { code: 'PERMISSION_DENIED', message: region }, request);
    expect(advice).toMatch(/gcloud run regions list --project=my-project$/);
  });

  test('what Google Cloud itself names counts first', () => {
    const details = [{ reason: 'BILLING_DISABLED', metadata: { consumer: 'projects/billed' } }];
    const { advice } = failureOf(
      rpc.listServices,
      { code: 'PERMISSION_DENIED', message: 'No.', details },
      { parent: 'projects/my-project/locations/r' },
    );
    expect(advice).toContain('projects link billed ');
  });

  test.each([
    {},
    { parent: 'projects/-' },
    { name: 'projects/123/secrets/a' },
    { parent: 'projects/$(reboot)/locations/r' },
  ])('%j names no project id', request => {
    const { advice } = failureOf(rpc.listServices, { code: 'PERMISSION_DENIED', message: region }, request);
    expect(advice).toMatch(/--project=PROJECT$/);
  });
});
