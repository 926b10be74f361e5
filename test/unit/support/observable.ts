/** Which facts no probe can see, so that neither a verdict nor a lie about them is possible. */

/** They cannot be seen in a project, or this local Google Cloud does not settle them; each probe says why. */
export const NOT_OBSERVABLE = [
  'timeout-outcome-open',
  'policy-condition-attributes',
  'account-undelete-30-days',
  'secret-list-page',
  'run-secret-read-at-start',
  'run-secret-running-instances',
  'run-revision-name-scaling',
  'run-revision-name-traffic',
  'run-public-needs-set-policy',
  'run-private-image',
  'gke-metadata-server',
  'quota-secret-accesses',
  'quota-deny-writes',
];

/** They show only where an organization policy is in force. */
export const UNDER_POLICY = ['policy-member-domains', 'run-require-invoker-iam'];

/** The settings of a local Google Cloud with these organization policies. */
export const POLICIES = { allowedMemberDomains: ['example.com'], requireInvokerIam: true };
