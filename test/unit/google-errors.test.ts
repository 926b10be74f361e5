import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failureOf, rowOf } from '../../operator/gcp/errors.ts';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import { statusOf } from '../../operator/gcp/status.ts';
import { failureBlocker } from '../../operator/tenant/context.ts';
import { ERRORS, revisionAdvice } from '../../operator/tenant/errorTable.ts';

/** Answers of Google Cloud that were recorded by others or are documented; `source` says by whom. */
interface Fixture {
  source: string;
  /** The row of the table that it falls under; null: the usual meaning of its code. */
  row: string | null;
  reason: string;
  method?: string;
  http?: number;
  body?: { error: { message: string } };
  /** Of a revision: the message of the service's condition. */
  condition?: string;
}

const folder = new URL('../fixtures/google-errors/', import.meta.url).pathname;
const fixtures = globSync(`${folder}*.json`).map((file): [string, Fixture] => [
  basename(file, '.json'),
  JSON.parse(readFileSync(file, 'utf8')),
]);
const answers = fixtures.filter(([, { body }]) => body !== undefined);
const revisions = fixtures.filter(([, { condition }]) => condition !== undefined);

const known = {
  service: 'ai-platform-a',
  region: 'us-central1',
  project: 'team-a',
  logs: 'gcloud run services logs read',
  image: ' in spec.image.',
  secretProject: 'team-a',
};
const REQUEST = { name: 'projects/team-a/locations/us-central1/services/ai-platform-a' };
const OLD = Number.POSITIVE_INFINITY;

function told({ method = '', http = 0, body }: Fixture) {
  const status = statusOf(http, null, JSON.stringify(body), 0);
  const failure = failureOf(method, status, REQUEST);
  return { row: rowOf(method, status)?.name ?? null, blocker: failureBlocker('Service', 'Doing', failure, OLD) };
}

const messages = (): [string, string][] => [
  ...answers.map(([name, fixture]): [string, string] => [name, told(fixture).blocker.message]),
  ...revisions.map(([name, { condition = '' }]): [string, string] => [name, revisionAdvice(condition, known).advice]),
];

test('each recorded answer names its source, and each row of the table has an answer that shows it', () => {
  expect(fixtures.length).toBeGreaterThan(25);
  for (const [name, { source, method }] of fixtures) {
    expect(source, name).toMatch(/\S{5}/);
    expect(method === undefined || METHODS.has(method), name).toBe(true);
  }
  const shown = new Set(fixtures.map(([, { row }]) => row));
  expect(ERRORS.filter(({ name }) => !shown.has(name)).map(({ name }) => name)).toEqual([]);
  expect(ERRORS.filter(({ source }) => source === '')).toEqual([]);
  expect(new Set(ERRORS.map(({ name }) => name)).size).toBe(ERRORS.length);
});

test.each(answers)('%s', (_, fixture) => {
  const { row, blocker } = told(fixture);
  expect({ row, reason: blocker.reason }).toEqual({ row: fixture.row, reason: fixture.reason });
  expect(blocker.message.startsWith(`Doing: ${fixture.body?.error.message}`)).toBe(true);
});

test.each(revisions)('%s', (_, { condition = '', row }) => {
  expect(revisionAdvice(condition, known).row.name).toBe(row);
});

