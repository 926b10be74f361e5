import type { Json, JsonObject } from '../../../ports/json.ts';

/**
 * For each optional field of the spec: two values, and what Cloud Run's JSON must have for them. Written by hand from Google's
 * documentation and not from the operator's table, so that the tests find a wrong row. A field of the table without a case here fails
 * the test.
 */
export interface FieldCase {
  /** As in the table. A key of a map is written out: `labels.team`. */
  path: string;
  values: [first: Json, second: Json];
  /** The fields of Cloud Run's Service that each value stands for; `template` as a whole subset. */
  json: [first: JsonObject, second: JsonObject];
  /** The value of another tool, as Cloud Run's JSON, which no spec names. */
  others: JsonObject;
  /** Google's default, as the service has it before anybody sets the field: compared where `json` has a key. */
  unset: JsonObject;
  /** What the spec needs besides. */
  around?: JsonObject;
  /** For a field that stays: the value that opens it, or none. */
  opens?: Json;
  stays?: true;
  /** Values that kubectl apply refuses, with a part of the message. */
  refused: [value: Json, message: string][];
}

export const FIELD_CASES: FieldCase[] = [
  {
    path: 'labels.team',
    values: ['red', 'blue'],
    json: [{ labels: { team: 'red' } }, { labels: { team: 'blue' } }],
    others: { labels: { team: 'green' } },
    unset: { labels: { team: undefined } },
    refused: [['Red', 'must be lower-case letters']],
  },
  {
    path: 'annotations.example.com/team',
    values: ['Red team', 'Blue team'],
    json: [{ annotations: { 'example.com/team': 'Red team' } }, { annotations: { 'example.com/team': 'Blue team' } }],
    others: { annotations: { 'example.com/team': 'Green team' } },
    unset: { annotations: { 'example.com/team': undefined } },
    refused: [['x'.repeat(1025), 'may not be more than 1024']],
  },
  {
    path: 'description',
    values: ['The first', 'The second'],
    json: [{ description: 'The first' }, { description: 'The second' }],
    others: { description: 'By hand' },
    unset: { description: undefined },
    refused: [['x'.repeat(513), 'may not be more than 512']],
  },
  {
    path: 'ingress',
    values: ['Internal', 'InternalAndLoadBalancer'],
    json: [{ ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }, { ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER' }],
    others: { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' },
    unset: { ingress: 'INGRESS_TRAFFIC_ALL' },
    stays: true,
    opens: 'All',
    refused: [['all', 'supported values: "All", "Internal", "InternalAndLoadBalancer"']],
  },
  {
    path: 'defaultUrl',
    values: ['Disabled', 'Enabled'],
    json: [{ defaultUriDisabled: true }, { defaultUriDisabled: undefined }],
    others: { defaultUriDisabled: true },
    unset: { defaultUriDisabled: undefined },
    stays: true,
    opens: 'Enabled',
    refused: [[true as Json, 'must be of type string']],
  },
  {
    path: 'customAudiences',
    values: [['https://a.example.com', 'https://b.example.com'], ['https://b.example.com']],
    json: [
      { customAudiences: ['https://a.example.com', 'https://b.example.com'] },
      { customAudiences: ['https://b.example.com'] },
    ],
    others: { customAudiences: ['https://c.example.com'] },
    unset: { customAudiences: undefined },
    refused: [[[''], 'should be at least 1 chars long']],
  },
  {
    path: 'iap',
    around: { access: 'Authenticated' },
    values: ['Enabled', 'Disabled'],
    json: [{ iapEnabled: true }, { iapEnabled: undefined }],
    others: { iapEnabled: true },
    unset: { iapEnabled: undefined },
    stays: true,
    opens: 'Disabled',
    refused: [['On', 'supported values: "Enabled", "Disabled"']],
  },
  {
    path: 'binaryAuthorization',
    values: ['Default', 'Default'],
    json: [{ binaryAuthorization: { useDefault: true } }, { binaryAuthorization: { useDefault: true } }],
    others: { binaryAuthorization: { policy: 'projects/demo-project/platforms/cloudRun/policies/own' } },
    unset: { binaryAuthorization: undefined },
    stays: true,
    refused: [['None', 'supported values: "Default"']],
  },
  {
    path: 'scaling.manualInstances',
    values: [3, 4],
    json: [
      { scaling: { scalingMode: 'MANUAL', manualInstanceCount: 3 } },
      { scaling: { scalingMode: 'MANUAL', manualInstanceCount: 4 } },
    ],
    // minInstances and maxInstances always have a value, so a mode that others set does not survive.
    others: {},
    unset: { scaling: { manualInstanceCount: undefined } },
    refused: [[0, 'should be greater than or equal to 1']],
  },
];
