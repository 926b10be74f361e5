import type { Json, JsonObject } from '../../ports/json.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { isObject, objects, text } from '../gcp/parse.ts';
import { accountConflict, askForSecret, commandIn, serviceConflict } from '../tenant/consent.ts';
import { fieldsToImport } from '../tenant/fields/laid.ts';
import { SIDECARS } from '../tenant/fields/sidecarSpec.ts';
import { mountedFiles } from '../tenant/fields/volumeFields.ts';
import { part } from '../tenant/names.ts';
import { ADOPT, type ClaimRules, claimAccount, claimService, secretConsent } from '../tenant/ownership.ts';
import {
  accountMember,
  hasMember,
  membersOf,
  PUBLIC_MEMBERS,
  RUN_INVOKER,
  SECRET_ACCESSOR,
  sameMember,
} from '../tenant/policy.ts';
import { sameQuantity } from '../tenant/quantity.ts';
import { readTenant } from '../tenant/resource.ts';
import {
  applyTraffic,
  scalingInForce,
  secretReferences,
  servingContainer,
  shownTraffic,
  sidecarsOf,
} from '../tenant/template.ts';
import type { FoundSecret, FoundTenant } from './discover.ts';

/** A tenant that was created by hand, as an AiTenant: the manifest, notes, and the commands that give consent. */
export interface ImportedTenant {
  manifest: JsonObject;
  /** Notes that the user should read before applying the manifest. */
  notes: string[];
  /** Shell commands by which the namespace may adopt the existing resources. None of them makes a revision. */
  consent: string[];
  /** The image of the service's container. */
  image?: string;
}

/** The CRD's defaults, as the operator itself reads them. */
const DEFAULTS = readTenant({ metadata: { name: '' } }).spec;
/** Cloud Run's maximum if neither the service nor the template has one. Source: Cloud Run documentation, "Maximum instances". */
const UNSET_MAX_INSTANCES = 100;
/** The names of variables that the CRD allows. */
const NAMEABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Names of variables whose value is probably a key, which belongs in Secret Manager and not in a file. */
const SECRETIVE = /KEY|TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE/i;
/**
 * Values that are keys by their form: OpenAI, Anthropic and Stripe (sk-, sk_, rk_), Google (AIza, ya29., GOCSPX-), GitHub, GitLab,
 * Slack, AWS, npm, Hugging Face, SendGrid; a JSON Web Token; a PEM block; a URL with a password or a signature; a service
 * account's key file.
 */
const KEY_VALUE =
  /\b(?:[sr]k[-_]\w|AIza\w|ya29\.|GOCSPX-|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|A[KS]IA[A-Z0-9]{12}|npm_\w{20}|hf_\w{20}|SG\.\w|eyJ[\w-]+\.eyJ)|-----BEGIN|:\/\/[^/\s?#]*:[^/\s?#]*@|[?&;](?:sig|signature|password|pwd|token|key|secret)=|"private_key"|\bBearer\s+\S|\bPassword=/i;
/** Values that may be other keys: most are long and mix upper case, lower case and digits, or have 32 hexadecimal digits. */
const RANDOM_VALUE =
  /(?<![\w+=-])(?=[\w+=-]{0,80}\d)(?=[\w+=-]{0,80}[a-z])(?=[\w+=-]{0,80}[A-Z])[\w+=-]{20,}|(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])|\bdapi[0-9a-f]{32}/;

/**
 * The shortest manifest with which the operator changes as little as possible. It has no image, so that the user's deployments keep
 * setting it. Settings that AiTenant has no field for stay on the service. `refusedFields`: the fields of a manifest that the CRD
 * refuses.
 */
