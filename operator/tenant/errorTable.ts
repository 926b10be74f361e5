import type { GcpCode } from '../../ports/gcp.ts';
import type { Blocker, FailureKind } from './types.ts';

/**
 * The meaning of Google Cloud's errors: a table from error to kind, reason and advice, with the source of each row.
 * `gcp/errors.ts` applies it to answers of calls, `revisionAdvice` below to failed revisions. The first row that matches
 * counts. Each row is tested against a recorded or documented answer (test/fixtures/google-errors).
 *
 * The advice contains a command if one command solves the problem. `{name}` is replaced by the named group of `text`, by the
 * ErrorInfo's metadata (`service`, `project`), or by a value of the caller. Text in `[[ ]]` is left out if one of its names is
 * not known.
 */
export interface ErrorRow {
  /** The row's name in tests. */
  name: string;
  /** Canonical codes of the answer. Absent: the row is about failed revisions. */
  codes?: readonly GcpCode[];
  /** The end of the full name of the method. */
  methods?: RegExp;
  /** `reason` of google.rpc.ErrorInfo, or `type` of a violation of google.rpc.PreconditionFailure. */
  detail?: RegExp;
  /** Matches Google Cloud's message. If the row also has `detail`, one of both is enough. */
  text?: RegExp;
  /** The kind decides how the operator reacts. */
  kind: FailureKind;
  /** The reason for the status, if it is not the kind's usual one. */
  reason?: Blocker['reason'];
  /** The advice for a person. Empty: there is none. */
  advice: string;
  source: string;
}

/** The kind of each code of google.rpc.Code if no row of the table matches. */
export const CODES: Record<GcpCode, FailureKind> = {
  ABORTED: 'Conflict',
  ALREADY_EXISTS: 'Conflict',
  CANCELLED: 'Transient',
  DATA_LOSS: 'Transient',
  DEADLINE_EXCEEDED: 'Transient',
  INTERNAL: 'Transient',
  UNAVAILABLE: 'Transient',
  UNKNOWN: 'Transient',
  NOT_FOUND: 'NotFound',
  RESOURCE_EXHAUSTED: 'QuotaExceeded',
  PERMISSION_DENIED: 'PermissionDenied',
  UNAUTHENTICATED: 'PermissionDenied',
  FAILED_PRECONDITION: 'Invalid',
  INVALID_ARGUMENT: 'Invalid',
  OUT_OF_RANGE: 'Invalid',
  UNIMPLEMENTED: 'Invalid',
};

/** The reason and the advice of each kind if no row of the table matches. */
export const KINDS: Record<FailureKind, { reason: Blocker['reason']; advice: string }> = {
  Transient: { reason: 'Updating', advice: 'The operator tries again.' },
  Conflict: { reason: 'Updating', advice: 'The operator tries again.' },
  NotFound: { reason: 'DependencyNotFound', advice: '' },
  PermissionDenied: {
    reason: 'PermissionDenied',
    advice:
      'Give the operator’s identity the missing permission in that project (its roles are in manifests/gcp). The operator tries again by itself.',
  },
  QuotaExceeded: {
    reason: 'QuotaExceeded',
    advice:
      'The operator tries again by itself. If it stays so, ask for more quota: https://console.cloud.google.com/iam-admin/quotas',
  },
  Invalid: {
    reason: 'InvalidSpec',
    advice:
      'Google Cloud refuses the request itself. If its words name a value of the spec, change that value in the AiTenant.',
  },
  Propagating: {
    reason: 'PermissionDenied',
    advice:
      'Give the operator’s identity the missing permission in that project (its roles are in manifests/gcp). The operator tries again by itself.',
  },
};

const DOCS = 'https://docs.cloud.google.com';

