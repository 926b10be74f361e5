import type { FieldCause, PlainObject } from '../../schema/types.ts';

/**
 * Specs that the API refuses, each with the causes that kube-apiserver 1.37.2 gives. `spec` is merged into a valid one;
 * undefined takes a field out.
 */
export interface Refusal {
  name: string;
  tenant?: string;
  spec?: PlainObject;
  causes: FieldCause[];
}

const invalid = (field: string, message: string): FieldCause => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${message}`,
});
/** What the server adds when the object is too broken for the rules to run. */
const unchecked = invalid(
  '<nil>',
  'null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
);
const key = (more: PlainObject = {}): PlainObject => ({ name: 'openai', secretRef: { external: 'k' }, ...more });
const keys = (...list: PlainObject[]): PlainObject => ({ keys: list });
const misfit = (name: string): FieldCause =>
  invalid(
    'metadata.name',
    `${name} does not fit: the service account would be called sa-${name}; choose 3 to 27 lower-case letters, digits and "-", with a letter or digit at the end and without dots`,
  );
const SECRET = `must be a secret's id, or projects/PROJECT/secrets/SECRET; a version belongs in the field version`;
const VARIABLE = 'must be letters, digits and "_", not starting with a digit';
const CPU = 'must be 1, 2, 4, 6 or 8, or a fraction from 80m to 999m such as 500m';
const MEMORY = 'must be a quantity from 128Mi to 32Gi, such as 512Mi or 1Gi';
const REGION = 'must be a Cloud Run region such as asia-northeast1, not a zone or a continent';
const MEMBER =
  'must be an IAM member with its prefix, such as user:jane@example.com, serviceAccount:EMAIL, group:EMAIL, domain:example.com, principal://… or principalSet://…';
const IMAGE = 'must be an image such as asia-northeast1-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG, without https://';
const VERSION = 'must be latest or a version number, 1 or higher';
const FILE = 'must be a file in a directory of its own, such as /secrets/openai/key';
const LABEL = 'must be lower-case letters, digits, "_" and "-", at most 63, and a key must start with a letter';
const RESERVED_LABEL =
  'the keys ai-tenant-…, goog-… and managed-by-cnrm belong to this operator, to Google and to Config Connector; choose another key';
const ANNOTATION = 'must be a name of at most 63 characters such as team, or DOMAIN/NAME such as example.com/team';
const RESERVED_ANNOTATION =
  'the keys ai-tenant-… and the domains googleapis.com, knative.dev, cloud.google.com and ai-platform.dev belong to this operator and to Google; choose another key';
const range = (field: string, value: number, words: string): FieldCause =>
  invalid(field, `${value}: ${field} in body should be ${words}`);
const wrongType = (field: string, expected: string, actual: string): FieldCause => ({
  reason: 'FieldValueTypeInvalid',
  field,
  message: `Invalid value: "${actual}": ${field} in body must be of type ${expected}: "${actual}"`,
});

/** The messages about sidecars. */
const SIDECAR = {
  order:
    'dependsOn must name sidecars that stand before this one in the list and have a startup probe; move the sidecar that is waited for up, or write its probes.startup',
  key: 'a sidecar uses a key that spec.keys does not have; add the key there, without env and file if only sidecars use it',
  port: 'two containers have the same port; the container has 8080 unless container.port is set; choose another port',
  variable: 'two keys of the sidecar, or a key and env, set the same variable; choose another name for one of them',
  file: 'the directories of two files are the same, or one is inside the other; give each file a directory of its own',
  probe: 'a probe needs a port; write port for the sidecar, or for each of its probes',
  memory:
    "memory and cpu of the sidecar don't go together; write at most 512Mi below 500m cpu, at most 1Gi below 1, at most 4Gi for 1, at most 8Gi for 2, 2Gi to 16Gi for 4, 4Gi to 24Gi for 6, 4Gi to 32Gi for 8",
  sum: "memory and cpu of the container and its sidecars together don't go together; write at most 8 cpu in all, and at most 512Mi below 500m cpu, 1Gi below 1, 4Gi below 2, 8Gi below 4, 2Gi to 16Gi below 6, 4Gi to 24Gi below 8, 4Gi to 32Gi for 8",
  cpu: CPU,
  bytes: MEMORY,
  long: 'the variables, commands and arguments of the sidecars have more than 32768 characters in all; put large values into the image or a file',
};
const probed = (name: string): PlainObject => ({ name, probes: { startup: { tcp: true, port: 1 } } });
const twice = (use: string, value: string): PlainObject[] => ['a', 'b'].map(name => ({ name, [use]: value }));