export function importTenant(
  found: FoundTenant,
  rules: ClaimRules,
  refusedFields: (manifest: JsonObject) => string[],
): ImportedTenant {
  const { service } = found;
  const notes: string[] = [];
  const sidecars = importSidecars(found, notes);
  const { keys, consent: secretsConsent } = importKeys(found, sidecars, rules, notes);
  const env = plainVariables(found, notes);
  const access = importAccess(found, notes);
  const spec: JsonObject = {
    region: service.region,
    keys,
    ...(env.length > 0 && { env }),
    ...differing('scaling', importScaling(found, notes), DEFAULTS.scaling),
    ...importResources(found),
    ...importTimeout(found, notes),
    ...access,
  };
  noteTheRest(found, sidecars, notes);
  const manifest = {
    apiVersion: `${AI_TENANTS.group}/${AI_TENANTS.version}`,
    kind: AI_TENANTS.kind,
    metadata: { name: found.name, namespace: rules.owner.namespace, annotations: { [ADOPT]: 'true' } },
    spec,
  };
  importFields(service, sidecars, manifest, refusedFields, notes);
  return {
    manifest,
    notes,
    consent: [...accountConsent(found, rules, notes), ...secretsConsent, ...serviceConsent(found, rules, notes)],
    image: text(servingContainer(service.template).image) || undefined,
  };
}

// ------------------------------------------------------------------------------------------------------------ keys

function importKeys(
  found: FoundTenant,
  sidecars: Map<string, JsonObject>,
  rules: ClaimRules,
  notes: string[],
): { keys: JsonObject[]; consent: string[] } {
  const { template } = found.service;
  const member = accountMember(found.email);
  const hasGrant = ({ policy }: FoundSecret) => policy !== undefined && hasMember(policy, SECRET_ACCESSOR, member);
  const keys: JsonObject[] = [];
  const taken = new Set<string>();
  const secretsOfKeys = new Map<string, FoundSecret | undefined>();
  const add = (external: string, name: string, rest: JsonObject) => {
    keys.push({ name: uniqueName(name, taken), secretRef: { external }, ...rest });
    secretsOfKeys.set(
      external,
      found.secrets.find(secret => secret.external === external),
    );
  };
  const conditional = conditionalGrants(found, member);
  for (const [external, titles] of conditional) {
    notes.push(
      `${found.email} may read secret ${external} only under a condition (${titles.join(', ')}), which a key of an AiTenant can't have: it is not among the keys, ` +
        'and its grant and variables stay as they are. To make it a key, put a grant without a condition there first.',
    );
  }
  const pin = (version: string, external: string, reader: string) => {
    const read = found.secrets.find(other => other.external === external)?.secret;
    const aliases = read?.state === 'present' ? read.value.aliases : undefined;
    return pinnedVersion(version, aliases ?? {}, reader, notes);
  };
  for (const variable of objects(servingContainer(template).env)) {
    const { secret, version } = secretKeyRef(variable);
    const env = text(variable.name);
    if (secret === '' || !NAMEABLE.test(env) || conditional.has(found.externalOf(secret))) continue;
    const external = found.externalOf(secret);
    const pinned = pin(version, external, env);
    add(external, env.replace(/_?(API_)?KEY$/i, '') || env, { env, ...pinned });
  }
  for (const { file, secret, version } of mountedFiles(template)) {
    const external = found.externalOf(secret);
    if (conditional.has(external)) continue;
    const pinned = pin(version, external, file);
    const asVariable = keys.find(key => key.file === undefined && isSameKey(key, external, pinned));
    if (asVariable) asVariable.file = file;
    else add(external, shortName(found, external), { file, ...pinned });
  }
  for (const use of [...sidecars.values()].flatMap(({ keys }) => objects(keys))) {
    const external = found.externalOf(text(use.secret));
    const pinned = pin(text(use.version), external, text(use.env) || text(use.file));
    if (!keys.some(key => isSameKey(key, external, pinned))) add(external, shortName(found, external), { ...pinned });
    const key = keys.find(one => isSameKey(one, external, pinned));
    // From here on the item has the words of the manifest.
    for (const name of ['secret', 'version']) delete use[name];
    use.name = key?.name ?? '';
  }
  for (const secret of found.secrets) {
    if (secretsOfKeys.has(secret.external) || !hasGrant(secret)) continue;
    add(secret.external, shortName(found, secret.external), {});
  }
  const others = otherReferences(found, sidecars).filter(reference => !conditional.has(reference));
  // The operator makes the service run as the tenant's account, and grants it nothing but its keys.
  const becomesAnother = text(template.serviceAccount) !== found.email;
  for (const reference of becomesAnother ? others : []) {
    if (!secretsOfKeys.has(reference)) add(reference, shortName(found, reference), {});
  }
  notes.push(...otherReaders(found, keys, others));
  const consent: string[] = [];
  for (const [external, secret] of secretsOfKeys) {
    const id = external.split('/').at(-1) ?? '';
    const project = part(external, 'projects') || found.project;
    if (secret?.secret.state !== 'present') {
      const why = secret?.secret.state === 'failed' ? `can't be read: ${secret.secret.failure.message}` : 'is gone';
      notes.push(`Secret ${external} ${why}: the tenant waits until it is there.`);
      continue;
    }
    if (!secret.policy) notes.push(`The IAM policy of secret ${external} can't be read from here.`);
    else if (!hasGrant(secret)) {
      notes.push(`${found.email} has no grant on secret ${external} itself: the operator adds one.`);
    }
    const { labels } = secret.secret.value;
    if (secretConsent(labels, rules, false)) continue;
    consent.push(...commandOrNote(askForSecret({ project, id, labels }, rules), notes));
  }
  return { keys, consent };
}

