import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { MERGE } from '../../unit/sandbox-kube.support.ts';
import type { KubectlOptions, Session } from './session.ts';

const example = parse(readFileSync(new URL('../../../examples/tenant-a.yaml', import.meta.url), 'utf8'));

/** What `kubectl` of a user of the operator does, in `namespace`. Another operator than the tests' own never runs there. */
export async function asAUser(session: Session, namespace: string): Promise<void> {
  const { target, kubectl, ask } = session;
  const file = (name: string, object: unknown) => {
    writeFileSync(join(target.folder, name), stringify(object));
    return name;
  };
  const run = (name: string, args: string, options?: KubectlOptions) =>
    // Arguments are split at blanks; `%20` stands for one within an argument.
    kubectl(name, [...args.split(' ').map(word => word.replaceAll('%20', ' ')), '-n', namespace], options);
  const path = `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants/tenant-a`;
  const tenant = file('tenant.yaml', example);

  await run('dry apply', `apply --dry-run=server -f ${tenant}`);
  await run('diff of a new one', `diff -f ${tenant}`, {
    env: { KUBECTL_EXTERNAL_DIFF: 'diff -U0 --label=a --label=b' },
  });
  await run('apply', `apply -f ${tenant}`);
  await run('apply again', `apply -f ${tenant}`);
  const condition = { type: 'Ready', status: 'True', reason: 'UpToDate', message: 'It runs.' };
  await ask('PATCH', `${path}/status`, {
    body: {
      status: {
        observedGeneration: 1,
        url: 'https://tenant-a.example',
        latestReadyRevision: 'tenant-a-00001',
        conditions: [{ ...condition, lastTransitionTime: '2030-01-01T00:00:00Z', observedGeneration: 1 }],
      },
    },
    type: MERGE,
  });
  for (const output of [
    '',
    ' -o wide',
    ' -o yaml',
    ' -o json',
    ' -o name',
    ' -o jsonpath={.items[*].status.url}',
    ' --show-labels',
  ]) {
    await run(`get${output}`, `get aitenants${output}`);
  }
  await run('get by short name', 'get ait');
  await run('get by category', 'get gcp');
  await run('get by full name', 'get aitenants.ai-platform.dev/tenant-a');
  await run('get by field', 'get aitenants --field-selector=metadata.name=tenant-a');
  await run('get by region', 'get aitenants --field-selector=spec.region=asia-northeast1');
  await run('get by another region', 'get aitenants --field-selector=spec.region!=asia-northeast1');
  await run('get by project', 'get aitenants --field-selector=status.projectId=no-such-project');
  await run('get by a field that is not selectable', 'get aitenants --field-selector=spec.access=Public');
  await run('get columns', 'get ait -o custom-columns=N:.metadata.name,G:.metadata.generation');
  await run('get in chunks', 'get ait --chunk-size=1');
  await run('get the missing', 'get aitenant tenant-x');
  await run('get the unknown', 'get nonsense');
  await run('get in all namespaces', 'get ait -A');
  await run('get and watch', 'get ait -w', {
    lines: 3,
    meanwhile: () => ask('PATCH', path, { body: { metadata: { annotations: { seen: 'yes' } } }, type: MERGE }),
  });
  await run('get and watch events', 'get ait -w --output-watch-events -o name', {
    lines: 2,
    meanwhile: () => ask('PATCH', path, { body: { metadata: { annotations: { seen: null } } }, type: MERGE }),
  });
  await run('get raw', `get --raw ${path}`);
  await run('describe', 'describe aitenant tenant-a');
  await run('explain', 'explain aitenant');
  await run('explain a field', 'explain aitenant.spec.keys --recursive');
  await run('explain the missing', 'explain aitenant.spec.nonsense');
  await run('wait', 'wait --for=condition=Ready aitenant/tenant-a --timeout=5s');
  await run('wait in vain', 'wait --for=condition=Stalled aitenant/tenant-a --timeout=1s');
  await run('merge patch', 'patch aitenant tenant-a --type=merge -p {"spec":{"timeoutSeconds":60}}');
  await run(
    'json patch',
    'patch aitenant tenant-a --type=json -p [{"op":"replace","path":"/spec/timeoutSeconds","value":61}]',
  );
  await run('strategic patch', 'patch aitenant tenant-a -p {"spec":{"timeoutSeconds":62}}');
  await run('bad patch', 'patch aitenant tenant-a --type=merge -p {"spec":{"timeoutSeconds":-1}}');
  await run('status patch', 'patch aitenant tenant-a --subresource=status --type=merge -p {"status":{"region":"x"}}');
  await run('annotate', 'annotate aitenant tenant-a a=b');
  await run('annotate again', 'annotate aitenant tenant-a a=c');
  await run('annotate, overwriting', 'annotate aitenant tenant-a a=c --overwrite');
  await run('unannotate', 'annotate aitenant tenant-a a-');
  await run('label', 'label aitenant tenant-a team=one');
  await run('get by label', 'get aitenants -l team=one');
  await run('get by no label', 'get aitenants -l team!=one');
  await run('edit', 'edit aitenant tenant-a', {
    env: { EDITOR: 'sed -i s/timeoutSeconds:.*/timeoutSeconds:%2063/'.replace('%20', '\\ ') },
  });
  await run('edit nothing', 'edit aitenant tenant-a', { env: { EDITOR: 'true' } });
  const changed = file('changed.yaml', {
    ...example,
    spec: { ...example.spec, scaling: { minInstances: 1, maxInstances: 5 } },
  });
  await run('diff', `diff -f ${changed}`, { env: { KUBECTL_EXTERNAL_DIFF: 'diff -U0 --label=a --label=b' } });
  await run('dry apply of a change', `apply --dry-run=server -f ${changed}`);
  await run('apply of a change', `apply -f ${changed}`);
  await run('replace', `replace -f ${changed}`);
  await run('create', `create -f ${changed}`);
  const bad = {
    ...example,
    metadata: { name: 'tenant-b' },
    spec: { ...example.spec, scaling: { minInstances: 9, maxInstances: 1 } },
  };
  await run('apply of a bad one', `apply -f ${file('bad.yaml', bad)}`);
  await run(
    'apply of an unknown field',
    `apply -f ${file('unknown.yaml', { ...example, spec: { ...example.spec, nonsense: 1 } })}`,
  );
  await run('apply without validation', `apply --validate=false --dry-run=server -f unknown.yaml`);
  await run('apply of an unknown kind', `apply -f ${file('kind.yaml', { ...example, kind: 'AiTenantX' })}`);
  await run('apply, server-side', `apply --server-side -f ${tenant}`);
  await run('events', 'get events');
  await run('api-resources', 'api-resources --api-group=ai-platform.dev');
  await run('api-resources, wide', 'api-resources --api-group=ai-platform.dev -o wide');
  await run('api-resources by category', 'api-resources --categories=gcp');
  await run('may I', 'auth can-i create aitenants');
  await run('get CRD', 'get crd aitenants.ai-platform.dev');
  await run('get namespace', `get namespace ${namespace}`);
  await run('dry delete', 'delete aitenant tenant-a --dry-run=server');
  await run('delete', 'delete aitenant tenant-a');
  await run('delete again', 'delete aitenant tenant-a');
  await run('delete again, calmly', 'delete aitenant tenant-a --ignore-not-found');
  await run('apply, to be held', `apply -f ${tenant}`);
  const held = (finalizers: string[] | null) => ask('PATCH', path, { body: { metadata: { finalizers } }, type: MERGE });
  await held(['ai-platform.dev/finalizer']);
  await run('delete waits in vain', 'delete aitenant tenant-a --timeout=2s');
  await run('delete waits for the finalizer', 'delete aitenant tenant-a', { meanwhile: () => held(null) });
  await run('get nothing', 'get aitenants');
  await run('apply two', `apply -f -`, {
    input: [example, { ...example, metadata: { name: 'tenant-c' } }].map(object => stringify(object)).join('---\n'),
  });
  await run('delete all', 'delete aitenants --all');
  await run('create namespace', 'create namespace conf-by-kubectl --dry-run=server');
}
