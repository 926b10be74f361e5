import { isDeepStrictEqual } from 'node:util';
import { invalid } from '../errors.ts';
import { noSuchRevision } from './conditions.ts';
import { byRevision, latest } from './defaults.ts';
import type { ContainerTemplate, Desired, ServiceScaling, Template, TrafficTarget } from './messages.ts';
import { checkProbes } from './probes.ts';
import type { ServiceState } from './serviceState.ts';
import { checkContainer, totalCpu } from './validateContainer.ts';
import { checkVolumes } from './validateVolumes.ts';

const reservedDomains = [
  'run.googleapis.com',
  'cloud.googleapis.com',
  'serving.knative.dev',
  'autoscaling.knative.dev',
];

/** Refuses an id of a new service that is not `[a-z]([-a-z0-9]*[a-z0-9])?` of at most 49 characters. */
export function checkServiceId(id: string): void {
  if (/^[a-z]([-a-z0-9]{0,47}[a-z0-9])?$/.test(id)) return;
  throw invalid(
    `Invalid service_id '${id}'. It must use only lowercase letters, digits and hyphens, begin with a letter, not end with a hyphen, and be shorter than 50 characters.`,
    { field: 'service_id', description: 'invalid' },
  );
}

/** Refuses, as the real service does before it accepts a change, a service whose defaults are filled in. */
export function checkService(id: string, desired: Desired): void {
  checkLabels('labels', desired.labels);
  checkAnnotations('annotations', desired.annotations);
  if ((desired.description ?? '').length > 512) throw invalid('description: must be at most 512 characters long.');
  if (!desired.template) throw invalid('template: a revision template is required.');
  checkTemplate(id, desired.template);
  checkTraffic(desired.traffic ?? []);
  checkServiceScaling(desired.scaling ?? {});
}

function checkTemplate(id: string, template: Template): void {
  checkLabels('template.labels', template.labels);
  checkAnnotations('template.annotations', template.annotations);
  const name = template.revision;
  if (name !== undefined && !(name.startsWith(`${id}-`) && /^[a-z][-a-z0-9]{0,61}[a-z0-9]$/.test(name))) {
    throw invalid(
      `spec.template.metadata.name: '${name}' must be prefixed by the name of the enclosing Configuration or Service with a trailing -, and be a DNS label of at most 63 characters`,
    );
  }
  const { minInstanceCount: min = 0, maxInstanceCount: max = 100 } = template.scaling ?? {};
  checkMinMax('template.scaling', min, max);
  const concurrency = template.maxInstanceRequestConcurrency ?? 0;
  if (concurrency < 0 || concurrency > 1000) {
    throw invalid(`spec.template.spec.container_concurrency: expected 0 <= ${concurrency} <= 1000`);
  }
  const seconds = Number((template.timeout ?? '').replace(/s$/, ''));
  if (!(seconds >= 1 && seconds <= 3600)) {
    throw invalid(`spec.template.spec.timeout_seconds: expected 1 <= ${seconds} <= 3600`);
  }
  const containers = template.containers ?? [];
  // https://cloud.google.com/run/quotas: 10 containers an instance.
  if (containers.length < 1 || containers.length > 10) {
    throw invalid(`spec.template.spec.containers: expected 1 <= ${containers.length} <= 10`);
  }
  // Seen of the real API (github.com/GoogleCloudPlatform/terraform-google-cloud-run/issues/488).
  if (containers.filter(({ ports }) => ports?.length).length !== 1) {
    throw invalid('template.containers: Revision template should contain exactly one container with an exposed port.');
  }
  const around = { concurrency, totalCpu: totalCpu(containers), gpu: template.nodeSelector?.accelerator ?? '' };
  for (const [i, container] of containers.entries()) checkContainer(`[${i}]`, container, around);
  for (const [i, container] of containers.entries()) checkProbes(`spec.template.spec.containers[${i}]`, container);
  checkOrder(containers);
  checkVolumes(template);
  checkSurroundings(template);
}

/** The network, the key and the execution environment (vendor's protos, VpcAccess; docs.cloud.google.com/run/docs/securing/using-cmek, .../gpu). */
function checkSurroundings({ vpcAccess = {}, encryptionKey, executionEnvironment, nodeSelector }: Template): void {
  const { connector, networkInterfaces = [] } = vpcAccess;
  if (connector && networkInterfaces.length > 0) {
    throw invalid('template.vpc_access: a connector and network interfaces cannot be set together.');
  }
  if (networkInterfaces.length > 1) throw invalid('template.vpc_access.network_interfaces: only one is supported.');
  if (networkInterfaces.some(({ network, subnetwork }) => !network && !subnetwork)) {
    throw invalid('template.vpc_access.network_interfaces[0]: a network or a subnetwork is required.');
  }
  if (encryptionKey && !/^projects\/[^/]+\/locations\/[^/]+\/keyRings\/[^/]+\/cryptoKeys\/[^/]+$/.test(encryptionKey)) {
    throw invalid(`template.encryption_key: '${encryptionKey}' is not the name of a Cloud KMS key.`);
  }
  if (executionEnvironment === 'EXECUTION_ENVIRONMENT_GEN1' && nodeSelector?.accelerator) {
    throw invalid('template.execution_environment: GPUs need the second generation.');
  }
}

