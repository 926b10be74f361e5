import type { Json, JsonObject } from '../../../ports/json.ts';
import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { locationOf, serviceOf, servicesOf } from './addresses.ts';
import {
  askForAccount,
  askForChange,
  askForService,
  EXITS,
  labelsWith,
  lastPart,
  type MadeService,
  makeAccount,
  makeService,
  makeServiceWithSecret,
  must,
  mustAnswer,
  onceVisible,
  secretEnv,
  serviceBody,
  sharedSecrets,
  sharedService,
  untilAnswer,
} from './made.ts';
import { allOf, confirmed, fieldFits, judge, notObservable, refuses, refuted } from './verdicts.ts';

/** Cloud Run Admin v2: how a service comes up, fails and goes. */

const section = 'Cloud Run: operations, conditions and failures';

const conditionOf = (exchange: Exchange): JsonObject => (objectIn(exchange).terminalCondition ?? {}) as JsonObject;

/** A service whose first revision has two variables from a secret that its account may not read. */
const deniedService = (context: FactContext): Promise<MadeService> =>
  context.shared('denied service', async () => {
    const { denied } = await sharedSecrets(context);
    const env = ['ONE', 'TWO'].map(name => secretEnv(name, denied.id, '1'));
    return makeService(context, 'denied', await serviceBody(context, { container: { env } }));
  });

/** A service with a variable from a version that does not exist, of a secret that its account may read. */
const unversionedService = (context: FactContext): Promise<MadeService> =>
  context.shared('unversioned service', async () => {
    const { granted } = await sharedSecrets(context);
    return makeServiceWithSecret(context, 'unversioned', secretEnv('KEY', granted.id, '99'));
  });

interface Broken {
  /** The service while it was ready. */
  before: Exchange;
  /** The service after an update that failed. */
  after: Exchange;
}

/** A ready service that gets a revision which cannot read its secret. */
const brokenService = (context: FactContext): Promise<Broken> =>
  context.shared('broken service', async () => {
    const { denied } = await sharedSecrets(context);
    const { url, settled } = await makeService(context, 'broken', await serviceBody(context));
    const template = (await serviceBody(context, { container: { env: [secretEnv('KEY', denied.id, '1')] } })).template;
    await context.wait(must(await askForChange(context, url, 'template', { template })));
    return { before: settled, after: must(await context.call('GET', url)) };
  });

const failed = (exchange: Exchange): Exchange => {
  const { state } = conditionOf(exchange);
  if (state !== 'CONDITION_FAILED') throw new Error(`the revision was to fail, and the condition is ${state}`);
  return exchange;
};

const secretPattern = (id: string, version: string) => `projects/\\d+/secrets/${id}/versions/${version}`;

const textOf = (exchange: Exchange): string => String(conditionOf(exchange).message ?? '');

const textFits = (exchange: Exchange, pattern: RegExp) =>
  fieldFits(exchange, 'terminalCondition.message', text => pattern.test(String(text)));

const PERMISSION_TEXT =
  "Permission denied on secret: SECRET for Revision service account \\S+\\. The service account used must be granted the 'Secret Manager Secret Accessor' role \\(roles/secretmanager\\.secretAccessor\\) at the secret, project or higher level\\.";