const isSameKey = (key: JsonObject, external: string, { version }: JsonObject): boolean =>
  isObject(key.secretRef) && key.secretRef.external === external && key.version === version;

/** Secrets that the account may read only under an IAM condition, with the titles of the conditions. */
function conditionalGrants({ secrets }: FoundTenant, member: string): Map<string, string[]> {
  const conditional = new Map<string, string[]>();
  for (const { external, policy } of secrets) {
    if (!policy || hasMember(policy, SECRET_ACCESSOR, member)) continue;
    const titles = policy.bindings.flatMap(({ role, members, condition }) =>
      role === SECRET_ACCESSOR && members.some(other => sameMember(other, member)) && condition !== undefined
        ? text(condition.title) || text(condition.expression)
        : [],
    );
    if (titles.length > 0) conditional.set(external, titles);
  }
  return conditional;
}

/** A secret's ID without the tenant's name before it. */
function shortName({ name }: FoundTenant, external: string): string {
  const id = external.split('/').at(-1) ?? '';
  return id.startsWith(`${name}-`) ? id.slice(name.length + 1) : id;
}

/** The secrets that a volume or a sidecar reads, which a key of the manifest cannot express. */
function otherReferences(
  { service: { template }, externalOf }: FoundTenant,
  sidecars: Map<string, JsonObject>,
): string[] {
  const isImported = ({ name }: JsonObject) => sidecars.has(text(name));
  const containers = sidecarsOf(template).filter(container => !isImported(container));
  const mounted = sidecarsOf(template)
    .filter(isImported)
    .flatMap(({ volumeMounts }) => objects(volumeMounts));
  const files = [...mountedFiles(template).map(({ volume }) => volume), ...mounted.map(({ name }) => name)];
  const volumes = objects(template.volumes).filter(({ name }) => !files.includes(name ?? ''));
  return [...new Set(secretReferences({ ...template, containers, volumes }).map(externalOf))];
}

function otherReaders({ email }: FoundTenant, keys: JsonObject[], references: string[]): string[] {
  return references.flatMap(reference => {
    const key = keys.find(({ secretRef }) => isObject(secretRef) && secretRef.external === reference);
    if (!key)
      return [`Secret ${reference} is read by a volume or sidecar without a grant of its own: that stays as it is.`];
    const how =
      key.env === undefined
        ? `key ${key.name} has no env, so that ${email} may read it`
        : `key ${key.name} names the variable only`;
    return [`Secret ${reference} is read by a volume or sidecar, which stays as it is: ${how}. It is in use.`];
  });
}