export const refusals: Refusal[] = [
  { name: 'a name of two characters', tenant: 'ab', causes: [misfit('ab')] },
  { name: 'a name of 28 characters', tenant: 'a'.repeat(28), causes: [misfit('a'.repeat(28))] },
  { name: 'a name with a dot', tenant: 'team.a', causes: [misfit('team.a')] },

  {
    name: 'no region',
    spec: { region: undefined },
    causes: [{ reason: 'FieldValueRequired', field: 'spec.region', message: 'Required value' }, unchecked],
  },
  { name: 'a zone', spec: { region: 'us-central1-a' }, causes: [invalid('spec.region', `"us-central1-a": ${REGION}`)] },
  { name: 'a continent', spec: { region: 'eu' }, causes: [invalid('spec.region', `"eu": ${REGION}`)] },
  {
    name: 'an upper-case region',
    spec: { region: 'US-CENTRAL1' },
    causes: [invalid('spec.region', `"US-CENTRAL1": ${REGION}`)],
  },

  {
    name: 'no keys',
    spec: { keys: undefined },
    causes: [{ reason: 'FieldValueRequired', field: 'spec.keys', message: 'Required value' }, unchecked],
  },
  {
    name: 'an empty list of keys',
    spec: keys(),
    causes: [invalid('spec.keys', '0: spec.keys in body should have at least 1 items')],
  },
  {
    name: '21 keys',
    spec: keys(...Array.from({ length: 21 }, (_, i) => key({ name: `k${i}` }))),
    causes: [
      { reason: 'FieldValueTooMany', field: 'spec.keys', message: 'Too many: 21: must have at most 20 items' },
      unchecked,
    ],
  },
  {
    name: 'two keys of one name',
    spec: keys(key(), key()),
    causes: [{ reason: 'FieldValueDuplicate', field: 'spec.keys[1]', message: 'Duplicate value: {"name":"openai"}' }],
  },
  {
    name: 'a key named with a capital',
    spec: keys(key({ name: 'OpenAI' })),
    causes: [
      invalid(
        'spec.keys[0].name',
        '"OpenAI": must be lower-case letters, digits and "-", with a letter or digit at both ends',
      ),
    ],
  },
  {
    name: 'both external and name',
    spec: keys(key({ secretRef: { external: 'k', name: 'k' } })),
    causes: [
      invalid(
        'spec.keys[0].secretRef',
        'has both external and name; keep external for a secret in Secret Manager, or name for a SecretManagerSecret of this namespace',
      ),
    ],
  },
  {
    name: 'neither external nor name',
    spec: keys(key({ secretRef: {} })),
    causes: [
      invalid(
        'spec.keys[0].secretRef',
        'is empty; set external to the id of a secret in Secret Manager, or name to a SecretManagerSecret of this namespace',
      ),
    ],
  },
  ...['a.b', 'projects/p/secrets/k', 'projects/my-project/secrets/k/versions/3', '../k', 'k%2f', ''].map(
    (external): Refusal => ({
      name: `the secret ${JSON.stringify(external)}`,
      spec: keys(key({ secretRef: { external } })),
      causes: [invalid('spec.keys[0].secretRef.external', `${JSON.stringify(external)}: ${SECRET}`)],
    }),
  ),
  {
    name: 'a full name where a SecretManagerSecret belongs',
    spec: keys(key({ secretRef: { name: 'projects/my-project/secrets/k' } })),
    causes: [
      invalid(
        'spec.keys[0].secretRef.name',
        '"projects/my-project/secrets/k": must be the metadata.name of a SecretManagerSecret; for a secret that is only in Secret Manager use external',
      ),
    ],
  },
  {
    name: 'version newest',
    spec: keys(key({ version: 'newest' })),
    causes: [
      invalid('spec.keys[0].version', `"": type conversion error from 'string' to 'int' evaluating rule: ${VERSION}`),
    ],
  },
  ...(['0', '01', '+1', '-1', '1234567890123456789'] as const).map(
    (version): Refusal => ({
      name: `version ${version}`,
      spec: keys(key({ version })),
      causes: [invalid('spec.keys[0].version', `"${version}": ${VERSION}`)],
    }),
  ),
  {
    name: 'version 0 as a number',
    spec: keys(key({ version: 0 })),
    causes: [invalid('spec.keys[0].version', `0: ${VERSION}`)],
  },
  {
    name: 'a version that is a fraction',
    spec: keys(key({ version: 1.5 })),
    causes: [wrongType('spec.keys[0].version', 'integer,string', 'number'), unchecked],
  },
  {
    name: 'an unknown rollout',
    spec: keys(key({ rollout: 'Never' })),
    causes: [
      {
        reason: 'FieldValueNotSupported',
        field: 'spec.keys[0].rollout',
        message: 'Unsupported value: "Never": supported values: "OnNewVersion", "OnRestart"',
      },
      unchecked,
    ],
  },

  {
    name: 'a variable with a dash',
    spec: keys(key({ env: 'API-KEY' })),
    causes: [invalid('spec.keys[0].env', `"API-KEY": ${VARIABLE}`)],
  },
  {
    name: 'a variable that starts with a digit',
    spec: { env: [{ name: '1A', value: '' }] },
    causes: [invalid('spec.env[0].name', `"1A": ${VARIABLE}`)],
  },
  ...['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION'].flatMap((name): Refusal[] => [
    {
      name: `${name} for a key`,
      spec: keys(key({ env: name })),
      causes: [invalid('spec.keys[0].env', `"${name}": Cloud Run sets ${name} itself; choose another name`)],
    },
    {
      name: `${name} as a variable`,
      spec: { env: [{ name, value: 'x' }] },
      causes: [invalid('spec.env[0].name', `"${name}": Cloud Run sets ${name} itself; choose another name`)],
    },
  ]),
  {
    name: 'a variable set by two keys',
    spec: keys(key({ name: 'a', env: 'KEY' }), key({ name: 'b' }), key({ name: 'c', env: 'KEY' })),
    causes: [
      invalid(
        'spec.keys',
        'variable KEY is set by more than one key; leave env out of the keys that are only to be granted',
      ),
    ],
  },
  {
    name: 'a variable set by a key and by env',
    spec: {
      ...keys(key({ env: 'KEY' })),
      env: [
        { name: 'OTHER', value: '' },
        { name: 'KEY', value: '' },
      ],
    },
    causes: [invalid('spec.env', 'variable KEY is already set by a key; remove it here or rename it')],
  },
  {
    name: 'a variable set twice by env',
    spec: {
      env: [
        { name: 'A', value: '1' },
        { name: 'A', value: '2' },
      ],
    },
    causes: [{ reason: 'FieldValueDuplicate', field: 'spec.env[1]', message: 'Duplicate value: {"name":"A"}' }],
  },
  {
    name: 'a variable without a value',
    spec: { env: [{ name: 'A' }] },
    causes: [{ reason: 'FieldValueRequired', field: 'spec.env[0].value', message: 'Required value' }, unchecked],
  },
  {
    name: 'a variable longer than Cloud Run takes',
    spec: { env: [{ name: 'A', value: 'x'.repeat(32769) }] },
    causes: [
      {
        reason: 'FieldValueTooLong',
        field: 'spec.env[0].value',
        message: 'Too long: may not be more than 32768 bytes',
      },
      unchecked,
    ],
  },

  {
    name: 'an empty image',
    spec: { image: '' },
    causes: [
      invalid('spec.image', '"": spec.image in body should be at least 1 chars long'),
      invalid('spec.image', `"": ${IMAGE}`),
    ],
  },
  {
    name: 'an image with https://',
    spec: { image: 'https://gcr.io/x' },
    causes: [invalid('spec.image', `"https://gcr.io/x": ${IMAGE}`)],
  },

  {
    name: 'more instances at least than at most',
    spec: { scaling: { minInstances: 5, maxInstances: 3 } },
    causes: [
      invalid(
        'spec.scaling.minInstances',
        'minInstances 5 is more than maxInstances 3; raise maxInstances or lower minInstances',
      ),
    ],
  },
  {
    name: 'a negative minimum',
    spec: { scaling: { minInstances: -1 } },
    causes: [range('spec.scaling.minInstances', -1, 'greater than or equal to 0')],
  },
  {
    name: 'no instance at most',
    spec: { scaling: { maxInstances: 0 } },
    causes: [range('spec.scaling.maxInstances', 0, 'greater than or equal to 1')],
  },
  {
    name: 'concurrency 0',
    spec: { scaling: { concurrency: 0 } },
    causes: [range('spec.scaling.concurrency', 0, 'greater than or equal to 1')],
  },
  {
    name: 'concurrency 1001',
    spec: { scaling: { concurrency: 1001 } },
    causes: [range('spec.scaling.concurrency', 1001, 'less than or equal to 1000')],
  },
  {
    name: 'a number as text',
    spec: { scaling: { maxInstances: '10' } },
    causes: [wrongType('spec.scaling.maxInstances', 'integer', 'string'), unchecked],
  },
  {
    name: '1001 instances',
    spec: { scaling: { minInstances: 1001, maxInstances: 1001 } },
    causes: [
      range('spec.scaling.minInstances', 1001, 'less than or equal to 1000'),
      range('spec.scaling.maxInstances', 1001, 'less than or equal to 1000'),
    ],
  },
  {
    name: 'variables of more characters in all than are kept of 1,000 tenants',
    spec: { env: [1, 2, 3].map(i => ({ name: `V${i}`, value: 'x'.repeat(i === 3 ? 1 : 32768) })) },
    causes: [
      invalid(
        'spec.env',
        'the values of env and the invokers have more than 65536 characters in all; put large values into the image or a file',
      ),
    ],
  },
  {
    name: 'invokers and variables of more characters in all than are kept of 1,000 tenants',
    spec: {
      access: 'Authenticated',
      invokers: Array.from({ length: 100 }, (_, i) => `user:${String(i).padStart(3, '0')}${'\u{1f600}'.repeat(504)}`),
      env: [{ name: 'V', value: 'x'.repeat(14_337) }],
    },
    causes: [
      invalid(
        'spec.env',
        'the values of env and the invokers have more than 65536 characters in all; put large values into the image or a file',
      ),
    ],
  },
  {
    name: 'time-out 0',
    spec: { timeoutSeconds: 0 },
    causes: [range('spec.timeoutSeconds', 0, 'greater than or equal to 1')],
  },
  {
    name: 'time-out 3601',
    spec: { timeoutSeconds: 3601 },
    causes: [range('spec.timeoutSeconds', 3601, 'less than or equal to 3600')],
  },

  ...(['3', '5', '1500m', '16', '0', 'two', '79m'] as const).map(
    (cpu): Refusal => ({
      name: `cpu ${cpu}`,
      spec: {
        resources: { cpu, memory: cpu === '5' ? '4Gi' : cpu === '16' ? '8Gi' : '512Mi' },
        scaling: { concurrency: 1 },
      },
      causes: [invalid('spec.resources.cpu', `"${cpu}": ${CPU}`)],
    }),
  ),
  { name: 'cpu 3 as a number', spec: { resources: { cpu: 3 } }, causes: [invalid('spec.resources.cpu', `3: ${CPU}`)] },
  {
    name: 'cpu 0.5 unquoted',
    spec: { resources: { cpu: 0.5 } },
    causes: [wrongType('spec.resources.cpu', 'integer,string', 'number'), unchecked],
  },
  ...(['127Mi', 'lots', '1GB'] as const).map(
    (memory): Refusal => ({
      name: `memory ${memory}`,
      spec: { resources: { memory } },
      causes: [invalid('spec.resources.memory', `"${memory}": ${MEMORY}`)],
    }),
  ),
  {
    name: 'memory 33Gi',
    spec: { resources: { cpu: '8', memory: '33Gi' } },
    causes: [invalid('spec.resources.memory', `"33Gi": ${MEMORY}`)],
  },
  {
    name: 'half a cpu with many requests at once',
    spec: { resources: { cpu: '500m', memory: '512Mi' } },
    causes: [
      invalid(
        'spec.scaling.concurrency',
        'cpu 500m serves one request at a time; write concurrency 1 instead of 80, or cpu 1 or more',
      ),
    ],
  },
  ...(
    [
      ['0.25', '1Gi', '512Mi'],
      ['500m', '2Gi', '1Gi'],
      ['1', '5Gi', '4Gi'],
      ['2', '9Gi', '8Gi'],
      ['4', '17Gi', '16Gi'],
      ['6', '25Gi', '24Gi'],
    ] as const
  ).map(
    ([cpu, memory, most]): Refusal => ({
      name: `cpu ${cpu} with ${memory}`,
      spec: { resources: { cpu, memory }, scaling: { concurrency: 1 } },
      causes: [
        invalid(
          'spec.resources.memory',
          `memory ${memory} is too much for cpu ${cpu}; write at most ${most}, or more cpu`,
        ),
      ],
    }),
  ),
  ...(
    [
      ['4', '1Gi', '2Gi'],
      ['6', '3Gi', '4Gi'],
      ['8', '3Gi', '4Gi'],
    ] as const
  ).map(
    ([cpu, memory, least]): Refusal => ({
      name: `cpu ${cpu} with ${memory}`,
      spec: { resources: { cpu, memory } },
      causes: [
        invalid(
          'spec.resources.memory',
          `memory ${memory} is too little for cpu ${cpu}; write at least ${least}, or less cpu`,
        ),
      ],
    }),
  ),

  {
    name: 'an unknown access',
    spec: { access: 'Private' },
    causes: [
      {
        reason: 'FieldValueNotSupported',
        field: 'spec.access',
        message: 'Unsupported value: "Private": supported values: "Public", "Authenticated"',
      },
      unchecked,
    ],
  },
  {
    name: 'invokers on a public tenant',
    spec: { invokers: ['user:jane@example.com'] },
    causes: [
      invalid(
        'spec.invokers',
        'invokers have no effect on a public tenant; write access: Authenticated as well, or remove invokers',
      ),
    ],
  },
  ...['allUsers', 'allAuthenticatedUsers'].map(
    (member): Refusal => ({
      name: `${member} as an invoker`,
      spec: { access: 'Authenticated', invokers: [member] },
      causes: [
        invalid(
          'spec.invokers[0]',
          `"${member}": ${member} cannot be an invoker; to let anyone call, write access Public and remove invokers`,
        ),
      ],
    }),
  ),
  ...['jane@example.com', 'AllUsers', 'deleted:user:jane@example.com?uid=1', 'user:'].map(
    (member): Refusal => ({
      name: `the invoker ${member}`,
      spec: { access: 'Authenticated', invokers: [member] },
      causes: [invalid('spec.invokers[0]', `"${member}": ${MEMBER}`)],
    }),
  ),
  {
    name: 'an invoker twice',
    spec: { access: 'Authenticated', invokers: ['user:a@b.c', 'user:a@b.c'] },
    causes: [{ reason: 'FieldValueDuplicate', field: 'spec.invokers[1]', message: 'Duplicate value: "user:a@b.c"' }],
  },
  {
    name: 'suspend as text',
    spec: { suspend: 'yes' },
    causes: [wrongType('spec.suspend', 'boolean', 'string'), unchecked],
  },

  {
    name: 'a label of this operator',
    spec: { labels: { 'ai-tenant-namespace': 'other' } },
    causes: [invalid('spec.labels', RESERVED_LABEL)],
  },
  ...['goog-x', 'managed-by-cnrm', 'ai-tenant-owner-name'].map(
    (label): Refusal => ({
      name: `the label ${label}`,
      spec: { labels: { [label]: 'x' } },
      causes: [invalid('spec.labels', RESERVED_LABEL)],
    }),
  ),
  ...['Team', '1st', 'a.b', 'a/b', '', 'x'.repeat(64)].map(
    (label): Refusal => ({
      name: `the label "${label}"`,
      spec: { labels: { [label]: 'x' } },
      causes: [invalid('spec.labels', LABEL)],
    }),
  ),
  { name: 'a label with a capital', spec: { labels: { team: 'Red' } }, causes: [invalid('spec.labels', LABEL)] },
  ...[
    'run.googleapis.com/x',
    'serving.knative.dev/x',
    'ai-platform.dev/x',
    'cnrm.cloud.google.com/x',
    'ai-tenant-x',
  ].map(
    (name): Refusal => ({
      name: `the annotation ${name}`,
      spec: { annotations: { [name]: 'x' } },
      causes: [invalid('spec.annotations', RESERVED_ANNOTATION)],
    }),
  ),
  ...['a b', '/x', 'example.com/', 'a/b/c', '-a'].map(
    (name): Refusal => ({
      name: `the annotation "${name}"`,
      spec: { annotations: { [name]: 'x' } },
      causes: [invalid('spec.annotations', ANNOTATION)],
    }),
  ),
  {
    name: 'CPU between requests with less than 1 cpu',
    spec: { resources: { cpu: '0.5', memory: '512Mi', cpuAlways: true }, scaling: { concurrency: 1 } },
    causes: [
      invalid('spec.resources.cpuAlways', 'cpuAlways needs 1 cpu or more; write cpu 1 or more, or cpuAlways false'),
    ],
  },
  ...[
    { cpu: 4, memory: '16Gi' },
    { cpu: 4, memory: '16Gi', cpuAlways: false },
    { cpu: 2, memory: '8Gi', cpuAlways: true },
    { cpu: 4, memory: '8Gi', cpuAlways: true },
  ].map(
    (resources): Refusal => ({
      name: `a GPU with ${JSON.stringify(resources)}`,
      spec: { resources: { ...resources, gpu: { type: 'nvidia-l4' } } },
      causes: [
        invalid(
          'spec.resources.gpu',
          'a GPU needs cpuAlways: true, cpu 4 or more, and memory 16Gi or more; write these as well',
        ),
      ],
    }),
  ),
  ...[
    { executionEnvironment: 'Gen2', resources: { cpu: '0.5', memory: '512Mi' }, scaling: { concurrency: 1 } },
    { executionEnvironment: 'Gen2', resources: { memory: '256Mi' } },
    {
      executionEnvironment: 'Gen1',
      resources: { cpu: 4, memory: '16Gi', cpuAlways: true, gpu: { type: 'nvidia-l4' } },
    },
  ].map(
    (spec): Refusal => ({
      name: `${spec.executionEnvironment} with ${JSON.stringify(spec.resources)}`,
      spec,
      causes: [
        invalid(
          'spec.executionEnvironment',
          'Gen2 needs 1 cpu and memory 512Mi or more, and a GPU needs Gen2; write the other one, or remove executionEnvironment',
        ),
      ],
    }),
  ),
  {
    name: 'a key with a version',
    spec: { encryptionKey: 'projects/p/locations/r/keyRings/k/cryptoKeys/k/cryptoKeyVersions/1' },
    causes: [
      invalid(
        'spec.encryptionKey',
        '"projects/p/locations/r/keyRings/k/cryptoKeys/k/cryptoKeyVersions/1": spec.encryptionKey in body should match \'^projects/[^/ ]+/locations/[^/ ]+/keyRings/[^/ ]+/cryptoKeys/[^/ ]+$\'',
      ),
    ],
  },
  ...['/key', 'secrets/key', '/secrets/', '/a//key', '/a/../key', '/a/.', '/a/..', '/a b/key'].map(
    (file): Refusal => ({
      name: `the file ${file}`,
      spec: keys(key({ file })),
      causes: [invalid('spec.keys[0].file', `"${file}": ${FILE}`)],
    }),
  ),
  ...['/dev/x', '/proc/1/x', '/sys/x', '/cloudsql/x'].map(
    (file): Refusal => ({
      name: `the file ${file}`,
      spec: keys(key({ file })),
      causes: [
        invalid(
          'spec.keys[0].file',
          `"${file}": nothing can be mounted in /dev, /proc, /sys and /cloudsql; choose another directory`,
        ),
      ],
    }),
  ),
  ...[
    ['/secrets/a', '/secrets/b'],
    ['/secrets/a', '/secrets/b/key'],
    ['/a/b/c/key', '/a/b/key'],
  ].map(
    ([one = '', two = '']): Refusal => ({
      name: `the files ${one} and ${two}`,
      spec: keys(key({ file: one }), key({ name: 'two', file: two })),
      causes: [
        invalid(
          'spec.keys',
          'the directories of two files are the same, or one is inside the other; give each file a directory of its own',
        ),
      ],
    }),
  ),
  ...[
    [{ name: 'a', mountPath: '/secrets' }],
    [{ name: 'a', mountPath: '/secrets/openai' }],
    [{ name: 'a', mountPath: '/secrets/openai/key' }],
    [
      { name: 'a', mountPath: '/x/y' },
      { name: 'b', mountPath: '/x' },
    ],
  ].map(
    (volumes): Refusal => ({
      name: `the volumes ${volumes.map(({ mountPath }) => mountPath).join(' and ')} beside a file`,
      spec: {
        ...keys(key({ file: '/secrets/openai/key' })),
        volumes: volumes.map(volume => ({ ...volume, emptyDir: {} })),
      },
      causes: [
        invalid(
          'spec.volumes',
          'the directory of a volume must not be that of a file or of another volume, nor inside it; choose another mountPath',
        ),
      ],
    }),
  ),
  ...(
    [
      ['that waits for a later one', [{ dependsOn: ['b'] }, probed('b')], 'spec.sidecars', 'order'],
      ['that waits for itself', [{ ...probed('a'), dependsOn: ['a'] }], 'spec.sidecars', 'order'],
      ['that waits for one without a probe', [{}, { name: 'b', dependsOn: ['a'] }], 'spec.sidecars', 'order'],
      ['with an unknown key', [{ keys: [{ name: 'x', env: 'X' }] }], 'spec.sidecars', 'key'],
      ['with the port of another one', [{ port: 9000 }, { name: 'b', port: 9000 }], 'spec.sidecars', 'port'],
      ['with a variable set twice', [{ keys: twice('env', 'X') }], 'spec.sidecars[0].keys', 'variable'],
      ['with a directory used twice', [{ keys: twice('file', '/a/key') }], 'spec.sidecars[0].keys', 'file'],
      ['with a probe of no port', [{ probes: { liveness: { path: '/' } } }], 'spec.sidecars[0].probes', 'probe'],
      ['of 3 cpu', [{ resources: { cpu: '3', memory: '2Gi' } }], 'spec.sidecars[0].resources.cpu', 'cpu'],
      ['of 3 cpu as a number', [{ resources: { cpu: 3, memory: '2Gi' } }], 'spec.sidecars[0].resources.cpu', 'cpu'],
      ['of a cpu that is no quantity', [{ resources: { cpu: 'one' } }], 'spec.sidecars[0].resources.cpu', 'cpu'],
      ['with too little memory', [{ resources: { memory: '127Mi' } }], 'spec.sidecars[0].resources.memory', 'bytes'],
      ['with 1 byte as a number', [{ resources: { memory: 1 } }], 'spec.sidecars[0].resources.memory', 'bytes'],
      ['with much memory', [{ resources: { memory: '5Gi' } }], 'spec.sidecars[0].resources.memory', 'memory'],
      ['that with others has much CPU', [{ resources: { cpu: '8', memory: '4Gi' } }], 'spec.sidecars', 'sum'],
      ['of a long value', [{ env: [{ name: 'A', value: 'x'.repeat(32768) }], args: ['x'] }], 'spec.sidecars', 'long'],
    ] as [string, PlainObject[], string, string][]
  ).map(([name, sidecars, field, message]) => ({
    name: `a sidecar ${name}`,
    spec: {
      ...keys(key({ name: 'a', env: 'A' }), key({ name: 'b', env: 'B' })),
      sidecars: sidecars.map(one => ({ name: 'a', image: 'a', ...one })),
    },
    causes: [invalid(field, SIDECAR[message as keyof typeof SIDECAR])],
  })),
  {
    name: 'a container that waits for an unknown sidecar',
    spec: { container: { dependsOn: ['a'] } },
    causes: [
      invalid(
        'spec.container.dependsOn',
        'dependsOn must name sidecars with a startup probe; write probes.startup for the sidecar that is waited for',
      ),
    ],
  },
  {
    name: 'less than 1 cpu with the sidecars',
    spec: {
      resources: { cpu: '500m', memory: '512Mi' },
      sidecars: [{ name: 'a', image: 'a', resources: { cpu: '499m', memory: '128Mi' } }],
    },
    causes: [
      invalid(
        'spec.scaling.concurrency',
        'the container and its sidecars have less than 1 cpu together, which needs concurrency 1; write concurrency 1, or more cpu',
      ),
    ],
  },
  {
    name: 'iap on a public tenant',
    spec: { iap: 'Enabled' },
    causes: [
      invalid(
        'spec.iap',
        'IAP checks the callers of a tenant that is not public; write access: Authenticated as well, or iap: Disabled',
      ),
    ],
  },
];