export const runLife: Fact[] = [
  {
    id: 'run-operation-name',
    text: '`CreateService` answers with an operation `projects/P/locations/R/operations/ID` whose metadata is the service.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { started, id } = await sharedService(context);
      const place = `projects/[^/]+/locations/${context.region}`;
      return allOf(
        () => fieldFits(started, 'name', name => new RegExp(`^${place}/operations/[^/]+$`).test(String(name))),
        () => fieldFits(started, 'metadata.name', name => String(name).endsWith(`/services/${id}`)),
      );
    },
  },
  {
    id: 'run-operation-response',
    text: 'The operation ends with `done: true` and the service as its response.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { ended, id } = await sharedService(context);
      return allOf(
        () => fieldFits(ended, 'done', true),
        () => fieldFits(ended, 'response.@type', 'type.googleapis.com/google.cloud.run.v2.Service'),
        () => fieldFits(ended, 'response.name', name => String(name).endsWith(`/services/${id}`)),
      );
    },
  },
  {
    id: 'run-operation-get-wait',
    text: 'An operation can be read (GET) and waited for (POST `:wait`).',
    source: 'P: google/longrunning/operations.proto',
    unsure: false,
    section,
    probe: async context => {
      const { started } = await sharedService(context);
      const name = String(fieldIn(started, 'name'));
      const url = `https://run.googleapis.com/v2/${name}`;
      return allOf(
        async () => fieldFits(await context.call('GET', url), 'name', name),
        async () => fieldFits(await context.call('POST', `${url}:wait`, { timeout: '5s' }), 'done', true),
      );
    },
  },
  {
    id: 'run-operation-list',
    text: 'The operations of a region can be listed.',
    source: 'P: google/longrunning/operations.proto',
    unsure: false,
    section,
    probe: async context => {
      await sharedService(context);
      const listed = await context.call('GET', `${locationOf(context)}/operations?pageSize=1`);
      return fieldFits(listed, 'operations.0.name', name => /\/operations\/[^/]+$/.test(String(name)));
    },
  },
  {
    id: 'run-operation-delete',
    text: 'A finished operation can be deleted; after that it is missing (404).',
    source: 'P: google/longrunning/operations.proto',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await sharedService(context);
      const started = must(await context.call('DELETE', `${url}?validateOnly=true`));
      await context.wait(started);
      const operation = `https://run.googleapis.com/v2/${fieldIn(started, 'name')}`;
      await mustAnswer(context, operation);
      const deleted = await context.call('DELETE', operation);
      if (!succeeded(deleted)) return judge(false, deleted);
      return refuses(await context.call('GET', operation), { status: 404 });
    },
  },
  {
    id: 'run-create-duration',
    text: 'Creating a service takes at most a minute (5–60 s).',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const { settled } = await sharedService(context);
      const seconds =
        (Date.parse(String(fieldIn(settled, 'terminalCondition.lastTransitionTime'))) -
          Date.parse(String(fieldIn(settled, 'createTime')))) /
        1000;
      if (Number.isNaN(seconds)) return refuted('the service has no createTime or no lastTransitionTime');
      return seconds >= 0 && seconds <= 60 ? confirmed : refuted(`it took ${seconds} s`);
    },
  },
  {
    id: 'run-exists-at-once',
    text: 'A service can be read as soon as `CreateService` has answered.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { first } = await sharedService(context);
      return judge(succeeded(first), first);
    },
  },
  {
    id: 'run-reconciling-at-once',
    text: 'A new service is `reconciling: true` from the first read on.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => fieldFits((await sharedService(context)).first, 'reconciling', true),
  },
  {
    id: 'run-ready',
    text: 'A service is ready when `reconciling` is false, `observedGeneration` equals `generation`, and the terminal condition is CONDITION_SUCCEEDED.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await sharedService(context);
      return allOf(
        () => fieldFits(settled, 'reconciling', value => value !== true),
        () => fieldFits(settled, 'observedGeneration', fieldIn(settled, 'generation')),
        () => fieldFits(settled, 'terminalCondition.state', 'CONDITION_SUCCEEDED'),
      );
    },
  },
  {
    id: 'run-int64-text',
    text: 'An int64 is a string in JSON, such as `generation`.',
    source: 'P: https://protobuf.dev/programming-guides/json/',
    unsure: false,
    section,
    probe: async context => fieldFits((await sharedService(context)).settled, 'generation', '1'),
  },
  {
    id: 'run-failed-condition',
    text: 'A service whose revision does not come up has the terminal condition CONDITION_FAILED, and is not reconciling.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await deniedService(context);
      return allOf(
        () => fieldFits(settled, 'terminalCondition.state', 'CONDITION_FAILED'),
        () => fieldFits(settled, 'reconciling', value => value !== true),
      );
    },
  },
  {
    id: 'run-failed-first-revision',
    text: 'A service whose first revision failed has no latest ready revision and no observed generation equal to its generation.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await deniedService(context);
      const isEmpty = (value: Json | undefined) => value === undefined || value === '';
      return allOf(
        () => fieldFits(failed(settled), 'latestReadyRevision', isEmpty),
        () => fieldFits(settled, 'observedGeneration', value => value !== fieldIn(settled, 'generation')),
      );
    },
  },
  {
    id: 'run-failed-update-revision',
    text: 'After a failed update `latestReadyRevision` is still the last revision that served.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { before, after } = await brokenService(context);
      return fieldFits(failed(after), 'latestReadyRevision', fieldIn(before, 'latestReadyRevision'));
    },
  },
  {
    id: 'run-failed-update-generation',
    text: 'After a failed update `observedGeneration` keeps the last serving state: it does not reach `generation`.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { after } = await brokenService(context);
      return fieldFits(failed(after), 'observedGeneration', value => value !== fieldIn(after, 'generation'));
    },
  },
  {
    id: 'run-failed-update-traffic',
    text: 'After a failed update `trafficStatuses` keeps the last serving state.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { before, after } = await brokenService(context);
      return fieldFits(failed(after), 'trafficStatuses', fieldIn(before, 'trafficStatuses'));
    },
  },
  {
    id: 'run-failed-text',
    text: 'The text of a failed condition begins "Revision \'R\' is not ready and cannot serve traffic."',
    source: 'C: https://github.com/terraform-google-modules/terraform-docs-samples/pull/168',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await deniedService(context);
      const revision = lastPart(settled, 'latestCreatedRevision');
      const begin = `Revision '${revision}' is not ready and cannot serve traffic.`;
      return fieldFits(failed(settled), 'terminalCondition.message', text => String(text).startsWith(begin));
    },
  },
  {
    id: 'run-secret-denied-text',
    text: 'A secret that the account may not read: "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name: Permission denied on secret: projects/N/secrets/S/versions/V for Revision service account E. …"',
    source: 'C: https://github.com/terraform-google-modules/terraform-docs-samples/pull/168',
    unsure: false,
    section,
    probe: async context => {
      const { denied } = await sharedSecrets(context);
      const { settled } = await deniedService(context);
      const text = PERMISSION_TEXT.replace('SECRET', secretPattern(denied.id, '1'));
      const field = 'spec\\.template\\.spec\\.containers\\[0\\]\\.env\\[0\\]\\.value_from\\.secret_key_ref\\.name: ';
      return textFits(failed(settled), new RegExp(field + text));
    },
  },
  {
    id: 'run-secret-denied-lines',
    text: 'The text has a line for each variable that cannot be read.',
    source: 'C: https://github.com/terraform-google-modules/terraform-docs-samples/pull/168',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await deniedService(context);
      const lines = textOf(failed(settled))
        .split('\n')
        .filter(line => line.includes('Permission denied on secret'));
      if (lines.length === 2 && /env\[0\]/.test(lines[0] ?? '') && /env\[1\]/.test(lines[1] ?? '')) return confirmed;
      return refuted(`for 2 variables: ${JSON.stringify(textOf(settled))}`);
    },
  },
  {
    id: 'run-secret-denied-reason',
    text: 'The reason of the condition is SECRETS_ACCESS_CHECK_FAILED.',
    source: 'P: google/cloud/run/v2/condition.proto',
    unsure: false,
    section,
    probe: async context => {
      const { settled } = await deniedService(context);
      return fieldFits(failed(settled), 'terminalCondition.reason', 'SECRETS_ACCESS_CHECK_FAILED');
    },
  },
  {
    id: 'run-secret-missing-text',
    text: 'A version that does not exist: "Secret projects/N/secrets/S/versions/V was not found".',
    source:
      'C: quoted in public repositories: "…value_from.secret_key_ref.name: Secret projects/…/versions/latest was not found"',
    unsure: false,
    section,
    probe: async context => {
      const { granted } = await sharedSecrets(context);
      const { settled } = await unversionedService(context);
      return textFits(failed(settled), new RegExp(`Secret ${secretPattern(granted.id, '99')} was not found`));
    },
  },
  {
    id: 'run-secret-checked-at-deploy',
    text: 'Secrets are checked when a revision is deployed: with the grant it becomes ready, without it it fails.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/secrets',
    unsure: false,
    section,
    probe: async context => {
      const { granted } = await sharedSecrets(context);
      const { settled } = await context.shared('granted service', () =>
        makeServiceWithSecret(context, 'granted', secretEnv('KEY', granted.id, '1')),
      );
      return allOf(
        () => fieldFits(settled, 'terminalCondition.state', 'CONDITION_SUCCEEDED'),
        async () => fieldFits((await deniedService(context)).settled, 'terminalCondition.state', 'CONDITION_FAILED'),
      );
    },
  },
  {
    id: 'run-secret-read-at-start',
    text: 'A secret in a variable is read at every start of an instance; a failure stops the start.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/secrets',
    unsure: false,
    section,
    probe: async () =>
      notObservable('an idle instance stays for up to 15 minutes, longer than a run, before another one must start'),
  },
  {
    id: 'run-secret-running-instances',
    text: 'Running instances keep the value that they were started with: with `latest` one revision can serve two versions at once.',
    source: 'D: https://cloud.google.com/run/docs/configuring/services/secrets',
    unsure: false,
    section,
    probe: async () => notObservable('the public image does not show its variables'),
  },
  {
    id: 'run-not-listening-text',
    text: 'A container that does not listen in time: "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable within the allocated timeout."',
    source: 'C: https://github.com/octo-sts/app/pull/1005; the wording varies',
    unsure: false,
    section,
    probe: async context => {
      const made = await context.shared('exiting service', async () =>
        makeService(context, 'exits', await serviceBody(context, { container: { image: EXITS } })),
      );
      return textFits(
        failed(made.settled),
        /The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable/,
      );
    },
  },
  {
    id: 'run-account-disabled',
    text: 'A service whose account is disabled cannot start new instances: its new revision does not become ready.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-disable-enable',
    unsure: false,
    section,
    probe: async context => {
      const account = await makeAccount(context, 'contained');
      const id = context.name('service', 'contained');
      const body = await serviceBody(context, { serviceAccount: account.email });
      await context.wait(must(await askForService(context, id, body)));
      must(await context.call('POST', `${account.url}:disable`, {}));
      const url = serviceOf(context, id);
      let attempt = 0;
      // The account's state takes a while to reach Cloud Run, so that a first revision may still come up.
      const state = await untilAnswer(
        context,
        async () => {
          const template = { ...(body.template as JsonObject), labels: { attempt: String(++attempt) } };
          const started = await askForChange(context, url, 'template', { template });
          if (succeeded(started)) await context.wait(started);
          return succeeded(started) ? context.call('GET', url) : started;
        },
        answer => !succeeded(answer) || conditionOf(answer).state === 'CONDITION_FAILED',
        60_000,
      );
      return fieldFits(state, 'terminalCondition.state', 'CONDITION_FAILED');
    },
  },
  {
    id: 'run-act-as',
    text: 'A service as an account that does not exist is refused: 403 "Permission \'iam.serviceaccounts.actAs\' denied on service account E (or it may not exist)."',
    source: 'C: https://github.com/GoogleCloudPlatform/cloud-run-release-manager/issues/81',
    unsure: false,
    section,
    probe: async context => {
      const email = `${context.name('account', 'never-made')}@${context.project}.iam.gserviceaccount.com`;
      const body = await serviceBody(context, { serviceAccount: email });
      const id = context.name('service', 'act-as');
      const answer = await context.call('POST', `${servicesOf(context)}?serviceId=${id}`, body);
      const text = `Permission 'iam.serviceaccounts.actAs' denied on service account ${email} (or it may not exist).`;
      return refuses(answer, { status: 403, code: 'PERMISSION_DENIED', text });
    },
  },
  {
    id: 'run-act-as-every-update',
    text: 'The right to act as the account is checked on every update, also when only a label changes.',
    source: 'C: https://github.com/GoogleCloudPlatform/cloud-run-release-manager/issues/81',
    unsure: false,
    section,
    probe: async context => {
      const account = await makeAccount(context, 'act-as');
      const body = await serviceBody(context, { serviceAccount: account.email });
      const { url, settled } = await makeService(context, 'act-as-update', body);
      must(await context.call('DELETE', account.url));
      const labels = labelsWith(settled, { changed: 'x' });
      const relabel = () => askForChange(context, url, 'labels', { labels });
      const answer = await untilAnswer(context, relabel, ({ status }) => status === 403, 60_000);
      return refuses(answer, { status: 403, text: 'iam.serviceaccounts.actAs' });
    },
  },
  {
    id: 'run-act-as-fresh',
    text: 'A service as a new account is refused with the same text while the account is not visible yet, and then taken.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('account', 'act-as-fresh');
      const email = `${id}@${context.project}.iam.gserviceaccount.com`;
      const body = await serviceBody(context, { serviceAccount: email });
      must(await askForAccount(context, id));
      const service = context.name('service', 'act-as-fresh');
      const ask = () => context.call('POST', `${servicesOf(context)}?serviceId=${service}&validateOnly=true`, body);
      const first = await ask();
      if (succeeded(first)) return notObservable('the new account was taken at once');
      return allOf(
        () => refuses(first, { status: 403, text: `denied on service account ${email} (or it may not exist).` }),
        async () => {
          const last = await onceVisible(context, ask);
          return judge(succeeded(last), last);
        },
      );
    },
  },
];