describe('the remedy', () => {
  const said = Object.fromEntries(messages());

  test.each([
    ['token-expired', /no permission is missing.*gcloud auth application-default login/],
    ['impersonation-denied', /add-iam-policy-binding deployer@team-a\.iam\.gserviceaccount\.com /],
    ['api-disabled-run', /Enable the API: gcloud services enable run\.googleapis\.com --project=157914570064$/],
    ['api-disabled-words-only', /gcloud services enable run\.googleapis\.com --project=n26-full-stack-dart$/],
    ['billing-disabled', /gcloud billing projects link 1051023892108 /],
    ['project-deleted', /gcloud projects undelete 1234567899$/],
    ['project-unknown-id', /no such active project.*Check the id/],
    ['labels-full', /update ai-platform-a --region=us-central1 --project=team-a --remove-labels=KEY$/],
    ['org-policy-ingress', /update ai-platform-a --region=us-central1 --project=team-a --ingress=internal$/],
    ['vpc-service-controls', /perimeter.*ingress rule/],
    ['org-policy-locations', /spec\.region/],
    ['org-policy-invoker-iam', /spec\.access to Authenticated/],
    ['org-policy-vpc-egress', /org-policies describe run\.allowedVPCEgress /],
    [
      'service-agent-reads-no-image',
      /binding my-repo --location=us-central1 --project=ci-tf-samples-3 --member=serviceAccount:service-123456@serverless/,
    ],
    [
      'operator-reads-no-image',
      /binding backend --location=asia-northeast1 --project=team-a --member=serviceAccount:OPERATOR/,
    ],
    ['service-agent-without-role', /binding 711987267850 .*roles\/run\.serviceAgent/],
    ['region-unknown', /gcloud run regions list/],
    ['members-full', /1,500 members/],
    ['act-as-denied', /binding sa-a@team-a\.iam\.gserviceaccount\.com .*roles\/iam\.serviceAccountUser/],
    ['revision-image-not-found', /spec\.image/],
    ['revision-secret-destroyed', /versions add apprun-config --project=team-a/],
    ['revision-secret-disabled', /versions enable 7 --secret=openai --project=team-a/],
    ['revision-does-not-listen', /0\.0\.0\.0.*Logs: gcloud run services logs read/],
  ])('of %s', (name, remedy) => {
    expect(said[name]).toMatch(remedy);
  });

  test('is "edit the spec" only where an edit helps, and a missing permission only where one is missing', () => {
    const plain = (words: string) =>
      messages()
        .filter(([, message]) => message.includes(words))
        .map(([name]) => name);
    expect(plain('If its words name a value of the spec')).toEqual([]);
    expect(plain('the missing permission')).toEqual(['account-denied', 'permission-missing']);
  });

  test('ends with its command, or has it between backticks: what is copied is the command alone', () => {
    const files = globSync('operator/{cli,gcp,kube,reconcile,tenant}/*.ts').map(file => readFileSync(file, 'utf8'));
    const joined = files.map(code => code.replace(/\\`/g, '\u2063').replace(/['`] \+\s*['`]/g, ''));
    const command =
      /(?<![\u2063\w])(?:gcloud|kubectl|docker) [a-z][^'`\u2063\n]*?[^\s.'`\u2063][.,;)]+(?= [A-Za-z]|'|`)/g;
    const found = joined.flatMap(code => code.match(command) ?? []).filter(text => / --|=/.test(text));
    expect(found).toEqual([]);
    expect(
      joined.filter(code =>
        /\$\{(?:annotate|annotateCommand|addVersion|enable|resume|logs|set)\b[^}]*\}[.,;)]/.test(code),
      ),
    ).toEqual([]);
  });

  test('stands once in each message, whole, and without a name that was left open', () => {
    for (const [name, message] of messages()) {
      const sentences = message.match(/[^.:]*[.:](?=\s|$)/g) ?? [];
      expect(new Set(sentences.map(sentence => sentence.trim())).size, name).toBe(sentences.length);
      expect(message, name).not.toMatch(/[{}]|\[\[|\]\]|undefined/);
    }
  });
});

test('a hostile ErrorInfo puts nothing into the command', () => {
  const details = [{ reason: 'SERVICE_DISABLED', metadata: { service: 'x; rm -rf ~', consumer: 'projects/$(id)' } }];
  const failure = failureOf(rpc.getSecret, { code: 'PERMISSION_DENIED', message: 'Disabled.', details });
  expect(failure.advice).toBe('Enable the API: gcloud services enable secretmanager.googleapis.com');
});

test('nothing that an answer says gets into a command but a name', () => {
  const evil = fc.constantFrom('$(id)', '`id`', '; rm -rf ~', "' --role=roles/owner", '| sh', '&& id');
  fc.assert(
    fc.property(fc.constantFrom(...answers), evil, fc.nat(), ([, fixture], bad, at) => {
      const words = fixture.body?.error.message ?? '';
      const place = at % (words.length + 1);
      const message = words.slice(0, place) + bad + words.slice(place);
      const metadata = { service: `run.googleapis.com${bad}`, consumer: `projects/${bad}` };
      const failure = failureOf(fixture.method ?? '', {
        ...statusOf(fixture.http ?? 0, null, JSON.stringify(fixture.body), 0),
        message,
        details: [{ reason: 'SERVICE_DISABLED', metadata }],
      });
      expect(failure.advice ?? '').not.toContain(bad);
    }),
  );
});
