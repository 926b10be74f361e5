import type { JsonObject } from '../../../ports/json.ts';
import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { ACCESSOR, grantOf, makeSecret, must, onceVisible, setPolicy, sharedAccount, sharedService } from './made.ts';
import { allOf, confirmed, fieldFits, judge, notObservable, refuses, refusesInput } from './verdicts.ts';

/** IAM policies: etags, versions, conditions, sizes. */

const section = 'IAM policies';

const CONDITION: JsonObject = {
  title: 'until 2099',
  expression: 'request.time < timestamp("2099-01-01T00:00:00Z")',
};

const conditional = (member: string): JsonObject[] => [{ role: ACCESSOR, members: [member], condition: CONDITION }];

interface Written {
  /** The policy of a secret on which nobody has set one. */
  unset: Exchange;
  /** The answer to a write with the etag of an earlier write. */
  stale: Exchange;
  /** What was read after a policy was emptied. */
  emptied: Exchange;
}

/** A secret whose policy is read, set, set again, set with a stale etag, and emptied. */
const written = (context: FactContext): Promise<Written> =>
  context.shared('policy', async () => {
    const { member } = await sharedAccount(context);
    const { url } = await makeSecret(context, 'policy');
    const read = () => context.call('GET', `${url}:getIamPolicy?options.requestedPolicyVersion=3`);
    const unset = await read();
    const first = must(await onceVisible(context, () => setPolicy(context, url, grantOf(member))));
    const { etag } = objectIn(first);
    must(await setPolicy(context, url, { ...grantOf(member, 'roles/secretmanager.viewer'), etag }));
    const stale = await setPolicy(context, url, { ...grantOf(member), etag });
    must(await setPolicy(context, url, { bindings: [] }));
    return { unset, stale, emptied: await read() };
  });

interface Conditional {
  /** The answer to a write of a condition that says `version: 1`. */
  asVersion1: Exchange;
  /** Reads of the policy with the condition: with version 3 requested, and without a version. */
  read3: Exchange;
  read1: Exchange;
  /** The answer to the write that takes the condition out again. */
  without: Exchange;
}

const conditionalPolicy = (context: FactContext): Promise<Conditional> =>
  context.shared('conditional policy', async () => {
    const { member } = await sharedAccount(context);
    const { url } = await makeSecret(context, 'conditional');
    const set = (policy: JsonObject) => onceVisible(context, () => setPolicy(context, url, policy));
    const asVersion1 = await set({ version: 1, bindings: conditional(member) });
    must(await set({ version: 3, bindings: conditional(member) }));
    const read3 = await context.call('GET', `${url}:getIamPolicy?options.requestedPolicyVersion=3`);
    const read1 = await context.call('GET', `${url}:getIamPolicy`);
    const without = must(await set({ ...grantOf(member), version: 3 }));
    return { asVersion1, read3, read1, without };
  });