/** Specs that the API takes though they come close to a bound. */
export const accepted: { name: string; tenant?: string; spec: PlainObject }[] = [
  {
    name: 'cpu and memory of sidecars as numbers and as text',
    spec: {
      sidecars: [
        { name: 'a', image: 'a', resources: { cpu: 1, memory: 536_870_912 } },
        { name: 'b', image: 'b', resources: { cpu: '0.5', memory: '512Mi' } },
      ],
    },
  },
  {
    name: 'the settings of a service',
    spec: {
      labels: { team: 'red', cost_centre: '', 'a-b': 'x_1' },
      annotations: { 'example.com/Team': 'Red team', plain: '' },
      description: '',
      ingress: 'Internal',
      defaultUrl: 'Disabled',
      customAudiences: ['https://a.example.com'],
      access: 'Authenticated',
      iap: 'Enabled',
      binaryAuthorization: 'Default',
      scaling: { manualInstances: 3 },
    },
  },
  {
    name: 'files and volumes in directories of their own',
    spec: {
      keys: [
        { name: 'a', secretRef: { external: 'k' }, file: '/secrets/a/key' },
        { name: 'b', secretRef: { external: 'k' }, file: '/secrets/ab/key', env: 'B' },
      ],
      volumes: [
        { name: 'c', mountPath: '/cache', emptyDir: {} },
        { name: 'd', mountPath: '/cache-2', emptyDir: { sizeLimit: '1Gi' } },
      ],
    },
  },
  {
    name: 'sidecars of every kind',
    spec: {
      ...keys(key({ name: 'a', env: 'A' }), key({ name: 'b', env: undefined })),
      resources: { cpu: '500m', memory: '512Mi' },
      container: { port: 9000, dependsOn: ['c', 'a'] },
      sidecars: [
        {
          ...probed('a'),
          image: 'a',
          port: 8080,
          resources: { cpu: '500m' },
          keys: [{ name: 'a', env: 'A', file: '/s/key' }],
        },
        { name: 'b', image: 'b', env: [{ name: 'A', value: '' }], resources: { cpu: '0.08', memory: '128Mi' } },
        {
          ...probed('c'),
          image: 'c',
          dependsOn: ['a'],
          keys: [{ name: 'b', file: '/s/key' }],
          resources: { cpu: 4, memory: 8589934592 },
        },
      ],
    },
  },
  {
    name: 'CPU between requests and Gen2 with 1 cpu in all',
    spec: {
      resources: { cpu: '500m', memory: '512Mi', cpuAlways: true },
      executionEnvironment: 'Gen2',
      sidecars: [{ name: 'a', image: 'a', resources: { cpu: '0.5' } }],
    },
  },
  { name: 'no sidecars', spec: { sidecars: [], scaling: { concurrency: 80 } } },
  { name: 'iap that is off on a public tenant', spec: { iap: 'Disabled' } },
  {
    name: 'the settings of a template',
    spec: {
      container: { command: ['a', ''], args: [], workingDir: '/', port: 65535, protocol: 'H2C' },
      probes: {
        startup: { grpc: '', periodSeconds: 80 },
        liveness: { path: '/', periodSeconds: 3600, timeoutSeconds: 60 },
      },
      resources: { cpu: 4, memory: '16Gi', cpuAlways: true, startupBoost: true, gpu: { type: 'nvidia-l4' } },
      executionEnvironment: 'Gen2',
      sessionAffinity: true,
      encryptionKey: { 'europe-west1': 'projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k' },
      network: { subnetwork: { 'europe-west1': 'a', 'us-central1': 'projects/p/regions/us-central1/subnetworks/b' } },
    },
  },
  {
    name: 'Gen1 with less than 1 cpu',
    spec: { resources: { cpu: '0.5', memory: '512Mi' }, scaling: { concurrency: 1 }, executionEnvironment: 'Gen1' },
  },
  { name: 'the shortest name', tenant: 'a-1', spec: {} },
  { name: 'the longest name', tenant: `0${'b'.repeat(26)}`, spec: {} },
  {
    name: 'a secret of a project by id',
    spec: keys(key({ secretRef: { external: 'projects/my-project/secrets/K_1-x' } })),
  },
  {
    name: 'a secret of a project by number',
    spec: keys(key({ secretRef: { external: 'projects/123456/secrets/k' } })),
  },
  {
    name: 'a secret of a domain-scoped project',
    spec: keys(key({ secretRef: { external: 'projects/example.com:my-project/secrets/k' } })),
  },
  { name: 'a secret of 255 characters', spec: keys(key({ secretRef: { external: 'k'.repeat(255) } })) },
  { name: 'a version as a number', spec: keys(key({ version: 7 })) },
  { name: 'a version as text', spec: keys(key({ version: '7' })) },
  { name: 'one secret under two keys', spec: keys(key({ name: 'a', env: 'A' }), key({ name: 'b', env: 'B' })) },
  { name: 'the least cpu', spec: { resources: { cpu: '0.08', memory: '128Mi' }, scaling: { concurrency: 1 } } },
  { name: 'cpu as a number', spec: { resources: { cpu: 2, memory: '8Gi' } } },
  { name: 'cpu in thousandths', spec: { resources: { cpu: '1000m', memory: '4096Mi' } } },
  { name: 'memory as bytes', spec: { resources: { memory: 1073741824 } } },
  { name: 'six cpus with the most memory', spec: { resources: { cpu: '6', memory: '24Gi' } } },
  { name: 'six cpus with the least memory', spec: { resources: { cpu: '6', memory: '4Gi' } } },
  { name: 'the most instances', spec: { scaling: { minInstances: 1000, maxInstances: 1000 } } },
  {
    name: 'the most characters of variables',
    spec: { env: [1, 2].map(i => ({ name: `V${i}`, value: 'あ'.repeat(32768) })) },
  },
  { name: 'the most of both', spec: { resources: { cpu: '8', memory: '32Gi' } } },
  { name: 'as many at least as at most', spec: { scaling: { minInstances: 3, maxInstances: 3 } } },
  { name: 'a region of many parts', spec: { region: 'northamerica-northeast1' } },
  { name: 'an image by digest', spec: { image: `gcr.io/p/i@sha256:${'0'.repeat(64)}` } },
  { name: 'Authenticated without invokers', spec: { access: 'Authenticated' } },
  { name: 'no invoker on a public tenant', spec: { invokers: [] } },
  { name: 'nulls, which count as absent', spec: { scaling: null, image: null, access: null } },
];

/** A tenant with a valid spec, `spec` merged into it. */
export function tenant(name = 'tenant-a', spec: PlainObject = {}): PlainObject {
  const merged = { region: 'asia-northeast1', keys: [key()], ...spec };
  return {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name, namespace: 'default' },
    spec: Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)),
  };
}
