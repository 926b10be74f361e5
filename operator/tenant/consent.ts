import { ownerText, part, targetOf } from './names.ts';
import {
  ADOPT,
  type Claim,
  type ClaimRules,
  CONSENT,
  type ConsentMarks,
  consentOf,
  DESCRIPTION_BYTES,
  describedConsent,
  describedOwner,
  labelledConsent,
  labelledOwner,
  markDescription,
  withoutConsent,
} from './ownership.ts';
import { printable, quoted } from './printable.ts';
import type { ObservedAccount, ObservedService } from './types.ts';

/**
 * The messages for a missing consent or owner mark. A printed command works as it is, makes no revision, and takes no resource away
 * from another namespace or owner. If there is no such command, the message says whom to ask.
 */

/** The most labels that a resource may have. Sources: secretmanager v1 resources.proto, run v2 service.proto. */
const MOST_LABELS = 64;
/** A longer command would be cut off in a condition's message. */
const LONGEST_COMMAND = 1_500;

/** The message for a secret of the tenant's own project without consent. */
export function askForSecret(
  secret: { project: string; id: string; labels: Record<string, string> },
  rules: ClaimRules,
): string {
  const { project, id, labels } = secret;
  const marks = labelledConsent(labels);
  const refused = `secret ${id} does not let namespace ${rules.owner.namespace} use it`;
  const other = whomToAsk(marks, rules);
  if (other) {
    return `${refused}: ${other} Use a secret of this namespace's own, or ask whoever owns ${id} in project ${project}.`;
  }
  const set = marksToSet(marks, rules);
  if (!fits(labels, set))
    return `${refused}, and it has no room for another label. Whoever owns it takes one off first.`;
  const pairs = Object.entries(set).map(pair => pair.join('='));
  return (
    `${refused}. Whoever owns the secret allows it with: ` +
    `gcloud secrets update ${id} --project=${project} --update-labels=${pairs.join(',')}`
  );
}

/**
 * The message for a secret of another project. It is the same whether the secret is absent, forbidden or without consent, so
 * that nobody can probe for names.
 */
export function askForForeignSecret(project: string, id: string, rules: ClaimRules): string {
  return (
    `secret ${id} of project ${project} cannot be used by namespace ${rules.owner.namespace}: it does not exist there, the operator may not ` +
    `read it, or it does not carry the label ${CONSENT.namespace}=${rules.owner.namespace} (for another project the operator ` +
    `does not say which of these it is). Ask whoever administers project ${project}.`
  );
}

/** The message for an account that is not this tenant's. Undefined: it is, or it may be adopted. */
export function accountConflict(
  found: ObservedAccount,
  claim: Claim,
  project: string,
  rules: ClaimRules,
): string | undefined {
  const target = `Service account ${found.email}`;
  if (claim === 'theirs') return belongsTo(target, describedOwner(found.description), rules);
  if (claim === 'unknown') return unknown(target, rules);
  if (claim === 'unasked') return unasked(target, rules);
  if (claim !== 'unclaimed') return undefined;
  const marks = describedConsent(found.description);
  const refused = `${target} exists already and does not name namespace ${rules.owner.namespace}`;
  const other = whomToAsk(marks, rules);
  if (other) return `${refused}: ${other} Rename this tenant, or ask whoever administers project ${project}.`;
  const words = Object.entries(marksToSet(marks, rules)).map(pair => `[${pair.join('=')}]`);
  const described = [withoutConsent(found.description).replace(/ +$/, ''), ...words]
    .filter(text => text !== '')
    .join(' ');
  const room =
    Buffer.byteLength(described) <= DESCRIPTION_BYTES && markDescription(described, rules.owner) !== undefined;
  if (!room || printable(described) !== described) {
    return `${refused}. To let this tenant adopt it, put ${words.join(' ')} into its description${room ? '' : ', which has to be shortened first (256 bytes)'}.${andAsk(rules)}`;
  }
  return (
    `${refused}.${andAsk(rules)} Whoever administers project ${project} lets this tenant adopt it with: ` +
    `gcloud iam service-accounts update ${found.email} --project=${project} --description=${shellQuoted(described)}`
  );
}

