import { describe, expect, test } from 'vitest';
import { FIELDS, fieldEntries, fieldsToImport, wantedFields } from '../../operator/tenant/fields/laid.ts';
import { fieldNotes } from '../../operator/tenant/fields/notes.ts';
import { takenName } from '../../operator/tenant/fields/takenName.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import type { FieldEntry } from '../../operator/tenant/types.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { FIELD_CASES } from './support/fieldCases.ts';
import { lay, onRecord, specOf, template } from './support/laidFields.ts';
import { at, LONG_AGO, NOW, PROJECT, REGION, SERVICE, serviceA, serviceIn } from './support/tenantWorld.ts';

/** What follows from the table of fields as a whole: words that are refused, what stays on record, notes, and what the reference says. */

const unknownWords = (spec: object): string[] =>
  readTenant({ metadata: { name: 'alpha' }, spec: spec as JsonObject }).unknownValues;

test.each<[spec: object, message: string]>([
  [{ ingress: 'Tomorrow' }, 'spec.ingress is "Tomorrow", which is not among All, Internal, InternalAndLoadBalancer'],
  [{ defaultUrl: 'On' }, 'spec.defaultUrl is "On", which is not among Enabled, Disabled'],
  [{ iap: 'On' }, 'spec.iap is "On", which is not among Enabled, Disabled'],
  [{ binaryAuthorization: 'Own' }, 'spec.binaryAuthorization is "Own", which is not among Default'],
  [{ executionEnvironment: 'Gen3' }, 'spec.executionEnvironment is "Gen3", which is not among Gen1, Gen2'],
  [{ container: { protocol: 'HTTP3' } }, 'spec.container.protocol is "HTTP3", which is not among HTTP1, H2C'],
  [
    { resources: { gpu: { type: 'nvidia-t4' } } },
    'spec.resources.gpu.type is "nvidia-t4", which is not among nvidia-l4',
  ],
  [
    { network: { subnetwork: 'a', egress: 'Some' } },
    'spec.network.egress is "Some", which is not among PrivateRangesOnly, AllTraffic',
  ],
])('%j is told with its path and the words that this version knows', (spec, message) => {
  expect(unknownWords(spec)).toEqual([message]);
});

describe('laid in the order of the table', () => {
  test('a probe of the spec goes to the port that a field which has left the spec goes back to', () => {
    const before = template({ ports: [{ name: 'http1', containerPort: 9000 }] });
    const spec = { probes: { liveness: { path: '/' } } };
    expect(lay('template', before, { spec, recorded: onRecord('container.port') }).json).toEqual(
      template({ livenessProbe: { httpGet: { path: '/', port: 8080 } } }),
    );
  });

  test('each level for itself', () => {
    const spec = { description: 'x', container: { workingDir: '/app' } };
    const recorded = onRecord('ingress', 'labels.team', 'sessionAffinity');
    expect(lay('service', { labels: { team: 'a' } }, { spec, recorded }).json).toEqual({
      labels: {},
      description: 'x',
    });
    expect(lay('template', template({}, { sessionAffinity: true }), { spec, recorded }).json).toEqual(
      template({ workingDir: '/app' }),
    );
  });

  test('a field of the spec is not taken back by its record', () => {
    const spec = { description: 'x', labels: { team: 'a' } };
    expect(lay('service', {}, { spec, recorded: onRecord('description', 'labels.team') }).json).toEqual({
      description: 'x',
      labels: { team: 'a' },
    });
  });

  test.each(['descriptionx', 'xdescription', 'labels', 'labelsx.team', 'x.labels.team', '.team', 'container'])(
    'a record of %s, which this version does not know, takes nothing back',
    field => {
      const service = { description: 'x', labels: { team: 'a', '': 'b' } };
      expect(lay('service', service, { recorded: onRecord(field) })).toEqual({ json: service, changes: [] });
    },
  );

  test('a key of a sidecar without a secret yet is not written', () => {
    const sidecars = [{ name: 'proxy', image: 'p', keys: [{ name: 'openai', env: 'TOKEN' }] }];
    const { json } = lay('template', template(), { spec: { sidecars } });
    expect((json.containers as JsonObject[])[1]).toEqual({
      name: 'proxy',
      image: 'p',
      resources: { limits: { cpu: '1', memory: '512Mi' } },
    });
  });
});

