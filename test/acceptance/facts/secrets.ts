import type { JsonObject } from '../../../ports/json.ts';
import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { secretOf, secretsOf } from './addresses.ts';
import { addVersion, askForSecret, type MadeSecret, makeSecret, must, onceVisible } from './made.ts';
import { accepts, allOf, fieldFits, judge, notObservable, refuses, refusesInput } from './verdicts.ts';

/** Secret Manager v1: secrets, versions, labels and annotations. */

const section = 'Secret Manager v1';

interface Versions extends MadeSecret {
  /** Reads of the first version: as it was made, disabled, and destroyed. */
  enabled: Exchange;
  disabled: Exchange;
  destroyed: Exchange;
  /** Reads while the newest version is disabled. */
  latest: Exchange;
  access: Exchange;
  enabledOnly: Exchange;
}

/** A secret of three versions: the first one is destroyed, the second one enabled and the third one disabled. */
const versions = (context: FactContext): Promise<Versions> =>
  context.shared('versions', async () => {
    const secret = await makeSecret(context, 'versions');
    const version = (number: number) => `${secret.url}/versions/${number}`;
    for (const value of ['one', 'two', 'three']) must(await addVersion(context, secret, value));
    const enabled = await context.call('GET', version(1));
    const disable = (number: number) => context.call('POST', `${version(number)}:disable`, {});
    must(await disable(1));
    const disabled = await context.call('GET', version(1));
    must(await context.call('POST', `${version(1)}:destroy`, {}));
    const destroyed = await context.call('GET', version(1));
    must(await disable(3));
    const latest = await context.call('GET', `${secret.url}/versions/latest`);
    const access = await context.call('GET', `${secret.url}/versions/latest:access`);
    const enabledOnly = await context.call(
      'GET',
      `${secret.url}/versions?filter=${encodeURIComponent('state:ENABLED')}`,
    );
    return { ...secret, enabled, disabled, destroyed, latest, access, enabledOnly };
  });

/** The secret whose labels and annotations the probes change. */
const edited = (context: FactContext) => context.shared('edited secret', () => makeSecret(context, 'edited'));

/** Asks for other labels. The answer has them, so that no probe reads what another one has written. */
async function patchLabels(context: FactContext, labels: JsonObject): Promise<Exchange> {
  const { url } = await edited(context);
  return context.call('PATCH', `${url}?updateMask=labels`, { labels: { ...context.labels, ...labels } });
}

async function patchAnnotations(context: FactContext, annotations: JsonObject): Promise<Exchange> {
  const { url } = await edited(context);
  return context.call('PATCH', `${url}?updateMask=annotations`, { annotations });
}

const numbered = (count: number): JsonObject =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`l${at}`, 'x']));

interface Rotated {
  /** The answer to the creation of a secret with a rotation: real ones need a Pub/Sub topic. */
  created: Exchange;
  /** Absent if it was refused: a read, and the answer to a change of the period alone. */
  read?: Exchange;
  patched?: Exchange;
}

const rotated = (context: FactContext): Promise<Rotated> =>
  context.shared('rotated secret', async () => {
    const id = context.name('secret', 'rotated');
    const url = secretOf(context, id);
    const topics = [{ name: `projects/${context.project}/topics/${id}` }];
    const nextRotationTime = new Date(Number(context.expires) * 1000 + 86_400_000).toISOString();
    const rotation = { nextRotationTime, rotationPeriod: '86400s' };
    const created = await askForSecret(context, id, { topics, rotation });
    if (!succeeded(created)) return { created };
    const read = await onceVisible(context, () => context.call('GET', url));
    const changed = { rotation: { rotationPeriod: '172800s' } };
    return {
      created,
      read,
      patched: await context.call('PATCH', `${url}?updateMask=rotation.rotation_period`, changed),
    };
  });

const NEEDS_TOPIC = 'a rotation needs a Pub/Sub topic to which Secret Manager may publish, and a run makes none';