export const ERRORS: readonly ErrorRow[] = [
  // ------------------------------------------------------------------------------------ the whole project, or the operator
  {
    name: 'credentials',
    codes: ['UNAUTHENTICATED'],
    kind: 'PermissionDenied',
    advice:
      'Google Cloud does not accept the operator’s credentials; no permission is missing. The operator tries again by itself. In a cluster, check Workload Identity (docs/identity.md); on your machine: gcloud auth application-default login',
    source: 'google/api/error_reason.proto, ACCESS_TOKEN_EXPIRED, ACCESS_TOKEN_TYPE_UNSUPPORTED, ACCOUNT_STATE_INVALID',
  },
  {
    name: 'impersonation',
    codes: ['PERMISSION_DENIED'],
    text: /^Cannot act as (?<account>[\w.-]+@[\w.-]+)/,
    kind: 'PermissionDenied',
    advice:
      'Let the operator’s identity act as it: gcloud iam service-accounts add-iam-policy-binding {account} --member=serviceAccount:OPERATOR --role=roles/iam.serviceAccountTokenCreator',
    source: `${DOCS}/iam/docs/service-account-impersonation`,
  },
  {
    name: 'API disabled',
    codes: ['PERMISSION_DENIED', 'FAILED_PRECONDITION'],
    detail: /^SERVICE_DISABLED$/,
    text: /API (?:has not been used in project (?<project>[a-z0-9.:-]*[a-z0-9])|.{0,200}is disabled)(?:.*\/api\/(?<service>[a-z0-9.-]+\.googleapis\.com)\/)?/is,
    kind: 'PermissionDenied',
    advice: 'Enable the API: gcloud services enable {service}[[ --project={project}]]',
    source: 'google/api/error_reason.proto, SERVICE_DISABLED',
  },
  {
    name: 'billing',
    codes: ['PERMISSION_DENIED', 'FAILED_PRECONDITION'],
    detail: /^BILLING_DISABLED$|^UREQ_PROJECT_BILLING_NOT_(?:FOUND|OPEN)$/,
    text: /billing (?:account )?(?:to be enabled|disabled|for the owning project is disabled)|billing account for .{0,100} is (?:disabled|not found|not open|closed)/i,
    kind: 'PermissionDenied',
    advice:
      'Billing is off for this project, or its billing account is closed; no permission is missing. Link an open billing account (`gcloud billing accounts list` shows them): gcloud billing projects link {project|PROJECT} --billing-account=ACCOUNT',
    source: 'google/api/error_reason.proto, BILLING_DISABLED',
  },
  {
    name: 'project deleted',
    codes: ['PERMISSION_DENIED', 'NOT_FOUND', 'FAILED_PRECONDITION'],
    text: /^Project '?#?(?<project>[a-z0-9.:-]*[a-z0-9])'? (?:\(#\d+\) )?(?:has been deleted|is pending deletion)/i,
    kind: 'PermissionDenied',
    advice:
      'The project is deleted. To let go of the tenant, delete it with the annotation ai-platform.dev/deletion-policy=abandon. The project can be restored for 30 days: gcloud projects undelete {project|PROJECT}',
    source: `google/api/error_reason.proto, CONSUMER_INVALID; ${DOCS}/resource-manager/docs/creating-managing-projects`,
  },
  {
    name: 'project unknown',
    codes: ['PERMISSION_DENIED', 'NOT_FOUND'],
    detail: /^(?:CONSUMER_INVALID|CONSUMER_SUSPENDED|RESOURCE_PROJECT_INVALID)$/,
    text: /^(?:Permission denied on resource project |Unknown project id:? ?'?|Project '?#?)(?<project>[a-z0-9.:-]*[a-z0-9])(?:'? (?:was )?not found|'?\.?$)/i,
    kind: 'PermissionDenied',
    advice:
      'There is no such active project, or the operator may not see it. Check the id: the annotation ai-platform.dev/project-id of the Namespace, or the operator’s --project.',
    source: 'google/api/error_reason.proto, CONSUMER_INVALID, CONSUMER_SUSPENDED',
  },
  {
    name: 'VPC Service Controls',
    codes: ['PERMISSION_DENIED'],
    detail: /^(?:SECURITY_POLICY_VIOLATED|VPC_SERVICE_CONTROLS)$/,
    text: /^(?:VPC Service Controls: )?Request is prohibited by organization's policy/,
    kind: 'PermissionDenied',
    advice:
      'A VPC Service Controls perimeter keeps the operator out; a role does not help. Ask whoever administers the perimeter for an ingress rule for the operator’s identity, with the identifier above.',
    source: `${DOCS}/vpc-service-controls/docs/troubleshooting`,
  },

  // --------------------------------------------------------------------------------------------------- organization policies
  {
    name: 'organization policy: domains of members',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT'],
    detail: /^constraints\/iam\.(?:allowedPolicyMemberDomains|managed\.allowedPolicyMembers)$/,
    text: /do not belong to a permitted customer/,
    kind: 'Invalid',
    advice:
      'The organization policy iam.allowedPolicyMemberDomains does not let this member in. Name a member of a permitted domain, or ask whoever administers the organization policies for an exception.',
    source: `${DOCS}/organization-policy/restrict-domains`,
  },
  {
    name: 'organization policy: locations',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'PERMISSION_DENIED'],
    detail: /^constraints\/gcp\.resourceLocations$/,
    text: /constraints\/gcp\.resourceLocations/,
    kind: 'Invalid',
    advice: `Set spec.region to a region that the organization policy gcp.resourceLocations allows. The allowed ones: gcloud org-policies describe gcp.resourceLocations --effective --project={project|PROJECT}`,
    source: `${DOCS}/organization-policy/defining-locations`,
  },
  {
    name: 'organization policy: ingress',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'PERMISSION_DENIED'],
    detail: /^constraints\/run\.(?:managed\.)?allowedIngress$/,
    text: /constraints\/run\.(?:managed\.)?allowedIngress/,
    kind: 'Invalid',
    advice: `The organization policy run.allowedIngress does not allow this service’s ingress. Ask whoever administers the organization policies for an exception; or, if the service exists already, restrict it: gcloud run services update {run|SERVICE} --region={region|REGION} --project={project|PROJECT} --ingress=internal`,
    source: `${DOCS}/run/docs/securing/ingress#restrict-settings`,
  },
  {
    name: 'organization policy: callers are checked',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'PERMISSION_DENIED'],
    detail: /^constraints\/run\.managed\.requireInvokerIam$/,
    text: /run\.managed\.requireInvokerIam|invoker_iam_disabled is not currently available/,
    kind: 'Invalid',
    advice:
      'The organization policy run.managed.requireInvokerIam allows no public service. Set spec.access to Authenticated and name the callers in spec.invokers, or ask whoever administers the organization policies for an exception.',
    source: `${DOCS}/run/docs/securing/managing-access#invoker_check`,
  },
  {
    name: 'organization policy: service accounts',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'PERMISSION_DENIED'],
    detail: /^constraints\/iam\.(?:managed\.)?disableServiceAccountCreation$/,
    text: /constraints\/iam\.(?:managed\.)?disableServiceAccountCreation|service account creation is not allowed/i,
    kind: 'PermissionDenied',
    advice:
      'The organization policy iam.disableServiceAccountCreation forbids new service accounts, and every tenant needs one. Ask whoever administers the organization policies for an exception for this project.',
    source: `${DOCS}/organization-policy/restrict-service-accounts#disable_service_account_creation`,
  },
  {
    name: 'organization policy: any other',
    codes: ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'PERMISSION_DENIED'],
    detail: /^(?:constraints\/|ORG_POLICY_|CUSTOM_ORG_POLICY_VIOLATION$)/,
    text: /constraints?\/(?<constraint>[a-zA-Z]+\.[a-zA-Z.]*[a-zA-Z])|custom organization policy|org(?:anization)? policy/i,
    kind: 'Invalid',
    advice: `If the spec asks for what the policy forbids, change that field. Else ask whoever administers the organization policies of this project.[[ The policy: gcloud org-policies describe {constraint} --effective --project={project|PROJECT}]]`,
    source: `${DOCS}/organization-policy/org-policy-constraints`,
  },

  // ----------------------------------------------------------------------------------------------------------------- images
  {
    name: 'image: service agent, Artifact Registry',
    text: /(?<agent>service-\d+@serverless-robot-prod\.iam\.gserviceaccount\.com) must have permission to read the image,? (?<location>[a-z0-9-]+)-docker\.pkg\.dev\/(?<project>[a-z0-9.:-]+)\/(?<repository>[a-z0-9-]+)\//i,
    codes: ['PERMISSION_DENIED', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
    kind: 'PermissionDenied',
    advice:
      'Let Cloud Run’s service agent read the repository: gcloud artifacts repositories add-iam-policy-binding {repository} --location={location} --project={project} --member=serviceAccount:{agent} --role=roles/artifactregistry.reader',
    source: `${DOCS}/run/docs/troubleshooting#agent-permission-error`,
  },
  {
    name: 'image: service agent, another registry',
    text: /service agent .{0,120} must have permission to read the image/i,
    codes: ['PERMISSION_DENIED', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
    kind: 'PermissionDenied',
    advice:
      'Check that the image exists, and let the service agent named above read it (roles/artifactregistry.reader on its repository).',
    source: `${DOCS}/run/docs/troubleshooting#agent-permission-error`,
  },
  {
    name: 'image: reader role of the operator',
    codes: ['PERMISSION_DENIED'],
    text: /artifactregistry\.repositories\.\w+["'] denied on resource ["'](?:\/\/artifactregistry\.googleapis\.com\/)?projects\/(?<project>[a-z0-9.:-]+)\/locations\/(?<location>[a-z0-9-]+)\/repositories\/(?<repository>[a-z0-9-]+)/,
    kind: 'PermissionDenied',
    advice:
      'Who deploys an image must be able to read it. Let the operator’s identity read the repository: gcloud artifacts repositories add-iam-policy-binding {repository} --location={location} --project={project} --member=serviceAccount:OPERATOR --role=roles/artifactregistry.reader',
    source: `${DOCS}/run/docs/deploying#permissions_required_to_deploy`,
  },
  {
    name: 'service agent without its role',
    codes: ['PERMISSION_DENIED', 'FAILED_PRECONDITION'],
    text: /service agent does not have permission to get access tokens.*?(?<agent>service-(?<project>\d+)@serverless-robot-prod\.iam\.gserviceaccount\.com)/is,
    kind: 'PermissionDenied',
    advice:
      'Give Cloud Run’s service agent its role back: gcloud projects add-iam-policy-binding {project} --member=serviceAccount:{agent} --role=roles/run.serviceAgent',
    source: `${DOCS}/run/docs/troubleshooting#service-agent`,
  },

  // ---------------------------------------------------------------------------------------------------------------- regions
  {
    name: 'region',
    codes: ['PERMISSION_DENIED', 'NOT_FOUND', 'INVALID_ARGUMENT'],
    detail: /^LOCATION_POLICY_VIOLATED$/,
    text: /^Permission denied on 'locations\/[^']*' \(or it may not exist\)/,
    kind: 'Invalid',
    advice:
      'Set spec.region to a region that Cloud Run has and that is open to this project: gcloud run regions list --project={project|PROJECT}',
    source: 'https://github.com/hashicorp/terraform-provider-google/issues/17037, firezone/firezone#7711',
  },
  {
    name: 'connector of another region',
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND', 'PERMISSION_DENIED'],
    text: /connector must be (?:located )?in the same region|vpc.?(?:access )?connector .{0,300}(?:does not exist|is not ready|not in region|another region|different region)/is,
    kind: 'Invalid',
    advice:
      'The connector has to exist in the region of the service. Those of a region: gcloud compute networks vpc-access connectors list --region={region|REGION} --project={project|PROJECT}',
    source: `${DOCS}/run/docs/configuring/vpc-connectors`,
  },

  // ----------------------------------------------------------------------------------------------------------------- limits
  {
    name: 'CPU or memory of a region',
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'RESOURCE_EXHAUSTED'],
    text: /max instances must be set to (?<most>\d+) or fewer|maxScale may not exceed (?<scale>\d+)|(?:Cpu|Mem)AllocPerProjectRegion/i,
    kind: 'Invalid',
    reason: 'QuotaExceeded',
    advice:
      'Lower spec.scaling.maxInstances or spec.resources, or ask for more quota in this region: https://console.cloud.google.com/iam-admin/quotas',
    source: `${DOCS}/run/docs/configuring/max-instances-limits`,
  },
  {
    name: 'service accounts of a project',
    codes: ['RESOURCE_EXHAUSTED'],
    text: /maximum number of service accounts on project reached/i,
    kind: 'QuotaExceeded',
    advice:
      'Delete service accounts that nobody uses, ask for more (quota "Service Account Count": https://console.cloud.google.com/iam-admin/quotas), or put new namespaces into another project.',
    source: `${DOCS}/iam/quotas#limits`,
  },
  {
    name: 'services of a region',
    codes: ['RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'INVALID_ARGUMENT'],
    methods: /Services\.CreateService$/,
    text: /number of services\b|too many services|services? count/i,
    kind: 'QuotaExceeded',
    advice:
      'A project holds 1,000 Cloud Run services a region. Delete services that nobody uses, or put new namespaces into another project or region.',
    source: `${DOCS}/run/quotas`,
  },
  {
    name: 'members of a policy',
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'RESOURCE_EXHAUSTED'],
    methods: /\.SetIamPolicy$/,
    text: /number of members in the policy .{0,20}is larger than/i,
    kind: 'Invalid',
    reason: 'QuotaExceeded',
    advice:
      'An IAM policy holds 1,500 members. Take members off this one that are not needed (deleted: ones first), or put them into a group that is one member.',
    source: `${DOCS}/iam/quotas#limits`,
  },
  {
    name: 'labels of a resource',
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
    text: /(?:at most|more than|up to|maximum(?: of| number of labels)?|exceeds?) .{0,40}\b64\b.{0,20}labels?|labels?\b.{0,60}(?:at most|more than|up to|maximum|exceeds?|limit).{0,20}\b64\b/i,
    kind: 'Invalid',
    advice:
      'A resource holds 64 labels, and the operator adds 3. Take labels off the service that are not needed: gcloud run services update {run|SERVICE} --region={region|REGION} --project={project|PROJECT} --remove-labels=KEY',
    source: `${DOCS}/run/docs/configuring/services/labels`,
  },
  {
    name: 'role that does not fit',
    codes: ['INVALID_ARGUMENT'],
    methods: /\.SetIamPolicy$/,
    text: /^Role (?<role>[\w./]+) is not supported for this resource/,
    kind: 'Invalid',
    advice: 'Google Cloud does not take the role {role} on this resource.',
    source: `${DOCS}/iam/docs/roles-overview`,
  },

  // -------------------------------------------------------------------------------------- identities that are not visible yet
  // A new account gives these answers until it is visible everywhere, for up to a minute. A missing permission gives the same
  // message, so `failureBlocker` decides by the account's age.
  {
    name: 'fresh account: act as',
    codes: ['PERMISSION_DENIED'],
    methods: /Services\.(?:Create|Update)Service$/,
    text: /iam\.serviceaccounts\.actAs' denied on service account (?<account>[\w.-]+@[\w.-]*\w).*\(or it may not exist\)/i,
    kind: 'Propagating',
    advice:
      'Let the operator’s identity act as the account: gcloud iam service-accounts add-iam-policy-binding {account} --member=serviceAccount:OPERATOR --role=roles/iam.serviceAccountUser',
    source: `${DOCS}/run/docs/reference/iam/roles#additional-configuration`,
  },
  {
    name: 'fresh account: read or change',
    codes: ['PERMISSION_DENIED'],
    methods: /IAM\.(?:Get|Patch|Delete)ServiceAccount$/,
    text: /iam\.serviceaccounts\.\w+' denied on resource \(or it may not exist\)/i,
    kind: 'Propagating',
    advice: KINDS.Propagating.advice,
    source: `${DOCS}/iam/docs/service-accounts-create`,
  },
  {
    name: 'fresh account: member of a policy',
    codes: ['INVALID_ARGUMENT'],
    methods: /(?:SecretManagerService|Services)\.SetIamPolicy$/,
    text: /service account \S+ does not exist/i,
    kind: 'Propagating',
    reason: 'DependencyNotFound',
    advice: 'The operator tries again by itself.',
    source: 'https://github.com/hashicorp/terraform-provider-google/issues/8153',
  },
  {
    name: 'fresh account: account of a service',
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND'],
    methods: /Services\.(?:Create|Update)Service$/,
    text: /service account \S+ (?:does not exist|(?:was )?not found)/i,
    kind: 'Propagating',
    reason: 'DependencyNotFound',
    advice: 'The operator tries again by itself.',
    source: `${DOCS}/run/docs/configuring/services/service-identity`,
  },

  // ----------------------------------------------------------------------------------------- revisions that do not come up
  {
    name: 'revision: image not found',
    text: /Image '?[^'\s]+'? not found/i,
    kind: 'Invalid',
    advice: 'Push the image, or name one that exists{image}',
    source: 'https://github.com/google-github-actions/deploy-cloudrun/issues/465',
  },
  {
    name: 'revision: architecture',
    text: /exec format error|manifest type .{0,200}must support amd64|must support amd64\/linux/i,
    kind: 'Invalid',
    advice: 'Build the image for linux/amd64: docker buildx build --platform linux/amd64',
    source: `${DOCS}/run/docs/container-contract#languages`,
  },
  {
    name: 'revision: out of memory',
    text: /memory limit of .{0,40} exceeded|out.of.memory/i,
    kind: 'Invalid',
    advice: 'Raise spec.resources.memory. Logs: {logs}',
    source: `${DOCS}/run/docs/troubleshooting#memory`,
  },
  {
    name: 'revision: does not listen',
    text: /failed to start and (?:then )?listen on the port/i,
    kind: 'Invalid',
    advice:
      '[[{checksKey} ]]The container must listen on 0.0.0.0 at the port that $PORT names, before the start-up time is over. Logs: {logs}',
    source: `${DOCS}/run/docs/troubleshooting#container-failed-to-start`,
  },
  {
    name: 'revision: startup probe',
    text: /failed the configured startup probe checks|startup (?:\w+ )?probe failed|health.?check/i,
    kind: 'Invalid',
    advice:
      'Check the path, the port and the time limit of the startup probe against what the container answers. Logs: {logs}',
    source: 'https://github.com/terraform-google-modules/terraform-docs-samples/pull/254',
  },
  {
    name: 'revision: secret version destroyed',
    text: /(?:secrets\/(?<secret>[\w-]+)\/versions\/(?<version>\w+).{0,200})?is in DESTROYED state/is,
    kind: 'NotFound',
    advice:
      'A destroyed version does not come back. Add a new one: gcloud secrets versions add {secret|SECRET} --project={secretProject} --data-file=-',
    source: `${DOCS}/secret-manager/docs/destroy-secret-version`,
  },
  {
    name: 'revision: secret version disabled',
    text: /(?:secrets\/(?<secret>[\w-]+)\/versions\/(?<version>\d+).{0,200})?is in DISABLED state/is,
    kind: 'NotFound',
    advice:
      'Enable the version: gcloud secrets versions enable {version|VERSION} --secret={secret|SECRET} --project={secretProject}',
    source: `${DOCS}/secret-manager/docs/disable-secret-version`,
  },
  {
    name: 'revision: secret not found',
    text: /secret(?:s? |\s)projects\/\S+\/secrets\/(?<secret>[\w-]+)\/versions\/\S+ was not found/i,
    kind: 'NotFound',
    advice: 'Add the version: gcloud secrets versions add {secret} --project={secretProject} --data-file=-',
    source: 'Cloud Run condition SECRETS_ACCESS_CHECK_FAILED',
  },
  {
    name: 'revision: secret denied',
    text: /Permission denied on secret/i,
    kind: 'PermissionDenied',
    advice:
      'The operator has granted the key to this account. Look for an IAM deny policy that takes it away: gcloud iam policies list --attachment-point=cloudresourcemanager.googleapis.com/projects/{project} --kind=denypolicies',
    source: `${DOCS}/iam/docs/deny-access`,
  },
  {
    name: 'revision: service account',
    text: /service account .{0,120}(?:is disabled|does not exist|was not found)/i,
    kind: 'NotFound',
    advice: '',
    source: `${DOCS}/run/docs/configuring/services/service-identity`,
  },
  {
    name: 'revision: quota',
    text: /quota|resource exhausted/i,
    kind: 'QuotaExceeded',
    advice:
      'Lower spec.scaling or spec.resources, or ask for more quota in this region: https://console.cloud.google.com/iam-admin/quotas',
    source: `${DOCS}/run/quotas`,
  },
  {
    name: 'revision: internal error',
    text: /internal (?:system )?error|resource readiness deadline exceeded|container import failed/i,
    kind: 'Transient',
    advice: 'The cause is in Cloud Run. The operator tries again by itself.',
    source: `${DOCS}/run/docs/troubleshooting#internal-error`,
  },
  {
    name: 'revision: any other',
    kind: 'Invalid',
    advice: 'Logs: {logs}',
    source: `${DOCS}/run/docs/troubleshooting`,
  },
];

/** The rows of failed revisions, and of the image, connector or service agent that a revision needs. */
const OF_REVISION = ERRORS.filter(
  ({ name, codes }) => codes === undefined || /^image|^service agent|^connector/.test(name),
);

/** The row for the message of a failed revision, and its advice. */
export function revisionAdvice(words: string, known: Record<string, string>): { row: ErrorRow; advice: string } {
  const row = OF_REVISION.find(({ text }) => text === undefined || text.test(words)) as ErrorRow;
  return { row, advice: filledIn(row.advice, { ...known, ...row.text?.exec(words)?.groups }) };
}

/** The advice with its names replaced. `{name|WORD}` becomes WORD if the name is not known. */
export function filledIn(advice: string, known: Record<string, string | undefined>): string {
  const fill = (text: string): string | undefined => {
    let isKnown = true;
    const filled = text.replace(/\{(\w+)(?:\|(\w+))?\}/g, (whole, name: string, other?: string) => {
      const value = known[name] ?? other;
      if (value === undefined) isKnown = false;
      return value ?? whole;
    });
    return isKnown ? filled : undefined;
  };
  const whole = advice.replace(/\[\[(.*?)\]\]/g, (_, part: string) => fill(part) ?? '');
  return fill(whole) ?? whole;
}