describe('on record', () => {
  const THERE = serviceIn('us-central1');
  const json = {
    service: { description: 'old', labels: { team: 'a' } },
    template: template({}, { sessionAffinity: true }),
  };
  const record = (field: string, time = LONG_AGO): FieldEntry => ({ type: 'Field', name: SERVICE, field, time });
  const entries = (
    spec: object,
    recorded: FieldEntry[],
    {
      given = json,
      written = [] as string[],
      name = SERVICE,
    }: { given?: object; written?: string[]; name?: string } = {},
  ) => {
    const wanted = wantedFields(
      specOf(spec),
      recorded,
      { project: PROJECT, region: REGION },
      { files: [], ofSidecars: [] },
    );
    const others = [{ type: 'Service' as const, name: SERVICE, time: LONG_AGO }];
    const isWritten = wanted.filter(({ path }) => written.includes(path));
    return fieldEntries(name, given as typeof json, wanted, [...others, ...recorded], isWritten, NOW);
  };

  test('a field that the spec names has the time of the call that writes it, or of the last one', () => {
    const spec = { description: 'x', ingress: 'Internal', labels: { team: 'a', cost: '1' } };
    const recorded = [record('description'), record('labels.team'), record('ingress')];
    const written = ['description', 'labels.cost'];
    expect(entries(spec, recorded, { written })).toEqual([
      record('labels.team'),
      record('labels.cost', at(0)),
      record('description', at(0)),
      record('ingress'),
    ]);
    expect(entries({ iap: 'Enabled' }, [])).toEqual([record('iap', at(0))]);
  });

  test('in another region it has the service’s name there', () => {
    expect(entries({ description: 'x' }, [record('description'), record('sessionAffinity')], { name: THERE })).toEqual([
      { ...record('description'), name: THERE },
      { ...record('sessionAffinity'), name: THERE },
    ]);
  });

  test('a field that has left the spec stays until it has Google’s default and no call can still change it', () => {
    const standard = { service: {}, template: template() };
    const fields = ['description', 'labels.team', 'sessionAffinity'];
    expect(
      entries(
        {},
        fields.map(field => record(field)),
      ),
    ).toEqual(fields.map(field => record(field)));
    expect(
      entries(
        {},
        fields.map(field => record(field)),
        { given: standard },
      ),
    ).toEqual([]);
    const young = fields.map(field => record(field, at(-119_999)));
    expect(entries({}, young, { given: standard })).toEqual(young);
    expect(
      entries(
        {},
        fields.map(field => record(field, at(-120_000))),
        { given: standard },
      ),
    ).toEqual([]);
  });

  test('a field of the template stays while the template does not serve; one that this version does not know always stays', () => {
    const given = { service: {} };
    const recorded = [record('description'), record('sessionAffinity'), record('tomorrow'), record('sidecars.main')];
    expect(entries({}, recorded, { given })).toEqual(recorded.slice(1));
  });
});

