import { invalid } from '../errors.ts';
import { isSecretReference } from './instanceEnv.ts';
import type { ContainerTemplate, EnvVar } from './messages.ts';
import { quantity } from './quantity.ts';

const reservedEnv = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION'];

const mi = 2 ** 20;
const gi = 2 ** 30;

/** Memory that goes with so many CPUs, as the error text names it (https://docs.cloud.google.com/run/docs/configuring/services/cpu, the table of CPU and memory). */
const memoryFor: [cpu: number, min: [text: string, bytes: number], max: [text: string, bytes: number]][] = [
  [1, ['128Mi', 128 * mi], ['4Gi', 4 * gi]],
  [2, ['128Mi', 128 * mi], ['8Gi', 8 * gi]],
  [4, ['2Gi', 2 * gi], ['16Gi', 16 * gi]],
  [6, ['4Gi', 4 * gi], ['24Gi', 24 * gi]],
  [8, ['4Gi', 4 * gi], ['32Gi', 32 * gi]],
];

/**
 * The least CPU and memory beside a GPU (https://docs.cloud.google.com/run/docs/configuring/services/gpu, "Supported GPU types"). A
 * type that has more than 8 CPUs is not in the table above, and its largest sizes are not published.
 */
const leastForGpu: Record<string, { cpu: number; memory: [text: string, bytes: number] }> = {
  'nvidia-l4': { cpu: 4, memory: ['16Gi', 16 * gi] },
  'nvidia-rtx-pro-6000': { cpu: 20, memory: ['80Gi', 80 * gi] },
};

/** The parts of a template that decide what its containers may have. */
interface Around {
  concurrency: number;
  /** The CPUs of all containers together. */
  totalCpu: number;
  /** The type of the GPU in the node selector; empty: none. */
  gpu: string;
}

/** Refuses a container that Cloud Run would; `index` is `[0]`, as the texts write it. */
export function checkContainer(index: string, container: ContainerTemplate, around: Around): void {
  const path = `spec.template.spec.containers${index}`;
  if (!container.image) throw invalid(`${path}.image: a container image is required.`);
  if (/\s|^[-./:]|[A-Z][^:@]*\/|\/\/|^https?:/.test(container.image)) {
    throw invalid(
      `${path}.image: Expected a container image path in the form [hostname/]repo-path[:tag and/or @digest]; got '${container.image}'`,
    );
  }
  const ports = container.ports ?? [];
  if (ports.length > 1) throw invalid(`${path}.ports: only a single port can be specified.`);
  for (const { name, containerPort = 0 } of ports) {
    if (containerPort < 1 || containerPort > 65535) {
      throw invalid(`${path}.ports[0].container_port: expected 1 <= ${containerPort} <= 65535`);
    }
    if (name !== 'http1' && name !== 'h2c') throw invalid(`${path}.ports[0].name: must be 'http1' or 'h2c'.`);
  }
  // Only the container that receives the requests gets PORT, so another one may set it for itself (Cloud Run, "Container runtime
  // contract"; GoogleCloudPlatform/cloud-run-samples, multi-container/hello-nginx-sample).
  checkEnv(
    `${path}.env`,
    container.env ?? [],
    ports.length > 0 ? reservedEnv : reservedEnv.filter(name => name !== 'PORT'),
  );
  checkLimits(`${path}.resources.limits`, container.resources?.limits ?? {}, around);
}