/**
 * The version for the manifest. Cloud Run also accepts an alias; the manifest then gets the number that the alias stands for
 * now.
 */
function pinnedVersion(version: string, aliases: Record<string, string>, env: string, notes: string[]): JsonObject {
  const isNumber = (text: string) => /^[1-9]\d{0,17}$/.test(text);
  if (isNumber(version)) return { version: Number(version) };
  const now = Object.hasOwn(aliases, version) ? (aliases[version] ?? '') : '';
  if (isNumber(now)) {
    notes.push(
      `Variable ${env} reads the version with the alias ${version}, which is ${now} now. The manifest says ${now}, and does not follow the alias when it moves.`,
    );
    return { version: Number(now) };
  }
  if (version !== '' && version !== 'latest') {
    notes.push(
      `Variable ${env} reads the version with the alias ${version}, which a manifest can't name: it becomes latest. Write the number instead (gcloud secrets describe SECRET --format='value(versionAliases)').`,
    );
  }
  return { rollout: 'OnRestart' };
}

/** The name of a key: lower-case letters, digits and dashes, at most 63 characters, and different from every name in `taken`. */
function uniqueName(wish: string, taken: Set<string>): string {
  const name = wish
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-+|-+$/g, '');
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? name || 'key' : `${name || 'key'}-${i}`;
    if (taken.has(candidate)) continue;
    taken.add(candidate);
    return candidate;
  }
}

function secretKeyRef(variable: JsonObject): { secret: string; version: string } {
  const source = isObject(variable.valueSource) ? variable.valueSource : {};
  const ref = isObject(source.secretKeyRef) ? source.secretKeyRef : {};
  return { secret: text(ref.secret), version: text(ref.version) };
}

/** The variables for the manifest, without those whose value may be a key: such a value is not copied into a file. */
function plainVariables(found: FoundTenant, notes: string[]): JsonObject[] {
  return objects(servingContainer(found.service.template).env).flatMap(variable => {
    const name = text(variable.name);
    if (!NAMEABLE.test(name)) {
      notes.push(`Variable ${name} has a name that a spec can't hold: it stays on the service.`);
      return [];
    }
    if (secretKeyRef(variable).secret !== '') return [];
    const value = text(variable.value);
    if (!looksLikeKey(name, value)) return [{ name, value }];
    const id = `${found.name}-${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
    notes.push(
      `Variable ${name} looks like a key in plain text: it stays on the service and is not copied here. Put it into Secret Manager (\`printf %s "$VALUE" | gcloud secrets create ${id} --project=${found.project} --replication-policy=automatic --data-file=-\`) and name that secret in spec.keys with env: ${name}.`,
    );
    return [];
  });
}

const looksLikeKey = (name: string, value: string): boolean =>
  SECRETIVE.test(name) || KEY_VALUE.test(value) || RANDOM_VALUE.test(value);

// ------------------------------------------------------------------------------------------------ everything else

/**
 * The sidecars for the manifest, by name. A sidecar that a spec names is the operator's as a whole, so one with something that the
 * manifest does not have stays as it is. Its keys have their secrets in place of their names until `importKeys`.
 */
function importSidecars(found: FoundTenant, notes: string[]): Map<string, JsonObject> {
  const { service, email } = found;
  const conditional = conditionalGrants(found, accountMember(email));
  const fields = fieldsToImport({ service: service.raw, template: service.template });
  return new Map(
    fields.flatMap(({ path, item }) => {
      if (path !== SIDECARS || !item) return [];
      const name = text(item.name);
      const plain = objects(item.env).filter(variable => looksLikeKey(text(variable.name), text(variable.value)));
      const odd = [...objects(item.env).map(one => text(one.name)), ...objects(item.keys).map(one => text(one.env))];
      const unnameable = odd.filter(variable => variable !== '' && !NAMEABLE.test(variable));
      const limited = objects(item.keys).filter(({ secret }) => conditional.has(found.externalOf(text(secret))));
      const why = [
        ...plain.map(variable => `variable ${text(variable.name)} looks like a key in plain text`),
        ...unnameable.map(variable => `variable ${variable} has a name that a spec can't hold`),
        ...limited.map(({ secret }) => `secret ${text(secret)} may be read only under a condition`),
      ];
      if (why.length === 0) return [[name, item] as const];
      notes.push(`Sidecar ${name} is not in the manifest and stays as it is: ${why.join('; ')}.`);
      return [];
    }),
  );
}