describe('import', () => {
  test('has each field with the names under which a manifest has it', () => {
    const service = {
      description: 'x',
      labels: { team: 'a' },
      annotations: { 'example.com/a': 'b' },
      scaling: { scalingMode: 'MANUAL', manualInstanceCount: 2 },
    };
    const found = fieldsToImport({
      service,
      template: template(
        { volumeMounts: [{ name: 'c', mountPath: '/c' }] },
        { volumes: [{ name: 'c', emptyDir: {} }] },
      ),
    });
    expect(found).toEqual([
      { path: 'labels', names: ['labels', 'team'], value: 'a' },
      { path: 'annotations', names: ['annotations', 'example.com/a'], value: 'b' },
      { path: 'description', names: ['description'], value: 'x' },
      { path: 'scaling.manualInstances', names: ['scaling', 'manualInstances'], value: 2 },
      {
        path: 'volumes',
        names: ['volumes'],
        value: { mountPath: '/c' },
        item: { name: 'c', mountPath: '/c', emptyDir: {} },
      },
    ]);
  });
});

describe('notes', () => {
  const notes = (raw: object, spec: object = {}, recorded: string[] = [], urls: string[] = []) =>
    fieldNotes(specOf(spec), serviceA({ raw: raw as JsonObject, urls }), onRecord(...recorded));
  const NO_URL = 'The run.app URL of the service is disabled, so status.url is absent.';

  test.each<[field: string, raw: object, note: string[]]>([
    ['ingress', { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }, ['stays Internal; to open it, write ingress: All.']],
    ['ingress', { ingress: 'TOMORROW' }, ['stays TOMORROW; to open it, write ingress: All.']],
    ['ingress', { ingress: 'INGRESS_TRAFFIC_ALL' }, []],
    ['iap', { iapEnabled: true }, ['stays Enabled; to turn it off, write iap: Disabled.']],
    ['iap', { iapEnabled: false }, []],
    ['iap', { iapEnabled: null }, []],
    ['defaultUrl', { defaultUriDisabled: true }, ['stays Disabled; to open it, write defaultUrl: Enabled.', NO_URL]],
    [
      'binaryAuthorization',
      { binaryAuthorization: { useDefault: true } },
      ['stays Default; to turn it off, run `gcloud run services update` with --clear-binary-authorization.'],
    ],
    ['description', { description: 'x' }, []],
    ['tomorrow', {}, []],
  ])('%s that has left the spec: %j', (field, raw, said) => {
    const expected = said.map(one => (one === NO_URL ? one : `spec.${field} is no longer set and ${one}`));
    expect(notes(raw, {}, [field])).toEqual(expected);
    if (said.length > 0) expect(notes(raw, {}, [])).toEqual(said.filter(one => one === NO_URL));
  });

  test('IAP names its service agent until it is an invoker', () => {
    const agent = (of: string) => `serviceAccount:service-${of}@gcp-sa-iap.iam.gserviceaccount.com`;
    const said = (of: string, more = '') =>
      `IAP lets nobody in until its service agent is among spec.invokers: ${agent(of)}${more}.`;
    const urls = ['https://a-uc.a.run.app', 'https://ai-platform-a-123456.asia-northeast1.run.app'];
    const spec = (...invokers: string[]) => ({ access: 'Authenticated', iap: 'Enabled', invokers });
    expect(notes({}, spec(), [], urls)).toEqual([said('123456')]);
    expect(notes({}, spec(agent('1')), [], urls)).toEqual([said('123456')]);
    expect(notes({}, spec(agent('123456')), [], urls)).toEqual([]);
    expect(notes({}, { ...spec(), iap: 'Disabled' }, [], urls)).toEqual([]);
    const find = " (the number: `gcloud projects describe tenants-1 --format='value(projectNumber)'`)";
    expect(notes({}, spec('user:a@example.com'))).toEqual([said('PROJECT_NUMBER', find)]);
    expect(notes({}, spec('user:a@example.com', agent('78')))).toEqual([]);
    for (const other of [`x${agent('7')}`, `${agent('7')}x`, agent('x'), agent('')])
      expect(notes({}, spec(other))).toEqual([said('PROJECT_NUMBER', find)]);
    for (const url of [
      'https://a-1.r.run.app.example',
      'https://a-b.r.run.app',
      'https://a-1.R_.run.app',
      'https://a1.r.run.app',
    ])
      expect(notes({}, spec(), [], [url])).toEqual([said('PROJECT_NUMBER', find)]);
  });
});

