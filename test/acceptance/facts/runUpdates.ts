import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import protobuf from 'protobufjs/light.js';
import type { JsonObject } from '../../../ports/json.ts';
import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { nameIn, serviceOf, servicesOf } from './addresses.ts';
import {
  askForChange,
  change,
  described,
  grantOf,
  labelsWith,
  lastPart,
  type MadeService,
  makeService,
  must,
  mustAnswer,
  onceVisible,
  serviceBody,
  setPolicy,
  sharedAccount,
  sharedService,
  validate,
} from './made.ts';
import {
  accepts,
  allOf,
  confirmed,
  fieldFits,
  isRefusal,
  judge,
  notObservable,
  refuses,
  refusesInput,
  refuted,
} from './verdicts.ts';

/** Cloud Run Admin v2: updates, revisions, traffic and access. */

const section = 'Cloud Run: updates, revisions, traffic and access';

const edited = (context: FactContext): Promise<MadeService> =>
  context.shared('edited service', async () => makeService(context, 'edited', await serviceBody(context)));

/**
 * The changes of one service, one after another; each is made once and after those before it, whichever probe asks first. Every step
 * answers with the service as it was before and after.
 */
interface Step {
  before: Exchange;
  after: Exchange;
}

function step(
  key: string,
  previous: (context: FactContext) => Promise<unknown>,
  make: (context: FactContext, url: string, before: Exchange) => Promise<Exchange>,
): (context: FactContext) => Promise<Step> {
  return context =>
    context.shared(`edited service: ${key}`, async () => {
      const { url } = await edited(context);
      // A step that was refused does not keep the later ones from being made.
      await previous(context).catch(() => undefined);
      const before = must(await context.call('GET', url));
      return { before, after: await make(context, url, before) };
    });
}

const relabelled = step('labels', edited, (context, url, before) =>
  change(context, url, 'labels', { labels: labelsWith(before, { changed: 'labels' }), description: 'not in the mask' }),
);

const rescaled = step('scaling', relabelled, (context, url) =>
  change(context, url, 'scaling', { scaling: { maxInstanceCount: 3 } }),
);

const opened = step('invokerIamDisabled', rescaled, (context, url) =>
  change(context, url, 'invokerIamDisabled', { invokerIamDisabled: true }),
);

/** Closes the service again, whatever became of its opening, and changes the template. */
const retemplated = step('template', opened, async (context, url, before) => {
  const template = { ...(objectIn(before).template as JsonObject), labels: { changed: 'template' } };
  return change(context, url, 'template,invokerIamDisabled', { template });
});

const pinned = step('traffic', retemplated, (context, url, before) => {
  const revision = lastPart(before, 'latestReadyRevision');
  const traffic = [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision, percent: 100 }];
  return change(context, url, 'traffic', { traffic });
});

const retemplatedAgain = step('template while traffic is pinned', pinned, async (context, url, before) => {
  const template = { ...(objectIn(before).template as JsonObject), labels: { changed: 'again' } };
  return change(context, url, 'template', { template });
});

const sameRevision = ({ before, after }: Step) =>
  fieldFits(after, 'latestCreatedRevision', fieldIn(before, 'latestCreatedRevision'));

/** The answers to a change and to a deletion with the etag of an earlier state. */
const staleEtag = (context: FactContext): Promise<{ updated: Exchange; deleted: Exchange }> =>
  context.shared('stale etag', async () => {
    const { url } = await edited(context);
    const { before } = await relabelled(context);
    const { etag } = objectIn(before);
    const labels = labelsWith(before, { changed: 'stale' });
    const updated = await askForChange(context, url, 'labels', { labels, etag });
    const query = `etag=${encodeURIComponent(String(etag))}&validateOnly=true`;
    return { updated, deleted: await context.call('DELETE', `${url}?${query}`) };
  });