/** Names are unique, and each container waits for others only that have a startup probe, never in a circle. */
function checkOrder(containers: ContainerTemplate[]): void {
  const named = new Map(containers.map(container => [container.name, container]));
  const names = containers.flatMap(({ name }) => name ?? []);
  for (const [i, name] of names.entries()) {
    if (names.indexOf(name) < i) throw invalid(`spec.template.spec.containers: duplicate container name '${name}'.`);
  }
  for (const [i, { name = '', dependsOn = [] }] of containers.entries()) {
    const path = `spec.template.spec.containers[${i}]`;
    if (name !== '' && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
      throw invalid(`${path}.name: '${name}' is not a DNS label.`);
    for (const other of dependsOn) {
      if (!named.has(other)) throw invalid(`${path}.depends_on: Dependent container '${other}' is not defined.`);
      // Seen of the real API (github.com/GoogleCloudPlatform/cloud-run-samples/issues/230).
      if (!named.get(other)?.startupProbe)
        throw invalid(`${path}.depends_on: Dependent container '${other}' must have startup probe specified`);
    }
  }
  const waits = (name: string, path: string[]): void => {
    if (path.includes(name))
      throw invalid(`template.containers: dependencies form a circle: ${[...path, name].join(', ')}.`);
    for (const other of named.get(name)?.dependsOn ?? []) waits(other, [...path, name]);
  };
  for (const name of names) waits(name, []);
}

function checkTraffic(targets: TrafficTarget[]): void {
  const tags = targets.flatMap(target => target.tag ?? []);
  if (new Set(tags).size < tags.length) throw invalid('spec.traffic: traffic tags must be unique.');
  let sum = 0;
  for (const [i, { type, revision, percent = 0 }] of targets.entries()) {
    if (type === byRevision && !revision) throw invalid(`spec.traffic[${i}].revision_name: a revision is required.`);
    if (type === latest && revision)
      throw invalid(`spec.traffic[${i}]: set either a revision or the latest, not both.`);
    if (percent < 0 || percent > 100) throw invalid(`spec.traffic[${i}].percent: expected 0 <= ${percent} <= 100`);
    sum += percent;
  }
  if (sum !== 100) throw invalid(`spec.traffic: Traffic targets sum to ${sum}, want 100`);
}

function checkServiceScaling({ minInstanceCount = 0, maxInstanceCount, ...scaling }: ServiceScaling): void {
  checkMinMax('scaling', minInstanceCount, maxInstanceCount || Number.POSITIVE_INFINITY);
  if ((scaling.manualInstanceCount ?? 0) < 0) throw invalid('scaling.manual_instance_count: must not be negative.');
}

function checkMinMax(field: string, min: number, max: number): void {
  if (min < 0) throw invalid(`${field}.min_instance_count: must not be negative.`);
  if (max < 1) throw invalid(`${field}.max_instance_count: must be at least 1.`);
  if (min > max) {
    throw invalid(`${field}: min_instance_count (${min}) must not be greater than max_instance_count (${max}).`);
  }
}

function checkLabels(field: string, labels: Record<string, string> = {}): void {
  checkDomains(field, labels);
  if (Object.keys(labels).length > 64) throw invalid(`${field}: at most 64 labels are allowed.`);
  for (const [key, value] of Object.entries(labels)) {
    // gcloud names by it the request that made a revision; v2 answers it as it is.
    if (key === 'client.knative.dev/nonce') continue;
    // Letters of any alphabet that are not capital (https://cloud.google.com/run/docs/configuring/services/labels).
    if (!/^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u.test(key)) {
      throw invalid(
        `${field}: label key '${key}' must start with a lowercase letter, hold only lowercase letters, digits, dashes and underscores, and be at most 63 characters long.`,
      );
    }
    if (!/^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u.test(value)) {
      throw invalid(
        `${field}: label value '${value}' must hold only lowercase letters, digits, dashes and underscores, and be at most 63 characters long.`,
      );
    }
  }
}

function checkAnnotations(field: string, annotations: Record<string, string> = {}): void {
  checkDomains(field, annotations);
  for (const key of Object.keys(annotations)) {
    if (!/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(key)) {
      throw invalid(`${field}: annotation key '${key}' is not a qualified name.`);
    }
  }
}

function checkDomains(field: string, map: Record<string, string>): void {
  for (const key of Object.keys(map)) {
    const domain = reservedDomains.find(reserved => key.split('/')[0]?.endsWith(reserved));
    if (domain)
      throw invalid(`${field}: key '${key}' is not allowed: the namespace '${domain}' is reserved by the system.`);
  }
}

/** Refuses new traffic to a revision that does not exist; `next`: the name of the one that this call makes. */
export function checkTargets(service: ServiceState, { traffic = [] }: Desired, next: string | undefined): void {
  if (isDeepStrictEqual(service.desired.traffic, traffic)) return;
  for (const [i, { revision }] of traffic.entries()) {
    if (!revision || revision === next || service.revisions.some(({ id }) => id === revision)) continue;
    throw invalid(`spec.traffic[${i}].revision_name: ${noSuchRevision(revision).message}`);
  }
}