export const policies: Fact[] = [
  {
    id: 'policy-stale-etag',
    text: '`setIamPolicy` with a stale etag is refused with 409 ABORTED.',
    source: 'C: https://github.com/DataBiosphere/leonardo/pull/737',
    unsure: false,
    section,
    probe: async context => refuses((await written(context)).stale, { status: 409, code: 'ABORTED' }),
  },
  {
    id: 'policy-stale-etag-text',
    text: 'The text about a stale etag begins "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."',
    source: 'C: https://github.com/DataBiosphere/leonardo/pull/737',
    unsure: false,
    section,
    probe: async context =>
      refuses((await written(context)).stale, {
        status: 409,
        text: /^There were concurrent policy changes\. Please retry the whole read-modify-write with exponential backoff\./,
      }),
  },
  {
    id: 'policy-unset-etag-only',
    text: 'A policy that nobody has set has an `etag` and nothing else.',
    source: 'C: quoted in public repositories: { "etag": "ACAB" }',
    unsure: false,
    section,
    probe: async context => {
      const { unset } = await written(context);
      const fields = Object.keys(objectIn(unset)).join();
      return judge(succeeded(unset) && fields === 'etag', unset);
    },
  },
  {
    id: 'policy-emptied-version',
    text: 'A policy that was set once keeps `version: 1` when it is emptied.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { emptied } = await written(context);
      return allOf(
        () => fieldFits(emptied, 'bindings', undefined),
        () => fieldFits(emptied, 'version', 1),
      );
    },
  },
  {
    id: 'policy-condition-version-3',
    text: 'A policy with a condition, read with `options.requestedPolicyVersion=3`, says `version: 3` and has the condition whole.',
    source: 'P: google/iam/v1/policy.proto',
    unsure: false,
    section,
    probe: async context => {
      const { read3 } = await conditionalPolicy(context);
      return allOf(
        () => fieldFits(read3, 'version', 3),
        () => fieldFits(read3, 'bindings.0.condition.expression', CONDITION.expression),
      );
    },
  },
  {
    id: 'policy-condition-mangled',
    text: 'A policy with a condition, read without a version, has no condition and a role with `_withcond_` in its name.',
    source: 'D: https://cloud.google.com/iam/docs/troubleshooting-withcond',
    unsure: false,
    section,
    probe: async context => {
      const { read1 } = await conditionalPolicy(context);
      return allOf(
        () => fieldFits(read1, 'bindings.0.role', role => String(role).includes('_withcond_')),
        () => fieldFits(read1, 'bindings.0.condition', undefined),
      );
    },
  },
  {
    id: 'policy-condition-needs-version-3',
    text: 'A write of a condition that does not say `version: 3` is refused with 400.',
    source: 'P: google/iam/v1/policy.proto',
    unsure: false,
    section,
    probe: async context => refusesInput((await conditionalPolicy(context)).asVersion1),
  },
  {
    id: 'policy-version-1-without-condition',
    text: 'An answer says `version: 1` where no condition is left, also to a write with `version: 3`.',
    source: 'P: google/iam/v1/policy.proto',
    unsure: false,
    section,
    probe: async context => fieldFits((await conditionalPolicy(context)).without, 'version', 1),
  },
  {
    id: 'policy-most-principals',
    text: 'A policy has at most 1,500 principals.',
    source: '?; D: https://cloud.google.com/iam/quotas',
    unsure: true,
    section,
    expensive: 'writes a policy of 1,501 members on a secret of its own',
    probe: async context => {
      const { url } = await makeSecret(context, 'principals');
      const pool = `principal://iam.googleapis.com/projects/${context.projectNumber}/locations/global/workloadIdentityPools/p`;
      const members = (count: number) => Array.from({ length: count }, (_, at) => `${pool}/subject/s${at}`);
      const set = (count: number) =>
        setPolicy(context, url, { bindings: [{ role: ACCESSOR, members: members(count) }] });
      const most = await set(1500);
      if (!succeeded(most))
        return notObservable(`1,500 members of a pool that does not exist are refused: HTTP ${most.status}`);
      return refusesInput(await set(1501));
    },
  },
  {
    id: 'policy-role-of-another-api',
    text: 'A role that the resource does not know is refused: 400 "Role R is not supported for this resource."',
    source: 'C: https://github.com/pulumi/pulumi-gcp/issues/930, about a role on a service account',
    unsure: false,
    section,
    probe: async context => {
      const { member } = await sharedAccount(context);
      const { url } = await makeSecret(context, 'role');
      const policy = grantOf(member, 'roles/run.invoker');
      const answer = await onceVisible(context, () => setPolicy(context, url, policy));
      return refusesInput(answer, 'Role roles/run.invoker is not supported for this resource.');
    },
  },
  {
    id: 'policy-member-domains',
    text: 'Where `iam.allowedPolicyMemberDomains` forbids a member: FAILED_PRECONDITION "One or more users named in the policy do not belong to a permitted customer."',
    source: 'C: https://github.com/terraform-google-modules/terraform-example-foundation/issues/1454',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await makeSecret(context, 'domains');
      const answer = await setPolicy(context, url, grantOf('allUsers'));
      if (succeeded(answer)) return notObservable('no organization policy of the project forbids allUsers');
      return refuses(answer, {
        status: 400,
        code: 'FAILED_PRECONDITION',
        text: /^One or more users named in the policy do not belong to a permitted customer/,
      });
    },
  },
  {
    id: 'policy-condition-attributes',
    text: 'Conditions know `resource.name` for Secret Manager, but not for Cloud Run and not for service accounts; they know tags for all.',
    source: 'D: https://cloud.google.com/iam/docs/conditions-resource-attributes',
    unsure: false,
    section,
    probe: async () =>
      notObservable('a condition shows only in what a second caller may do, and the probes have one caller'),
  },
  {
    id: 'get-policy-is-get',
    text: '`getIamPolicy` of Secret Manager and of Cloud Run is a GET; a POST finds no method.',
    source: 'P: google/cloud/secretmanager/v1/service.proto, google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const secret = await makeSecret(context, 'get-policy');
      const service = await sharedService(context);
      for (const { url } of [secret, service]) {
        const get = await context.call('GET', `${url}:getIamPolicy`);
        if (!succeeded(get)) return judge(false, get);
        const post = await context.call('POST', `${url}:getIamPolicy`, {});
        if (succeeded(post)) return judge(false, post, `POST ${url}:getIamPolicy was answered`);
      }
      return confirmed;
    },
  },
  {
    id: 'set-policy-is-post',
    text: '`setIamPolicy` of Secret Manager and of Cloud Run is a POST.',
    source: 'P: google/cloud/secretmanager/v1/service.proto, google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const secret = await makeSecret(context, 'set-policy');
      const service = await sharedService(context);
      for (const { url } of [secret, service]) {
        const post = await setPolicy(context, url, { bindings: [] });
        if (!succeeded(post) || fieldIn(post, 'etag') === undefined) return judge(false, post);
      }
      return confirmed;
    },
  },
];