interface Named extends MadeService {
  /** The answers to another template under the name of the revision that exists, and to a change of one field of the template. */
  conflict: Exchange;
  masked: Exchange;
  /** The answers to changes whose mask does not name the template, while the body has another one. */
  scaled: Exchange;
  traffic: Exchange;
  /** The service after its revision's name alone was cleared. */
  cleared: Exchange;
}

/** A service whose template names its revision, as gcloud and the console write it. */
const named = (context: FactContext): Promise<Named> =>
  context.shared('named revision', async () => {
    const id = context.name('service', 'named');
    const revision = `${id}-first`;
    const body = await serviceBody(context, { revision });
    const made = await makeService(context, 'named', body);
    const template = { ...(body.template as JsonObject), labels: { changed: 'x' } };
    const { url } = made;
    const conflict = await askForChange(context, url, 'template', { template });
    const masked = await askForChange(context, url, 'template.scaling', {
      template: { revision, scaling: { maxInstanceCount: 7 } },
    });
    const scaled = await askForChange(context, url, 'scaling.min_instance_count', {
      template,
      scaling: { minInstanceCount: 0 },
    });
    await context.wait(scaled);
    const traffic = await askForChange(context, url, 'traffic', {
      template,
      traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
    });
    await context.wait(traffic);
    return {
      ...made,
      conflict,
      masked,
      scaled,
      traffic,
      cleared: await change(context, url, 'template.revision', { template: {} }),
    };
  });

const CONFLICT = (id: string) => `Revision named '${id}-first' with different configuration already exists.`;

/** A fact about a conflict that a client's report shows, and that the report does not explain. */
function seenConflict(id: string, text: string, source: string, of: (made: Named) => Exchange): Fact {
  const probe = async (context: FactContext) => {
    const made = await named(context);
    const answer = of(made);
    if (succeeded(answer))
      return notObservable('the change was taken here: the report does not say what else is needed');
    return refuses(answer, { status: 409, code: 'ALREADY_EXISTS', text: CONFLICT(made.id) });
  };
  return { id, text, source, unsure: false, section, probe };
}

/** How the organization policy `run.managed.requireInvokerIam` refuses: by its name, or in words that others have quoted. */
const FORBIDDEN = /run\.managed\.requireInvokerIam|invoker_iam_disabled is not currently available/;