/** Adds the optional fields that differ from Google's defaults. One that the CRD refuses stays on the service, with a note. */
function importFields(
  service: FoundTenant['service'],
  sidecars: Map<string, JsonObject>,
  manifest: JsonObject & { spec: JsonObject },
  refusedFields: (manifest: JsonObject) => string[],
  notes: string[],
): void {
  for (const { path, names, value, item: read } of fieldsToImport({
    service: service.raw,
    template: service.template,
  })) {
    const item = path === SIDECARS ? sidecars.get(text(read?.name)) : read;
    if (read && !item) continue;
    const before = manifest.spec[path];
    const list = item && [...(Array.isArray(before) ? before : []), item];
    const spec = withValue(manifest.spec, names, list ?? value);
    const isRefused = refusedFields({ ...manifest, spec }).some(field => isBelow(field, `spec.${path}`));
    if (isRefused && path === SIDECARS) notes.push(`A manifest cannot say sidecar ${read?.name}: it stays as it is.`);
    else if (isRefused)
      notes.push(`A manifest cannot say ${names.join('.')} ${JSON.stringify(value)}: it stays as it is.`);
    else manifest.spec = spec;
  }
}

/** Whether a field is this one or one below it. */
const isBelow = (field: string, path: string): boolean =>
  field.startsWith(path) && ['', '.', '['].includes(field.charAt(path.length));

function withValue(object: JsonObject, [name = '', ...rest]: string[], value: Json): JsonObject {
  if (rest.length === 0) return { ...object, [name]: value };
  const below = object[name];
  return { ...object, [name]: withValue(isObject(below) ? below : {}, rest, value) };
}

function importScaling({ service }: FoundTenant, notes: string[]): Record<string, number> {
  const { min, max } = scalingInForce(service.scaling, service.template);
  const concurrency = Number(service.template.maxInstanceRequestConcurrency ?? DEFAULTS.scaling.concurrency);
  const isManual = service.scaling.scalingMode === 'MANUAL';
  // With a fixed number of instances, which `scaling.manualInstances` says, the minimum and the maximum have no effect.
  if (isManual && Number(service.scaling.manualInstanceCount ?? 0) > 0) return { concurrency };
  if (isManual) notes.push('The service is scaled by hand to 0 instances: the operator sets it to automatic.');
  if (max === undefined) {
    notes.push(`The service names no maximum of instances: the operator sets ${UNSET_MAX_INSTANCES}, Cloud Run's own.`);
  }
  return { minInstances: min, maxInstances: max ?? UNSET_MAX_INSTANCES, concurrency };
}

function importResources({ service }: FoundTenant): JsonObject {
  const { resources } = servingContainer(service.template);
  const limits = isObject(resources) && isObject(resources.limits) ? resources.limits : {};
  // Cloud Run's defaults for a service without limits.
  const { cpu = '1', memory = '512Mi' } = limits as { cpu?: string; memory?: string };
  const own: JsonObject = {};
  if (!sameQuantity(cpu, DEFAULTS.resources.cpu)) own.cpu = cpu;
  if (!sameQuantity(memory, DEFAULTS.resources.memory)) own.memory = memory;
  return Object.keys(own).length > 0 ? { resources: own } : {};
}

