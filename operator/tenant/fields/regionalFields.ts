import type { Json, JsonObject } from '../../../ports/json.ts';
import { part } from '../names.ts';
import { jsonObject, jsonObjects, jsonTexts, listOf, type Parse, text, word } from '../specValues.ts';
import { type Field, type Place, without } from './field.ts';

/**
 * The fields that name something of the service's own region: a subnetwork, a connector, a key. The spec has one name for every region,
 * or a map from region to name. Without an answer for a region the service there keeps what it has, and none is created.
 */

/** The forms of the names, as in the CRD, which cannot check those in a map. */
const FORMS = {
  subnetwork: /^(?:projects\/[^/ ]+\/regions\/[^/ ]+\/subnetworks\/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/,
  connector: /^(?:projects\/[^/ ]+\/locations\/[^/ ]+\/connectors\/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/,
  key: /^projects\/[^/ ]+\/locations\/[^/ ]+\/keyRings\/[^/ ]+\/cryptoKeys\/[^/ ]+$/,
};
const WORDS = {
  subnetwork: 'NAME or projects/PROJECT/regions/REGION/subnetworks/NAME',
  connector: 'NAME or projects/PROJECT/locations/REGION/connectors/NAME',
  key: 'projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY',
};

/** A name or a map from region to name. Anything else is kept too: it has no answer for any region, so nothing is written (`answer`). */
const regional: Parse = value => (value === null ? undefined : (value as Json | undefined));

/** The name for a region. Undefined: there is none, it is one of another region, or it has another form. */
function answer(value: Json | undefined, region: string, what: keyof typeof FORMS): string | undefined {
  const found = typeof value === 'string' ? value : jsonObject(value)[region];
  if (typeof found !== 'string' || !FORMS[what].test(found)) return undefined;
  const named = part(found, what === 'subnetwork' ? 'regions' : 'locations');
  // The name of a multi-region or of `global` has no number, and belongs to no single region.
  return named === region || !/\d/.test(named) ? found : undefined;
}

/** The field that has no answer, and the form of a name if a map has an entry for the region that cannot be one. */
function unanswered(missing: string, value: Json | undefined, region: string, what: keyof typeof FORMS) {
  const isThere = Object.hasOwn(jsonObject(value), region);
  return isThere ? { missing, form: WORDS[what].replace('REGION', region) } : { missing };
}

const last = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
const isNumber = (project: string | undefined): boolean => /^\d+$/.test(project ?? '');

/** Whether two names mean the same: one may be short, and a project has an ID and a number. */
function sameName(a: Json | undefined, b: Json | undefined): boolean {
  if (typeof a !== 'string' || typeof b !== 'string') return a === b;
  const [one, other] = [a, b].map(name => /(?:^|\/)projects\/([^/]+)\/(.+)$/.exec(name));
  if (!one || !other) return last(a) === last(b);
  const [, project, path] = one;
  // One ID and one number may be of the same project.
  return path === other[2] && (project === other[1] || isNumber(project) !== isNumber(other[1]));
}

// ----------------------------------------------------------------------------------------------------------- network

const EGRESS = { PrivateRangesOnly: 'PRIVATE_RANGES_ONLY', AllTraffic: 'ALL_TRAFFIC' };

/** `subnetwork` and `connector` may be maps here. The egress is left out if it is Google's default. */
const parseNetwork: Parse = (value, path, unknownValues) => {
  const given = jsonObject(value as Json);
  const subnetwork = regional(given.subnetwork, path, unknownValues);
  const connector = regional(given.connector, path, unknownValues);
  const egress = word(EGRESS)(given.egress, `${path}.egress`, unknownValues);
  if (subnetwork === undefined && connector === undefined) return undefined;
  const tags = listOf(text)(given.tags, path, unknownValues);
  return compact({
    network: text(given.network, path, unknownValues),
    subnetwork,
    tags: jsonTexts(tags).length > 0 ? tags : undefined,
    connector,
    egress: egress === 'AllTraffic' ? egress : undefined,
  });
};

const compact = (value: Record<string, Json | undefined>): JsonObject =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as JsonObject;

/** Cloud Run's API v2 takes the full name of a connector (vendor's protos, VpcAccess). */
const fullConnector = (name: string, { project, region }: Place): string =>
  name.includes('/') ? name : `projects/${project}/locations/${region}/connectors/${name}`;

export const network: Field = {
  path: 'network',
  level: 'template',
  places: ['vpcAccess'],
  parse: parseNetwork,
  inRegion(value, place) {
    const given = jsonObject(value);
    const subnetwork = answer(given.subnetwork, place.region, 'subnetwork');
    const connector = answer(given.connector, place.region, 'connector');
    if (given.subnetwork !== undefined && subnetwork === undefined)
      return unanswered('network.subnetwork', given.subnetwork, place.region, 'subnetwork');
    if (given.connector !== undefined && connector === undefined)
      return unanswered('network.connector', given.connector, place.region, 'connector');
    return {
      value: compact({ ...given, subnetwork, connector: connector && fullConnector(connector, place) }),
    };
  },
  read(template) {
    const access = jsonObject(template.vpcAccess);
    const [first, ...more] = jsonObjects(access.networkInterfaces);
    if (first === undefined && !access.connector) return undefined;
    // More interfaces than the spec has words for.
    if (more.length > 0) return access;
    const tags = Array.isArray(first?.tags) && first.tags.length > 0 ? first.tags : undefined;
    const egress = Object.entries(EGRESS).find(([, name]) => name === access.egress)?.[0];
    return compact({
      network: first?.network,
      subnetwork: first?.subnetwork,
      tags,
      connector: access.connector || undefined,
      egress: egress === 'AllTraffic' ? egress : undefined,
    });
  },
  write(template, value) {
    if (value === undefined) return without(template, 'vpcAccess');
    const { networkInterfaces, connector: _, ...others } = jsonObject(template.vpcAccess);
    const { network: name, subnetwork, tags, connector, egress } = jsonObject(value);
    const { network: _n, subnetwork: _s, tags: _t, ...first } = jsonObjects(networkInterfaces)[0] ?? {};
    const target: JsonObject =
      connector === undefined
        ? { networkInterfaces: [{ ...first, ...compact({ network: name, subnetwork, tags }) }] }
        : { connector };
    return {
      ...template,
      vpcAccess: { ...others, ...target, egress: EGRESS[(egress ?? 'PrivateRangesOnly') as keyof typeof EGRESS] },
    };
  },
  // Cloud Run may answer the network that the spec leaves out, because the subnetwork says which one it is.
  same(found, wanted) {
    if (wanted === undefined) return found === undefined;
    const [a, b] = [jsonObject(found), jsonObject(wanted)];
    const tags = (value: JsonObject) => jsonTexts(value.tags).sort().join();
    return (
      (b.network === undefined || sameName(a.network, b.network)) &&
      sameName(a.subnetwork, b.subnetwork) &&
      sameName(a.connector, b.connector) &&
      tags(a) === tags(b) &&
      a.egress === b.egress
    );
  },
  source: 'docs.cloud.google.com/run/docs/configuring/connecting-vpc: none',
  leaves: 'stays',
  opens: 'to remove it, run `gcloud run services update` with --clear-network or --clear-vpc-connector',
};

// --------------------------------------------------------------------------------------------------------------- key

export const encryptionKey: Field = {
  path: 'encryptionKey',
  level: 'template',
  places: ['encryptionKey'],
  parse: regional,
  inRegion(value, { region }) {
    const key = answer(value, region, 'key');
    return key === undefined ? unanswered('encryptionKey', value, region, 'key') : { value: key };
  },
  read: ({ encryptionKey: key }) => (typeof key === 'string' && key !== '' ? key : undefined),
  write: (template, value) =>
    value === undefined ? without(template, 'encryptionKey') : { ...template, encryptionKey: value },
  same: sameName,
  source: 'docs.cloud.google.com/run/docs/securing/using-cmek: a key of Google',
  leaves: 'stays',
  opens: 'to remove it, run `gcloud run services update` with --clear-key',
};