/** The message for a service that is not this tenant's. Undefined: it is, or it may be adopted. */
export function serviceConflict(found: ObservedService, claim: Claim, rules: ClaimRules): string | undefined {
  const project = part(found.name, 'projects');
  const target = targetOf(found.name);
  if (claim === 'theirs') return belongsTo(target, labelledOwner(found.labels), rules);
  if (claim === 'unknown') return unknown(target, rules);
  if (claim === 'partial') {
    return (
      `${target} carries only some owner labels (${labelledOwner(found.labels)}, cluster/namespace/name), so its owner is not known, ` +
      `and this tenant's inventory does not name it. Ask whoever administers project ${project} to add the missing labels.`
    );
  }
  if (claim === 'unasked') return unasked(target, rules);
  if (claim !== 'unclaimed') return undefined;
  const marks = labelledConsent(found.labels);
  const refused = `${target} exists already and does not name namespace ${rules.owner.namespace}`;
  const other = whomToAsk(marks, rules);
  if (other) return `${refused}: ${other} Rename this tenant, or ask whoever administers project ${project}.`;
  const set = marksToSet(marks, rules);
  const command = serviceCommand(found.name, { ...found.labels, ...set });
  if (!fits(found.labels, set) || command.length > LONGEST_COMMAND) {
    const pairs = Object.entries(set).map(pair => pair.join('='));
    return `${refused}. To let this tenant adopt it, put the label ${pairs.join(', ')} on it beside those that it has.${andAsk(rules)}`;
  }
  return `${refused}.${andAsk(rules)} Whoever administers project ${project} lets this tenant adopt it (makes no revision) with: ${command}`;
}

/** The command in a message, for `import`. Undefined: the message has none. */
export const commandIn = (message: string | undefined): string | undefined =>
  message === undefined ? undefined : /(?:gcloud|curl) .*$/s.exec(message)?.[0];

// --------------------------------------------------------------------------------------------------------- helpers

/**
 * The command that labels a service without a new revision. `gcloud run services update --update-labels` is not used, because
 * it also labels the template, which makes a revision. `--fail-with-body`: a refusal ends the script of `import`.
 */
function serviceCommand(name: string, labels: Record<string, string>): string {
  return (
    `curl --fail-with-body -X PATCH -H "Authorization: Bearer $(gcloud auth print-access-token)" -H 'Content-Type: application/json' ` +
    `'https://run.googleapis.com/v2/${name}?updateMask=labels' -d ${shellQuoted(JSON.stringify({ labels }))}`
  );
}

/**
 * The reason why no command is printed: the resource consents to another namespace, which would lose that consent. Undefined:
 * no other namespace would lose anything.
 */
function whomToAsk(marks: ConsentMarks, rules: ClaimRules): string | undefined {
  switch (consentOf(marks, rules)) {
    case 'given':
    case 'none':
      return undefined;
    case 'otherNamespace':
      return `it names namespace ${quoted(marks.namespace ?? '')}, and it can name one only.`;
    case 'otherCluster':
      return `it names this namespace of cluster ${quoted(marks.cluster ?? '')}, not of ${rules.owner.cluster}.`;
    case 'otherUid':
      // In this cluster the Namespace of that UID no longer exists. In another cluster it may.
      return marks.cluster === rules.owner.cluster && rules.namespaceUid !== undefined
        ? undefined
        : `it names the Namespace with the UID ${quoted(marks.uid ?? '')}, which may be another cluster's.`;
  }
}

function marksToSet(marks: ConsentMarks, rules: ClaimRules): Record<string, string> {
  const { owner, namespaceUid } = rules;
  const cluster = marks.cluster !== undefined && !rules.anyCluster;
  const uid = namespaceUid !== undefined && (rules.consentUid === true || marks.uid !== undefined);
  return {
    [CONSENT.namespace]: owner.namespace,
    ...(cluster && { [CONSENT.cluster]: owner.cluster }),
    ...(uid && { [CONSENT.uid]: namespaceUid }),
  };
}

const fits = (labels: Record<string, string>, more: Record<string, string>): boolean =>
  Object.keys({ ...labels, ...more }).length <= MOST_LABELS;

const belongsTo = (target: string, owner: string | undefined, rules: ClaimRules): string =>
  `${target} belongs to ${owner} (cluster/namespace/name), not to ${ownerText(rules.owner)}. ` +
  'Rename this tenant, or ask the other one’s owners to delete theirs with the annotation ai-platform.dev/deletion-policy=abandon.';

const annotateCommand = ({ owner }: ClaimRules): string =>
  `kubectl annotate aitenant ${owner.name} -n ${owner.namespace} ${ADOPT}=true --overwrite`;

const unknown = (target: string, rules: ClaimRules): string =>
  `${target} carries this tenant's full owner marks, and the tenant's status does not know it: the status was lost, or somebody forged the marks. ` +
  `Check what it holds. If the whole cluster was rebuilt, start the operator once with --restore; else let this tenant take it: ${annotateCommand(rules)}`;

const unasked = (target: string, rules: ClaimRules): string =>
  `${target} exists already and lets namespace ${rules.owner.namespace} adopt it, but this AiTenant does not ask for it. ` +
  `Check what it holds, then ask: ${annotateCommand(rules)}`;

const andAsk = (rules: ClaimRules): string =>
  rules.adopt || rules.policy === 'any' ? '' : ` The AiTenant has to ask for it too (\`${annotateCommand(rules)}\`).`;

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
