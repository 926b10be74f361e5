/** Classic bugs of controllers, each one line of the operator changed: the simulation has to catch every one. */
export interface Mutant {
  name: string;
  /** Below `operator/`. */
  file: string;
  /** Must be there exactly once. */
  find: string;
  replace: string;
}

/** The file with the bug in it; undefined: the text to be changed is not there exactly once. */
export const mutated = ({ find, replace }: Mutant, source: string): string | undefined =>
  source.split(find).length === 2 ? source.replace(find, () => replace) : undefined;

export const MUTANTS: readonly Mutant[] = [
  // ------------------------------------------------------------------------------------- policies of somebody's
  {
    name: 'drop the etag when a policy is written',
    file: 'gcp/iamPolicy.ts',
    find: '({ ...policy, version: 3 })',
    replace: '({ ...policy, version: 3, etag: undefined })',
  },
  {
    name: 'forget policy version 3 when writing',
    file: 'gcp/iamPolicy.ts',
    find: '({ ...policy, version: 3 })',
    replace: '({ ...policy, version: 1 })',
  },
  {
    name: 'forget policy version 3 when reading',
    file: 'gcp/iamPolicy.ts',
    find: 'requestedPolicyVersion: 3',
    replace: 'requestedPolicyVersion: 1',
  },
  {
    name: 'add the member to a conditional binding',
    file: 'tenant/policy.ts',
    find: '  binding.role === role && binding.condition === undefined;',
    replace: '  binding.role === role;',
  },
  {
    name: 'match members by prefix',
    file: 'tenant/policy.ts',
    find: '  return folded(a) === folded(b);',
    replace: "  return folded(a).startsWith(folded(b).split('@')[0] ?? '');",
  },
  {
    name: 'leave the deleted member when granting anew',
    file: 'tenant/secretAccess.ts',
    find: 'add: [member], remove: stale });',
    replace: 'add: [member], remove: [] });',
  },
  // -------------------------------------------------------------------------------------------------- whose it is
  {
    name: 'adopt another owner’s service',
    file: 'tenant/ownership.ts',
    find: "  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'theirs';",
    replace: "  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'ours';",
  },
  {
    name: 'adopt another owner’s account',
    file: 'tenant/ownership.ts',
    find: "  if (owner !== ownerText(rules.owner)) return 'theirs';",
    replace: "  if (owner !== ownerText(rules.owner)) return 'ours';",
  },
  {
    name: 'use a secret without consent',
    file: 'tenant/ownership.ts',
    find: "  if (namespace !== rules.owner.namespace) return 'otherNamespace';",
    replace: "  if (namespace === '') return 'otherNamespace';",
  },
  {
    name: 'replace all labels of a service',
    file: 'tenant/service.ts',
    find: 'service.labels = { ...found.labels, ...ownerLabels(ctx.desired.owner) };',
    replace: 'service.labels = ownerLabels(ctx.desired.owner);',
  },
  {
    name: 'drop variables that the spec never named',
    file: 'tenant/template.ts',
    find: '    if (want === undefined || sameVariable(variable, want)) variables.push(variable);',
    replace:
      '    if (want !== undefined && sameVariable(variable, want)) variables.push(variable);\n    else if (want === undefined) continue;',
  },
  // ---------------------------------------------------------------------------------------------------- inventory
  {
    name: 'make first, record later',
    file: 'reconcile/reconciler.ts',
    find: "const written = finalizer === 'ok' ? await reconciliation.writer.writeStatus(record) : finalizer;",
    replace: 'const written = finalizer;',
  },
  {
    name: 'forget a create whose answer was lost',
    file: 'tenant/inventory.ts',
    find: "kind === 'Transient' || (kind === 'Conflict' && !exists);",
    replace: "kind === 'Conflict' && !exists;",
  },
  {
    name: 'take a 404 for gone at once',
    file: 'tenant/inventory.ts',
    find: 'entry.deletedAt !== undefined) || age(entry, now) >= SETTLE_MS;',
    replace: 'entry.deletedAt !== undefined) || age(entry, now) >= 0;',
  },
  {
    name: 'forget former identities of an account',
    file: 'tenant/account.ts',
    find: '  return [...recorded.filter(entry => entry.uniqueId !== undefined && entry.uniqueId !== uniqueId), current];',
    replace: '  return [current];',
  },
  {
    name: 'forget a grant whose policy cannot be read',
    file: 'tenant/secretAccess.ts',
    find: "  if (found.policy?.state !== 'present') {\n    if (entry && !isRepeated) out.entries.push(entry);",
    replace: "  if (found.policy?.state !== 'present') {",
  },
  {
    name: 'forget a former grant while the account cannot be read',
    file: 'tenant/secretAccess.ts',
    find: '    if (stands || !absenceCounts(entry, ctx.now)) out.entries.push(entry);',
    replace: '    if (!absenceCounts(entry, ctx.now)) out.entries.push(entry);',
  },
  {
    name: 'forget a grant on the way out while a fresh account is out of sight',
    file: 'tenant/account.ts',
    find: "  if (read.state !== 'present' && fresh) {",
    replace: "  if (read.state !== 'present' && fresh && ctx.now < 0) {",
  },
  // ----------------------------------------------------------------------------------------------------- deletion
  {
    name: 'remove the finalizer first',
    file: 'reconcile/removal.ts',
    find: '      if (inventory.length > 0) return undefined;\n',
    replace: '',
  },
  {
    name: 'no finalizer at all',
    file: 'reconcile/ownWrites.ts',
    find: 'addFinalizer: async () => settle(await addFinalizer(kube, AI_TENANTS, latest, FINALIZER)),',
    replace: "addFinalizer: async () => 'ok' as Written,",
  },
  {
    name: 'delete the account before its grants',
    file: 'tenant/account.ts',
    find: '  remove.needs = out.steps.map(({ id }) => id);\n  remove.removes = entries.map(entryKey);\n  out.steps.push(remove);',
    replace: '  remove.removes = entries.map(entryKey);\n  out.steps.unshift(remove);',
  },
  {
    name: 'delete grants and account before the service is gone',
    file: 'reconcile/removal.ts',
    find: '  if (first) return first;\n',
    replace: '  if (first?.steps.length) return first;\n',
  },
  {
    name: 'delete what is to be abandoned',
    file: 'reconcile/removal.ts',
    find: "  const abandon = withCrd || (policy.ok && policy.policy === 'abandon');",
    replace: '  const abandon = withCrd;',
  },
  {
    name: 'go on while suspended',
    file: 'reconcile/upkeep.ts',
    find: '  if (tenant.spec.suspend) return keepConsent(parts, reconciliation, suspended);\n',
    replace: '',
  },
  // ------------------------------------------------------------------------------------- nothing working goes down
  {
    name: 'revoke a key while a revision still serves with it',
    file: 'tenant/secretAccess.ts',
    find: "  if (use === 'used') {",
    replace: "  if (use === 'used' && ctx.now < 0) {",
  },
  {
    name: 'delete the old region before the new one serves',
    file: 'tenant/regionMove.ts',
    find: '  for (const other of others) planLeaving(all, other, { arrived, full });',
    replace: '  for (const other of others) planLeaving(all, other, { arrived: true, full: false });',
  },
  {
    name: 'never delete the old region',
    file: 'tenant/regionMove.ts',
    find: '  if (!(left > 0)) {',
    replace: '  if (left < -1e15) {',
  },
  {
    name: 'bring an older key version back',
    file: 'tenant/keyVersion.ts',
    find: '  if (followsNewest && version < highest) {',
    replace: '  if (followsNewest && version < 0) {',
  },
  {
    name: 'use a version that is disabled',
    file: 'tenant/keyVersion.ts',
    find: "  if (state !== 'ENABLED' && !",
    replace: "  if (state === 'UNKNOWN' && !",
  },
  {
    name: 'send the revision’s name back',
    file: 'tenant/template.ts',
    find: '  const { revision: _named, ...template } = current;',
    replace: '  const template = { ...current };',
  },
  // ----------------------------------------------------------------------------------------------- what has left
  {
    name: 'leave variables that have left the spec',
    file: 'tenant/template.ts',
    find: '    dropVariables: ourVariables.filter(name => !variables.some(variable => variable.name === name)),',
    replace: '    dropVariables: [],',
  },
  {
    name: 'leave the settings of the former region behind',
    file: 'tenant/carryOver.ts',
    find: '    ...carried,\n',
    replace: '',
  },
  {
    name: 'make a deleted service again without what is on record of it',
    file: 'tenant/carryOver.ts',
    find: '    ...((isAgain || !from) && settingsFromRecord(status.serviceSettings)),\n',
    replace: '',
  },
  {
    name: 'make the new service while its predecessor cannot be read',
    file: 'tenant/regionMove.ts',
    find: "    if (other.read.service.state === 'failed') return { unread: other.read, retires: other.retires };\n",
    replace: '',
  },
  {
    name: 'believe a list that lacks a service',
    file: 'reconcile/upkeep.ts',
    find: '{ ...ages, alone: true, single',
    replace: '{ ...ages, single',
  },
  {
    name: 'carry variables that have left the spec to the new region',
    file: 'tenant/carryOver.ts',
    find: "const ourVariables = entriesOfType('Variable', inherited).map(({ variable }) => variable);",
    replace: 'const ourVariables: string[] = [];',
  },
  {
    name: 'leave invokers that have left the spec',
    file: 'tenant/invokers.ts',
    find: '    remove: [...leaving.map(({ member }) => member), ...deletedForms],',
    replace: '    remove: [],',
  },
  {
    name: 'leave the public on a service that is closed',
    file: 'tenant/invokers.ts',
    find: '    removeEverywhere: isPublic ? [] : PUBLIC_MEMBERS,',
    replace: '    removeEverywhere: [],',
  },
  // --------------------------------------------------------------------------------------------------------- drift
  {
    name: 'leave traffic where somebody put it',
    file: 'tenant/template.ts',
    find: '  if (traffic.length === 0 || latest === 100) return undefined;',
    replace: '  if (traffic.length >= 0 || latest === 100) return undefined;',
  },
  {
    name: 'go on although the account is disabled',
    file: 'tenant/account.ts',
    find: '    if (!found.disabled) return ours(ctx, found, recorded);',
    replace: '    if (found.email) return ours(ctx, found, recorded);',
  },
  {
    name: 'see a difference where there is none',
    file: 'tenant/template.ts',
    find: '  if (seconds(template.timeout) !== wanted.timeoutSeconds) {',
    replace: '  if (seconds(template.timeout) !== undefined) {',
  },
  {
    name: 'try a failed revision again at once',
    file: 'tenant/serviceProgress.ts',
    find: '  const left = delay - (found.unreadyForMs ?? 0);',
    replace: '  const left = Math.min(delay, 0) - (found.unreadyForMs ?? 0);',
  },
  // --------------------------------------------------------------------------------------- queue, watch, status
  {
    name: 'requeue a year too late',
    file: 'kube/queue.ts',
    find: 'schedule(queue, item, verdict.afterMs,',
    replace: 'schedule(queue, item, verdict.afterMs + 31_536_000_000,',
  },
  {
    name: 'retry a year too late',
    file: 'kube/queue.ts',
    find: 'schedule(queue, item, delay,',
    replace: 'schedule(queue, item, delay + 31_536_000_000,',
  },
  {
    name: 'lose an edit that comes while its tenant is being worked on',
    file: 'kube/queue.ts',
    find: '  if (addedMeanwhile) enqueue(queue, item, addedMeanwhile);\n',
    replace: '',
  },
  {
    name: 'go on after a 410 as if nothing was missed',
    file: 'kube/reflector.ts',
    find: '    state.version = undefined;\n    await backOff(state, ++tries.relists',
    replace:
      '    const now = await api.list(resource, { namespace, limit: 1 });\n    state.version = now.ok ? now.value.metadata.resourceVersion : undefined;\n    await backOff(state, ++tries.relists',
  },
  {
    name: 'write the status without its resourceVersion',
    file: 'kube/writes.ts',
    find: '  const body = { ...patch, metadata: { ...metadata, resourceVersion } };',
    replace: '  const body = { ...patch, metadata: { ...metadata } };',
  },
  {
    name: 'write the status at every look',
    file: 'tenant/conditions.ts',
    find: '    before?.status === status && before.lastTransitionTime ? before.lastTransitionTime : seconds(now);',
    replace:
      '    before?.status === status && before.lastTransitionTime && now < 0 ? before.lastTransitionTime : seconds(now);',
  },
  {
    name: 'forget which generation was observed',
    file: 'tenant/report.ts',
    find: '    ...tenant.status,\n    observedGeneration: tenant.generation,\n    conditions: withStalled([ready, ...aspects]',
    replace:
      '    ...tenant.status,\n    observedGeneration: tenant.status.observedGeneration ?? tenant.generation,\n    conditions: withStalled([ready, ...aspects]',
  },
  {
    name: 'act without the lease',
    file: 'fence.ts',
    find: '    mayAct() ? call(method, request, options) :',
    replace: '    mayAct() || method ? call(method, request, options) :',
  },
  // ------------------------------------------------------------------------------------------ time and budgets
  {
    name: 'look for drift every 15th interval',
    file: 'reconcile/pacing.ts',
    find: 'own <= settings.syncIntervalMs) return untilSlot(tenant.uid, own,',
    replace: 'own <= settings.syncIntervalMs) return untilSlot(tenant.uid, 15 * own,',
  },
  {
    name: 'never wait for a budget',
    file: 'gcp/quota.ts',
    find: 'return slowest(shares, rank, false) ? undefined : parking.grant(demand, rank, shares);',
    replace: 'return parking.grant(demand, rank, shares);',
  },
  {
    name: 'let an edit wait for 20 minutes',
    file: 'operator.ts',
    find: "else if (isEdit(object, old)) queue.add(key, 'edit');",
    replace: "else if (isEdit(object, old)) queue.addAfter(key, 1_200_000, 'edit');",
  },
  {
    name: 'share no lists',
    file: 'gcp/sharedList.ts',
    find: '      const known = cache.answerTo(key);\n',
    replace: '      if (maxAgeMs >= 0) return alone(key, get);\n      const known = cache.answerTo(key);\n',
  },
  {
    name: 'pace no tenant that never comes to rest',
    file: 'reconcile/pacing.ts',
    find: 'waitAfterChangeMs(run.changes + 1)',
    replace: 'waitAfterChangeMs(1)',
  },
  {
    name: 'ask for what does not come as often as ever',
    file: 'reconcile/pacing.ts',
    find: 'const WAIT_PART = 0.1;',
    replace: 'const WAIT_PART = 0;',
  },
  {
    name: 'close on a list that lacks a service',
    file: 'reconcile/closing.ts',
    find: '[cached, parts.reads]',
    replace: '[cached, parts.shared.at({ listed: 0, single: 0 })]',
  },
  {
    name: 'believe that nothing has changed, whatever was read',
    file: 'reconcile/quiet.ts',
    find: '!sameJson(read, known.read)',
    replace: 'read === known.read',
  },
  {
    name: 'begin anew at once when the tenant is gone',
    file: 'reconcile/ownWrites.ts',
    find: "gone: 'refused',",
    replace: "gone: 'changed',",
  },
  // ---------------------------------------------------------------------------------------------------- sidecars
  {
    name: 'sidecar: a key that only a sidecar uses counts as not used',
    file: 'tenant/secretAccess.ts',
    find: 'env !== undefined || file !== undefined || usesOf(spec, name).length > 0;',
    replace: 'env !== undefined || file !== undefined;',
  },
  {
    name: 'sidecar: one that leaves the spec stays',
    file: 'tenant/fields/sidecarFields.ts',
    find: 'return before ? removed(template, before) : template;',
    replace: 'return template;',
  },
  {
    name: 'sidecar: the volume of a removed one stays',
    file: 'tenant/fields/sidecarFields.ts',
    find: '  return withoutUnused({ ...template, containers }, sidecar);',
    replace: '  return { ...template, containers };',
  },
];