function checkEnv(path: string, env: EnvVar[], notAllowed: string[]): void {
  // docs.cloud.google.com/run/docs/configuring/services/environment-variables: 1,000 variables a container.
  if (env.length > 1000) throw invalid(`${path}: expected at most 1000 environment variables, got ${env.length}.`);
  const names = env.map(entry => entry.name ?? '');
  const reserved = names.filter(name => notAllowed.includes(name));
  if (reserved.length > 0) {
    throw invalid(
      `${path}: The following reserved env names were provided: ${reserved.join(', ')}. These values are automatically set by the system.`,
    );
  }
  for (const [i, entry] of env.entries()) {
    const name = entry.name ?? '';
    if (name === '' || /[=\0]/.test(name)) throw invalid(`${path}[${i}].name: '${name}' is not a valid variable name.`);
    if (names.indexOf(name) < i) throw invalid(`${path}: duplicate environment variable name '${name}'.`);
    if (name.length > 32768) throw invalid(`${path}[${i}].name: must not exceed 32768 characters.`);
    if (Buffer.byteLength(entry.value ?? '') > 32768) {
      throw invalid(`${path}[${i}].value: must not exceed 32768 bytes.`);
    }
    const reference = entry.valueSource?.secretKeyRef;
    if (!entry.valueSource) continue;
    if (!isSecretReference(reference?.secret)) {
      throw invalid(
        `${path}[${i}].value_from.secret_key_ref.name: '${reference?.secret ?? ''}' is not a valid secret name.`,
      );
    }
    if (!reference?.version) throw invalid(`${path}[${i}].value_from.secret_key_ref.key: a version is required.`);
  }
}

function checkLimits(path: string, limits: Record<string, string>, { concurrency, totalCpu, gpu }: Around): void {
  const unknown = Object.keys(limits).find(key => key !== 'cpu' && key !== 'memory' && key !== 'nvidia.com/gpu');
  if (unknown) throw invalid(`${path}: '${unknown}' is not supported; only cpu, memory and nvidia.com/gpu are.`);
  const cpu = quantity(limits.cpu ?? '1', `${path}.cpu`);
  const memory = quantity(limits.memory ?? '512Mi', `${path}.memory`);
  if (cpu < 1) {
    if (cpu < 0.08) throw invalid(`${path}.cpu: Invalid value specified for cpu. The minimum is 0.08.`);
    if (totalCpu < 1 && concurrency > 1) {
      throw invalid(
        `${path}.cpu: Invalid value specified for cpu. Total cpu < 1 is not supported with concurrency > 1.`,
      );
    }
    checkMemory(path, cpu, memory, ['128Mi', 128 * mi], cpu < 0.5 ? ['512Mi', 512 * mi] : ['1Gi', gi]);
    return;
  }
  // Only one container of an instance gets the GPU.
  const least = limits['nvidia.com/gpu'] === undefined ? undefined : leastForGpu[gpu];
  if (least) {
    if (cpu < least.cpu) {
      throw invalid(`${path}.cpu: Invalid value specified for cpu. A GPU of type ${gpu} needs at least ${least.cpu}.`);
    }
    checkMemory(path, cpu, memory, least.memory, ['', Number.POSITIVE_INFINITY]);
    if (least.cpu > 8) return;
  }
  const row = memoryFor.find(([cpus]) => cpus === cpu);
  if (!row) {
    throw invalid(
      `${path}.cpu: Invalid value specified for cpu. Supported values are 1, 2, 4, 6, 8 or a fraction below 1.`,
    );
  }
  checkMemory(path, cpu, memory, row[1], row[2]);
}

/** The CPUs of an instance: the sum of its containers' (Cloud Run, "Configure CPU limits"). */
export const totalCpu = (containers: ContainerTemplate[]): number =>
  containers.reduce(
    (sum, { resources }, i) =>
      sum + quantity(resources?.limits?.cpu ?? '1', `spec.template.spec.containers[${i}].resources.limits.cpu`),
    0,
  );

function checkMemory(path: string, cpu: number, memory: number, min: [string, number], max: [string, number]): void {
  if (memory >= min[1] && memory <= max[1]) return;
  const cpus = Number.isInteger(cpu) ? cpu.toFixed(1) : String(cpu);
  const range = max[0] === '' ? `at least ${min[0]}` : `between ${min[0]} and ${max[0]} inclusive`;
  throw invalid(`${path}.memory: Invalid value specified for memory. For ${cpus} CPU, memory must be ${range}.`);
}