function importTimeout({ service }: FoundTenant, notes: string[]): JsonObject {
  const seconds = Number.parseFloat(text(service.template.timeout) || `${DEFAULTS.timeoutSeconds}s`);
  const timeoutSeconds = Math.max(1, Math.ceil(seconds));
  if (timeoutSeconds !== seconds) notes.push(`The time-out of ${seconds} s becomes ${timeoutSeconds} s.`);
  return timeoutSeconds === DEFAULTS.timeoutSeconds ? {} : { timeoutSeconds };
}

/** The callers for the manifest. If AiTenant cannot express them exactly, fewer callers are allowed, never more. */
function importAccess({ service, invokers }: FoundTenant, notes: string[]): JsonObject {
  const [everybody = '', anybodySignedIn = ''] = PUBLIC_MEMBERS;
  if (service.invokerIamDisabled || hasMember(invokers, RUN_INVOKER, everybody)) return {};
  const members = [...new Set(membersOf(invokers, RUN_INVOKER))];
  if (invokers.bindings.some(binding => binding.members.includes(anybodySignedIn))) {
    notes.push(
      `${anybodySignedIn} may call the service: the operator takes that off. Write access: Public to open it.`,
    );
  }
  if (invokers.bindings.some(({ role, condition }) => role === RUN_INVOKER && condition !== undefined)) {
    notes.push('Some may call the service under a condition: that stays as it is.');
  }
  const named = members.filter(member => member !== anybodySignedIn && !member.startsWith('deleted:'));
  return { access: 'Authenticated', ...(named.length > 0 && { invokers: named }) };
}

/** Adds notes about settings that AiTenant has no field for, if the operator would change them or the user should know them. */
function noteTheRest(found: FoundTenant, sidecars: Map<string, JsonObject>, notes: string[]): void {
  const { service, email } = found;
  const { template } = service;
  const runsAs = text(template.serviceAccount);
  if (runsAs !== email) {
    notes.push(
      `The service runs as ${runsAs || 'the default account'}: the operator makes it run as ${email} (a new revision).`,
    );
  }
  if (found.account.state === 'present' && found.account.value.disabled) {
    notes.push(`${email} is disabled: the tenant is Held until somebody enables it.`);
  }
  if (applyTraffic(service.traffic)) {
    notes.push(
      `Traffic is split (${shownTraffic(service.traffic)}): the operator sends all of it to the latest revision.`,
    );
  }
  if (service.terminal.state === 'FAILED') notes.push(`The service is not ready: ${service.terminal.message}`);
  const others = sidecarsOf(template).length - sidecars.size;
  if (others > 0) notes.push(`${others} more container(s) beside the one that takes requests: they stay as they are.`);
}

/** The fields that differ from the defaults. Empty: none does. */
function differing(field: string, values: Record<string, Json>, defaults: Record<string, unknown>): JsonObject {
  const rest = Object.entries(values).filter(([name, value]) => value !== defaults[name]);
  return rest.length > 0 ? { [field]: Object.fromEntries(rest) } : {};
}

// --------------------------------------------------------------------------------------------------------- consent

function accountConsent({ account, project, email }: FoundTenant, rules: ClaimRules, notes: string[]): string[] {
  if (account.state !== 'present') {
    notes.push(`There is no service account ${email}: the operator makes it.`);
    return [];
  }
  return commandOrNote(accountConflict(account.value, claimAccount(account.value, rules), project, rules), notes);
}

function serviceConsent({ service }: FoundTenant, rules: ClaimRules, notes: string[]): string[] {
  if (service.labels['managed-by-cnrm'] === 'true') {
    notes.push(
      'Config Connector manages this service: it is refused until it is abandoned there (docs/config-connector.md).',
    );
  }
  return commandOrNote(serviceConflict(service, claimService(service, rules), rules), notes);
}

/** The command in the message. A message without a command becomes a note. */
function commandOrNote(message: string | undefined, notes: string[]): string[] {
  const command = commandIn(message);
  if (message !== undefined && command === undefined) notes.push(message);
  return command === undefined ? [] : [command];
}