describe('a name that something else has', () => {
  const taken = (spec: object, json: JsonObject) => takenName(specOf(spec), json);

  test('is told: the container that receives the requests', () => {
    const spec = { sidecars: [{ name: 'app', image: 'x' }] };
    expect(taken(spec, template({ name: 'app' }))).toBe(
      'spec.sidecars has app, which is the name of the container that receives the requests. Choose another name for the sidecar. ' +
        'If another container should receive the requests, move `ports` there with `gcloud run services replace`.',
    );
    expect(taken(spec, template({ name: 'other' }))).toBeUndefined();
    expect(taken(spec, template())).toBeUndefined();
    expect(taken({}, template({ name: 'app' }))).toBeUndefined();
  });

  test('is told: a volume of another kind that a sidecar mounts', () => {
    const spec = { volumes: [{ name: 'cache', mountPath: '/c', emptyDir: {} }] };
    const sidecars = (name: string) => [{ name: 'idle' }, { name: 'log', volumeMounts: [{ name, mountPath: '/x' }] }];
    const json = (name: string, volumes: object[]) => {
      const [app] = template().containers as JsonObject[];
      return template({}, { containers: [app, ...sidecars(name)], volumes });
    };
    const others = [{ name: 'bucket', gcs: {} }];
    expect(taken(spec, json('cache', [...others, { name: 'cache', gcs: {} }]))).toBe(
      'spec.volumes has cache, which is the name of a volume of another kind that the container log mounts. Choose another name for the volume.',
    );
    expect(taken(spec, json('cache', [{ name: 'cache', emptyDir: {} }]))).toBeUndefined();
    expect(taken(spec, json('bucket', [...others, { name: 'cache', gcs: {} }]))).toBeUndefined();
    expect(taken({}, json('cache', [{ name: 'cache', gcs: {} }]))).toBeUndefined();
    const two = { volumes: [{ name: 'bucket', mountPath: '/b', emptyDir: {} }, ...spec.volumes] };
    expect(taken(two, json('cache', [...others, { name: 'cache', gcs: {} }]))).toContain('spec.volumes has cache,');
  });
});

test.each(FIELD_CASES.map(one => [one.path, one] as const))(
  '%s can be given back to Google’s default',
  (path, { json }) => {
    const field = FIELDS.find(row => row.path === path || (row.keyed && path.startsWith(`${row.path}.`)));
    if (!field) throw new Error(`no row for ${path}`);
    const key = path.slice(field.path.length + 1);
    for (const one of json) {
      const before = (field.level === 'template' ? one.template : one) as JsonObject;
      expect(field.read(field.write(before, undefined, key), key)).toEqual(field.standard);
    }
  },
);

describe('what the reference says', () => {
  /** Every value at a path such as `containers[].ports[].name`. */
  const valuesAt = (json: Json | undefined, [name = '', ...rest]: string[]): (Json | undefined)[] => {
    const found = ((json ?? {}) as JsonObject)[name.replace('[]', '')];
    const all = name.endsWith('[]') ? ((found ?? []) as Json[]) : [found];
    return rest.length === 0 ? all : all.flatMap(one => valuesAt(one, rest));
  };

  test.each(FIELDS.map(field => [field.path, field] as const))(
    'of %s: its names in Cloud Run’s API are where Google has it',
    (path, { level, places }) => {
      const cases = FIELD_CASES.filter(one => one.path === path || one.path.startsWith(`${path}.`));
      expect(places).not.toEqual([]);
      for (const place of places) {
        const found = cases.flatMap(({ unset, json }) =>
          [unset, ...json].map(one =>
            JSON.stringify(valuesAt(level === 'template' ? one.template : one, place.split('.'))),
          ),
        );
        expect(new Set(found).size, place).toBeGreaterThan(1);
      }
    },
  );
});