export const secrets: Fact[] = [
  {
    id: 'secret-version-number-in-name',
    text: "A version's number stands in its `name`.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: async context =>
      fieldFits((await versions(context)).enabled, 'name', name => /\/versions\/1$/.test(String(name))),
  },
  {
    id: 'secret-version-states',
    text: 'The `state` of a version is `ENABLED`, `DISABLED` or `DESTROYED`.',
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: async context => {
      const { enabled, disabled, destroyed } = await versions(context);
      return allOf(
        () => fieldFits(enabled, 'state', 'ENABLED'),
        () => fieldFits(disabled, 'state', 'DISABLED'),
        () => fieldFits(destroyed, 'state', 'DESTROYED'),
      );
    },
  },
  {
    id: 'secret-version-no-value',
    text: '`GetSecretVersion` never answers with the value.',
    source: 'P: google/cloud/secretmanager/v1/service.proto',
    unsure: false,
    section,
    probe: async context => {
      const { enabled } = await versions(context);
      return fieldFits(enabled, 'payload', undefined);
    },
  },
  {
    id: 'secret-latest-any-state',
    text: '`latest` is the version that was created last, whatever its state.',
    source: 'C: https://github.com/google-github-actions/get-secretmanager-secrets/issues/268',
    unsure: false,
    section,
    probe: async context => {
      const { latest } = await versions(context);
      return allOf(
        () => fieldFits(latest, 'name', name => String(name).endsWith('/versions/3')),
        () => fieldFits(latest, 'state', 'DISABLED'),
      );
    },
  },
  {
    id: 'secret-access-disabled',
    text: 'Accessing a disabled version is refused with FAILED_PRECONDITION.',
    source: 'C: https://github.com/external-secrets/external-secrets/issues/4042',
    unsure: false,
    section,
    probe: async context => refuses((await versions(context)).access, { status: 400, code: 'FAILED_PRECONDITION' }),
  },
  {
    id: 'secret-access-disabled-text',
    text: 'The text is "Secret Version [projects/N/secrets/S/versions/V] is in DISABLED state."',
    source: 'C: https://github.com/external-secrets/external-secrets/issues/4042',
    unsure: false,
    section,
    probe: async context => {
      const { access, id } = await versions(context);
      const text = new RegExp(`^Secret Version \\[projects/\\d+/secrets/${id}/versions/3\\] is in DISABLED state\\.`);
      return refuses(access, { status: 400, text });
    },
  },
  {
    id: 'secret-newest-enabled-by-list',
    text: 'The newest enabled version is found by a list with the filter `state:ENABLED`.',
    source: 'D: https://cloud.google.com/secret-manager/docs/filtering',
    unsure: false,
    section,
    probe: async context => {
      const { enabledOnly } = await versions(context);
      return allOf(
        () => fieldFits(enabledOnly, 'versions', list => Array.isArray(list) && list.length === 1),
        () => fieldFits(enabledOnly, 'versions.0.name', name => String(name).endsWith('/versions/2')),
      );
    },
  },
  {
    id: 'secret-list-filter',
    text: '`ListSecrets` takes a filter: `labels.KEY=VALUE`.',
    source: 'D: https://cloud.google.com/secret-manager/docs/filtering',
    unsure: false,
    section,
    probe: async context => {
      const { id } = await makeSecret(context, 'filtered', { labels: { filtered: context.prefix } });
      const filter = encodeURIComponent(`labels.filtered=${context.prefix}`);
      const listed = await context.call('GET', `${secretsOf(context)}?filter=${filter}`);
      return allOf(
        () => fieldFits(listed, 'secrets', list => Array.isArray(list) && list.length === 1),
        () => fieldFits(listed, 'secrets.0.name', name => String(name).endsWith(`/${id}`)),
      );
    },
  },
  {
    id: 'secret-list-page',
    text: 'A page of secrets or versions has at most 25,000 entries.',
    source: 'P: google/cloud/secretmanager/v1/service.proto',
    unsure: false,
    section,
    probe: async () => notObservable('making 25,001 secrets would take more than 40 minutes of the whole write quota'),
  },
  {
    id: 'secret-missing-text',
    text: 'A secret that does not exist: 404 "Secret [projects/NUMBER/secrets/x] not found."',
    source: 'C: quoted in public repositories: "NOT_FOUND: Secret [projects/…/secrets/…] not found."',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('secret', 'never-made');
      const text = new RegExp(`^Secret \\[projects/\\d+/secrets/${id}\\] not found\\.$`);
      return refuses(await context.call('GET', secretOf(context, id)), { status: 404, code: 'NOT_FOUND', text });
    },
  },
  {
    id: 'secret-no-versions-text',
    text: 'A secret without a version: 404 "Secret [projects/N/secrets/X] not found or has no versions."',
    source: 'C: https://github.com/airbytehq/airbyte/issues/36442',
    unsure: false,
    section,
    probe: async context => {
      const { id, url } = await makeSecret(context, 'no-versions');
      const text = new RegExp(`^Secret \\[projects/\\d+/secrets/${id}\\] not found or has no versions\\.$`);
      return refuses(await context.call('GET', `${url}/versions/latest`), { status: 404, text });
    },
  },
  {
    id: 'secret-labels-most',
    text: 'A secret has at most 64 labels.',
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: async context => {
      const own = Object.keys(context.labels).length;
      return allOf(
        async () => accepts(await patchLabels(context, numbered(64 - own))),
        async () => refusesInput(await patchLabels(context, numbered(65 - own))),
      );
    },
  },
  {
    id: 'secret-label-key-first',
    text: "A label's key begins with a lower-case letter: not with a digit, `_` or a capital letter.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(...['1a', '_a', 'Aa'].map(key => async () => refusesInput(await patchLabels(context, { [key]: 'x' })))),
  },
  {
    id: 'secret-label-key-characters',
    text: "After its first letter a label's key has lower-case letters, digits, `_` and `-`; no `.` and no `/`.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await patchLabels(context, { 'a-b_c9': 'x' })),
        async () => refusesInput(await patchLabels(context, { 'a.b': 'x' })),
        async () => refusesInput(await patchLabels(context, { 'a/b': 'x' })),
      ),
  },
  {
    id: 'secret-label-key-longest',
    text: "A label's key has at most 63 characters.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await patchLabels(context, { [`k${'x'.repeat(62)}`]: 'x' })),
        async () => refusesInput(await patchLabels(context, { [`k${'x'.repeat(63)}`]: 'x' })),
      ),
  },
  {
    id: 'secret-label-value-longest',
    text: "A label's value has at most 63 characters.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await patchLabels(context, { longest: 'x'.repeat(63) })),
        async () => refusesInput(await patchLabels(context, { longest: 'x'.repeat(64) })),
      ),
  },
  {
    id: 'secret-label-value-empty',
    text: "A label's value may be empty.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: async context => {
      const patched = await patchLabels(context, { empty: '' });
      return fieldFits(patched, 'labels.empty', '');
    },
  },
  {
    id: 'secret-annotation-keys',
    text: "An annotation's key has 1–63 characters, begins and ends with a letter or digit, and has `-`, `_`, `.` between.",
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await patchAnnotations(context, { 'A.b_c-9': 'x', ['k'.repeat(63)]: 'x' })),
        ...['k'.repeat(64), '-a', 'a.', 'a/b'].map(
          key => async () => refusesInput(await patchAnnotations(context, { [key]: 'x' })),
        ),
      ),
  },
  {
    id: 'secret-annotations-size',
    text: 'The annotations of a secret have at most 16 KiB in all.',
    source: 'P: google/cloud/secretmanager/v1/resources.proto',
    unsure: false,
    section,
    probe: context =>
      allOf(
        async () => accepts(await patchAnnotations(context, { a: 'x'.repeat(16 * 1024 - 100) })),
        async () => refusesInput(await patchAnnotations(context, { a: 'x'.repeat(16 * 1024 + 100) })),
      ),
  },
  {
    id: 'secret-rotation-whole',
    text: '`GetSecret` answers with the whole `rotation`, `rotationPeriod` included.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { read } = await rotated(context);
      if (!read) return notObservable(NEEDS_TOPIC);
      return allOf(
        () => fieldFits(read, 'rotation.rotationPeriod', '86400s'),
        () => fieldFits(read, 'rotation.nextRotationTime', time => typeof time === 'string'),
      );
    },
  },
  {
    id: 'secret-rotation-mask',
    text: 'A mask may name `rotation.next_rotation_time` and `rotation.rotation_period` one by one.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { created, patched } = await rotated(context);
      if (!patched) return notObservable(NEEDS_TOPIC);
      return allOf(
        () => fieldFits(patched, 'rotation.rotationPeriod', '172800s'),
        () => fieldFits(patched, 'rotation.nextRotationTime', fieldIn(created, 'rotation.nextRotationTime')),
      );
    },
  },
  {
    id: 'secret-expired-already',
    text: 'An `expireTime` in the past is refused.',
    source: '?',
    unsure: true,
    section,
    probe: async context => {
      const id = context.name('secret', 'expired');
      return refusesInput(await askForSecret(context, id, { expireTime: '2020-01-01T00:00:00Z' }));
    },
  },
  {
    id: 'secret-stale-etag',
    text: 'A change of a secret with a stale etag is refused with FAILED_PRECONDITION.',
    source: 'D: https://cloud.google.com/secret-manager/docs/etags',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await makeSecret(context, 'etag');
      const patch = (more: JsonObject) =>
        context.call('PATCH', `${url}?updateMask=annotations`, { annotations: { changed: 'x' }, ...more });
      const { etag } = objectIn(must(await context.call('GET', url)));
      must(await patch({}));
      const stale = await patch({ etag });
      return judge(stale.status === 400 && fieldIn(stale, 'error.status') === 'FAILED_PRECONDITION', stale);
    },
  },
];