export const runUpdates: Fact[] = [
  {
    id: 'run-revision-name-answered',
    text: 'A `template.revision` that was given at the creation, as gcloud and the console do, comes back.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/9438',
    unsure: false,
    section,
    probe: async context => {
      const { id, settled } = await named(context);
      return fieldFits(settled, 'template.revision', `${id}-first`);
    },
  },
  {
    id: 'run-revision-name-conflict',
    text: 'Sent back with another template it is refused: 409 ALREADY_EXISTS "Revision named \'R\' with different configuration already exists."',
    source: 'C: https://github.com/pulumi/pulumi-gcp/issues/350',
    unsure: false,
    section,
    probe: async context => {
      const { id, conflict } = await named(context);
      return refuses(conflict, { status: 409, code: 'ALREADY_EXISTS', text: CONFLICT(id) });
    },
  },
  {
    id: 'run-revision-name-masked',
    text: 'The same is answered to a masked change of one field of the template, such as `template.scaling`, because the name stays.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/14569',
    unsure: false,
    section,
    probe: async context => {
      const { id, masked } = await named(context);
      return refuses(masked, { status: 409, code: 'ALREADY_EXISTS', text: CONFLICT(id) });
    },
  },
  seenConflict(
    'run-revision-name-scaling',
    'The same was seen in answers to a masked change of the service-level `scaling` alone.',
    'C: https://github.com/googleapis/google-cloud-python/issues/14259',
    ({ scaled }) => scaled,
  ),
  seenConflict(
    'run-revision-name-traffic',
    'The same was seen in answers to a masked change of `traffic` alone.',
    'C: https://github.com/googleapis/python-run/issues/123',
    ({ traffic }) => traffic,
  ),
  {
    id: 'run-revision-name-cleared',
    text: 'Clearing `template.revision` alone makes a new revision.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/9438',
    unsure: false,
    section,
    probe: async context => {
      const { id, cleared } = await named(context);
      return allOf(
        () => fieldFits(cleared, 'template.revision', value => value === undefined || value === ''),
        () =>
          fieldFits(
            cleared,
            'latestCreatedRevision',
            name => name !== undefined && !String(name).endsWith(`/${id}-first`),
          ),
      );
    },
  },
  {
    id: 'run-template-makes-revision',
    text: 'A change of `template` makes a revision `NAME-00002-abc`.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/9438, in whose names the numbers stand',
    unsure: false,
    section,
    probe: async context => {
      const { id } = await edited(context);
      const { after } = await retemplated(context);
      return fieldFits(after, 'latestCreatedRevision', name =>
        new RegExp(`/revisions/${id}-00002-[a-z0-9]{3}$`).test(String(name)),
      );
    },
  },
  {
    id: 'run-labels-make-no-revision',
    text: 'A change of `labels` makes no revision.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const done = await relabelled(context);
      return allOf(
        () => fieldFits(done.after, 'labels.changed', 'labels'),
        () => sameRevision(done),
      );
    },
  },
  {
    id: 'run-scaling-makes-no-revision',
    text: 'A change of the service-level `scaling` makes no revision.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const done = await rescaled(context);
      return allOf(
        () => fieldFits(done.after, 'scaling.maxInstanceCount', 3),
        () => sameRevision(done),
      );
    },
  },
  {
    id: 'run-invoker-check-makes-no-revision',
    text: 'A change of `invokerIamDisabled` makes no revision.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const done = await opened(context);
      return allOf(
        () => fieldFits(done.after, 'invokerIamDisabled', true),
        () => sameRevision(done),
      );
    },
  },
  {
    id: 'run-traffic-makes-no-revision',
    text: 'A change of `traffic` makes no revision.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const done = await pinned(context);
      return allOf(
        () => fieldFits(done.after, 'traffic.0.revision', lastPart(done.before, 'latestReadyRevision')),
        () => sameRevision(done),
      );
    },
  },
  {
    id: 'run-pinned-traffic',
    text: 'While the traffic names a revision, a new revision gets 0 %.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const { before, after } = await retemplatedAgain(context);
      const old = lastPart(before, 'latestReadyRevision');
      return allOf(
        () => fieldFits(after, 'latestReadyRevision', name => !String(name).endsWith(`/${old}`)),
        () => fieldFits(after, 'trafficStatuses.0.revision', old),
        () => fieldFits(after, 'trafficStatuses.0.percent', 100),
      );
    },
  },
  {
    id: 'run-scaling-twice',
    text: 'Minimum and maximum numbers of instances exist both on the service (`scaling`) and on the template.',
    source: 'P: google/cloud/run/v2/service.proto, vendor_settings.proto',
    unsure: false,
    section,
    probe: async context => {
      const { after } = await rescaled(context);
      return allOf(
        () => fieldFits(after, 'scaling.maxInstanceCount', 3),
        () => fieldFits(after, 'template.scaling.maxInstanceCount', value => typeof value === 'number' && value !== 3),
      );
    },
  },
  {
    id: 'run-mask-only',
    text: '`updateMask`: what it does not name stays as it was, also if the body has it.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { after } = await relabelled(context);
      return fieldFits(after, 'description', value => value === undefined || value === '');
    },
  },
  {
    id: 'run-stale-etag-update',
    text: 'An update with a stale etag in the service is refused with 409 ABORTED.',
    source:
      'C: quoted in public repositories: "Conflict for resource … was specified but current version is …", status ABORTED',
    unsure: false,
    section,
    probe: async context => refuses((await staleEtag(context)).updated, { status: 409, code: 'ABORTED' }),
  },
  {
    id: 'run-stale-etag-text',
    text: "The text about a stale etag is \"Conflict for resource 'S': version 'X' was specified but current version is 'Y'.\"",
    source:
      'C: quoted in public repositories: "Conflict for resource … was specified but current version is …", status ABORTED',
    unsure: false,
    section,
    probe: async context => {
      const { id } = await edited(context);
      const text = new RegExp(
        `^Conflict for resource '${id}': version '\\d+' was specified but current version is '\\d+'\\.`,
      );
      return refuses((await staleEtag(context)).updated, { status: 409, text });
    },
  },
  {
    id: 'run-stale-etag-delete',
    text: 'A deletion with a stale etag in the request is refused with 409 ABORTED.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => refuses((await staleEtag(context)).deleted, { status: 409, code: 'ABORTED' }),
  },
  {
    id: 'run-allow-missing',
    text: '`allowMissing`: an update of a service that does not exist creates it.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('service', 'allow-missing');
      const url = serviceOf(context, id);
      const body = { ...(await serviceBody(context)), name: nameIn(url) };
      const asked = await onceVisible(context, () => context.call('PATCH', `${url}?allowMissing=true`, body));
      if (!succeeded(asked)) return judge(false, asked);
      const read = await context.call('GET', url);
      return judge(succeeded(read), read);
    },
  },
  {
    id: 'run-update-missing',
    text: 'Without `allowMissing` an update of a service that does not exist is answered with 404.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      // It throws if a service that exists cannot be changed either.
      await relabelled(context);
      const url = serviceOf(context, context.name('service', 'update-missing'));
      return refuses(await context.call('PATCH', url, { ...(await serviceBody(context)), name: nameIn(url) }), {
        status: 404,
        code: 'NOT_FOUND',
      });
    },
  },
  {
    id: 'run-validate-only',
    text: '`validateOnly`: the request is checked, and nothing is made.',
    source: 'P: google/cloud/run/v2/service.proto',
    unsure: false,
    section,
    probe: async context => {
      await mustAnswer(context, (await sharedService(context)).url);
      const id = context.name('service', 'validate-only');
      const ask = `${servicesOf(context)}?serviceId=${id}&validateOnly=true`;
      const body = await serviceBody(context);
      const asked = await onceVisible(context, () => context.call('POST', ask, body));
      return allOf(
        () => accepts(asked),
        async () =>
          refusesInput(await context.call('POST', ask, { ...body, template: { containers: [{ image: '' }] } })),
        async () => refuses(await context.call('GET', serviceOf(context, id)), { status: 404 }),
      );
    },
  },
  {
    id: 'run-client-drops-fields',
    text: 'The client libraries drop the fields that they do not know: a template that is read and written back loses newer settings.',
    source: 'P: the generated clients decode by their own protos',
    unsure: false,
    section,
    probe: async () => {
      const path = createRequire(import.meta.url).resolve('@google-cloud/run/build/protos/protos.json');
      const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(path, 'utf8')));
      const type = root.lookupType('google.cloud.run.v2.Container');
      const { image, sandboxLauncher } = type.toObject(type.fromObject({ image: 'x', sandboxLauncher: true }));
      if (image === 'x' && sandboxLauncher === undefined) return confirmed;
      return refuted('the installed client keeps sandboxLauncher, which its protos were said to lack');
    },
  },
  {
    id: 'run-public-by-invoker-check',
    text: '"Allow public access" of the console is `invokerIamDisabled: true`, a field of the service.',
    source: 'D: https://cloud.google.com/run/docs/securing/managing-access',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('service', 'public');
      const body = await serviceBody(context, {}, { invokerIamDisabled: true });
      const asked = await onceVisible(context, () =>
        context.call('POST', `${servicesOf(context)}?serviceId=${id}&validateOnly=true`, body),
      );
      if (isRefusal(asked, { status: 400, text: FORBIDDEN })) {
        return notObservable('an organization policy of the project refuses it');
      }
      return fieldFits(described(asked), 'invokerIamDisabled', true);
    },
  },
  {
    id: 'run-require-invoker-iam',
    text: 'The organization policy `run.managed.requireInvokerIam` refuses `invokerIamDisabled: true`, by its name or with "invoker_iam_disabled is not currently available".',
    source: 'C: https://github.com/GoogleCloudPlatform/cloud-foundation-fabric/pull/2995',
    unsure: false,
    section,
    probe: async context => {
      const asked = await validate(context, {}, { invokerIamDisabled: true });
      if (succeeded(asked)) return notObservable('the project has no such organization policy');
      return refuses(asked, { status: 400, text: FORBIDDEN });
    },
  },
  {
    id: 'run-public-needs-set-policy',
    text: 'Setting `invokerIamDisabled` needs `run.services.setIamPolicy` too.',
    source: 'D: https://cloud.google.com/run/docs/securing/managing-access',
    unsure: false,
    section,
    probe: async () => notObservable('the probes have one caller, who has every permission that a run needs'),
  },
  {
    id: 'run-public-by-binding',
    text: '`--allow-unauthenticated` makes an `allUsers` binding of `roles/run.invoker`: a service can be public either way.',
    source: 'C: requests of gcloud 528',
    unsure: false,
    section,
    probe: async context => {
      const url = serviceOf(context, (await edited(context)).id);
      const written = await setPolicy(context, url, grantOf('allUsers', 'roles/run.invoker'));
      if (isRefusal(written, { status: 400, code: 'FAILED_PRECONDITION' })) {
        return notObservable('an organization policy of the project refuses allUsers');
      }
      const read = await context.call('GET', `${url}:getIamPolicy`);
      await setPolicy(context, url, { bindings: [] });
      return allOf(
        () => accepts(written),
        () => fieldFits(read, 'bindings.0', { role: 'roles/run.invoker', members: ['allUsers'] }),
      );
    },
  },
  {
    id: 'run-private-image',
    text: 'Deploying an image of Artifact Registry needs `artifactregistry.repositories.downloadArtifacts` for the caller, besides the service agent’s right.',
    source: 'D: https://cloud.google.com/artifact-registry/docs/integrate-cloud-run',
    unsure: false,
    section,
    probe: async () =>
      notObservable('the probes have one caller, who has every permission that a run needs, and use public images'),
  },
  {
    id: 'run-knative',
    text: 'The older Knative API (v1), which gcloud speaks, shows the same services.',
    source: 'C: requests of gcloud 528',
    unsure: false,
    section,
    probe: async context => {
      const { id, settled } = await sharedService(context);
      const host = `https://${context.region}-run.googleapis.com`;
      const url = `${host}/apis/serving.knative.dev/v1/namespaces/${context.project}/services/${id}`;
      const read = await context.call('GET', url);
      return allOf(
        () => fieldFits(read, 'kind', 'Service'),
        () => fieldFits(read, 'metadata.name', id),
        () => fieldFits(read, 'metadata.uid', fieldIn(settled, 'uid')),
      );
    },
  },
  {
    id: 'run-method-override',
    text: 'The front end takes a POST with `X-HTTP-Method-Override: PATCH`, as Google’s Java clients send every PATCH.',
    source: 'D: https://cloud.google.com/apis/docs/system-parameters',
    unsure: false,
    section,
    probe: async context => {
      const { id, email } = await sharedAccount(context);
      const url = `https://iam.googleapis.com/v1/projects/${context.project}/serviceAccounts/${email}`;
      const body = { serviceAccount: { name: nameIn(url), displayName: id }, updateMask: 'displayName' };
      const patched = await context.call('POST', url, body, { 'x-http-method-override': 'PATCH' });
      return fieldFits(patched, 'displayName', id);
    },
  },
];
