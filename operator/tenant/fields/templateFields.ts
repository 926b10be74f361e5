import type { Json, JsonObject } from '../../../ports/json.ts';
import { flag, jsonObject, jsonTexts, listOf, text, wholeNumber, word } from '../specValues.ts';
import { containersOf, servingContainer, withServingContainer } from '../template.ts';
import { type Field, without } from './field.ts';
import { parseProbe, probeAt, readProbe, writtenProbe } from './probes.ts';
import { encryptionKey, network } from './regionalFields.ts';

/** The fields of a Cloud Run service's template. Changing one makes a revision. */

const RESOURCES = 'containers[].resources';

/** A row whose value stands in the container that receives the requests. */
function ofContainer(
  path: string,
  place: string,
  row: Pick<Field, 'parse' | 'source' | 'standard' | 'shown' | 'inJson'> & {
    read(container: JsonObject, template: JsonObject): Json | undefined;
    write(container: JsonObject, value: Json | undefined): JsonObject;
  },
): Field {
  const { read, write, ...rest } = row;
  return {
    ...rest,
    path,
    level: 'template',
    places: [place.startsWith('containers') ? place : `containers[].${place}`],
    leaves: 'default',
    read: template => read(servingContainer(template), template),
    write: (template, value) => withServingContainer(template, container => write(container, value)),
  };
}

// --------------------------------------------------------------------------------------------------- what is started

/** A list of words. A word may contain a key, so changes show only how many there are. */
const words = (name: 'command' | 'args'): Field =>
  ofContainer(`container.${name}`, name, {
    parse: listOf(text),
    read: container => (Array.isArray(container[name]) ? container[name] : []),
    write: (container, value = []) =>
      jsonTexts(value).length > 0 ? { ...container, [name]: value } : without(container, name),
    standard: [],
    shown: value => (Array.isArray(value) && value.length > 0 ? `(${value.length} words)` : undefined),
    source: `k8s.min.proto, ${name}: that of the image`,
  });

const workingDir = ofContainer('container.workingDir', 'workingDir', {
  parse: text,
  read: container => container.workingDir ?? '',
  write: (container, value = '') =>
    value === '' ? without(container, 'workingDir') : { ...container, workingDir: value },
  standard: '',
  source: 'k8s.min.proto, working_dir: that of the image',
});

// -------------------------------------------------------------------------------------------------------------- port

const PORT = 8080;
const portsOf = (container: JsonObject): JsonObject[] =>
  Array.isArray(container.ports) ? (container.ports as JsonObject[]) : [];
const portOf = (container: JsonObject): Json => portsOf(container)[0]?.containerPort || PORT;
/** Cloud Run allows one port (k8s.min.proto, `ports`). */
const withPort = (container: JsonObject, change: JsonObject): JsonObject => ({
  ...container,
  ports: [{ containerPort: PORT, ...portsOf(container)[0], ...change }],
});

const port = ofContainer('container.port', 'ports[].containerPort', {
  parse: wholeNumber,
  read: portOf,
  // Google's startup probe names the port, so it would fail on another one. Cloud Run adds it again with the new port.
  write: (container, value = PORT) =>
    withPort(isGooglesProbe(container) ? without(container, 'startupProbe') : container, { containerPort: value }),
  standard: PORT,
  source: 'docs.cloud.google.com/run/docs/configuring/services/containers: 8080',
});

const PROTOCOLS = { HTTP1: 'http1', H2C: 'h2c' };

const protocol = ofContainer('container.protocol', 'ports[].name', {
  parse: word(PROTOCOLS),
  read: container => (portsOf(container)[0]?.name === 'h2c' ? 'H2C' : 'HTTP1'),
  write: (container, value = 'HTTP1') => withPort(container, { name: PROTOCOLS[value as keyof typeof PROTOCOLS] }),
  standard: 'HTTP1',
  source: 'docs.cloud.google.com/run/docs/configuring/http2: HTTP/1',
});

// ------------------------------------------------------------------------------------------------------------ probes

/** The probe that Cloud Run adds to a container without one. */
function isGooglesProbe(container: JsonObject): boolean {
  const { tcpSocket, periodSeconds, failureThreshold } = jsonObject(container.startupProbe);
  const { port: own } = jsonObject(tcpSocket);
  const isOnPort = tcpSocket !== undefined && (own === undefined || own === portOf(container));
  return isOnPort && periodSeconds === 240 && failureThreshold === 1;
}

const probe = (name: 'startup' | 'liveness', place: 'startupProbe' | 'livenessProbe', source: string): Field =>
  ofContainer(`probes.${name}`, place, {
    parse: parseProbe,
    // Without a port, a probe goes to that of the container.
    inJson: (value, template) => probeAt(value, portOf(servingContainer(template))),
    read: container =>
      place === 'startupProbe' && isGooglesProbe(container)
        ? undefined
        : readProbe(jsonObject(container[place]), portOf(container)),
    write: (container, value) =>
      value === undefined
        ? without(container, place)
        : { ...container, [place]: writtenProbe(jsonObject(container[place]), jsonObject(value)) },
    source,
  });

// --------------------------------------------------------------------------------------------------------- resources

/** The CPU of an instance is that of all its containers, so the sidecars get the same value. */
const cpuAlways: Field = {
  path: 'resources.cpuAlways',
  level: 'template',
  places: [`${RESOURCES}.cpuIdle`],
  parse: flag,
  read(template) {
    const { resources } = servingContainer(template);
    return resources !== undefined && jsonObject(resources).cpuIdle !== true;
  },
  write: (template, value) => ({
    ...template,
    containers: containersOf(template).map(container => ({
      ...container,
      resources: { ...jsonObject(container.resources), cpuIdle: value !== true },
    })),
  }),
  standard: false,
  source: 'docs.cloud.google.com/run/docs/configuring/billing-settings: request-based billing',
  leaves: 'default',
};

const startupBoost = ofContainer('resources.startupBoost', `${RESOURCES}.startupCpuBoost`, {
  parse: flag,
  read: ({ resources }) => resources === undefined || jsonObject(resources).startupCpuBoost === true,
  write: (container, value) => ({
    ...container,
    resources: { ...jsonObject(container.resources), startupCpuBoost: value !== false },
  }),
  standard: true,
  source: 'docs.cloud.google.com/run/docs/configuring/services/cpu, startup CPU boost: on for a new service',
});

const GPU = 'nvidia.com/gpu';
const GPU_TYPES = { 'nvidia-l4': true };

/** The GPU is a limit of the container, and its type and redundancy are fields of the template. */
const gpu: Field = {
  path: 'resources.gpu',
  level: 'template',
  places: [`${RESOURCES}.limits`, 'nodeSelector.accelerator', 'gpuZonalRedundancyDisabled'],
  parse(value, path, unknownValues) {
    const { type: named, count, zonalRedundancy } = jsonObject(value as Json);
    const type = word(GPU_TYPES)(named, `${path}.type`, unknownValues);
    if (type === undefined) return undefined;
    return { type, count: wholeNumber(count, '', []) ?? 1, zonalRedundancy: zonalRedundancy === true };
  },
  read(template) {
    const { [GPU]: limit } = jsonObject(jsonObject(servingContainer(template).resources).limits);
    const { accelerator } = jsonObject(template.nodeSelector);
    if (limit === undefined && accelerator === undefined) return undefined;
    return {
      type: accelerator ?? '',
      count: Number(limit ?? 0),
      zonalRedundancy: template.gpuZonalRedundancyDisabled !== true,
    };
  },
  write(template, value) {
    const { type, count, zonalRedundancy } = jsonObject(value);
    const { accelerator: _, ...selector } = jsonObject(template.nodeSelector);
    const { gpuZonalRedundancyDisabled: _disabled, nodeSelector: _selector, ...rest } = template;
    const nodeSelector = value === undefined ? selector : { ...selector, accelerator: type };
    const next: JsonObject = {
      ...rest,
      ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
      ...(value !== undefined && zonalRedundancy !== true && { gpuZonalRedundancyDisabled: true }),
    };
    return withServingContainer(next, container => {
      const resources = jsonObject(container.resources);
      const limits = without(jsonObject(resources.limits), GPU);
      return {
        ...container,
        resources: { ...resources, limits: value === undefined ? limits : { ...limits, [GPU]: String(count) } },
      };
    });
  },
  source: 'docs.cloud.google.com/run/docs/configuring/services/gpu: none',
  leaves: 'default',
};

// ---------------------------------------------------------------------------------------------------------- template

const ENVIRONMENTS = { Gen1: 'EXECUTION_ENVIRONMENT_GEN1', Gen2: 'EXECUTION_ENVIRONMENT_GEN2' };

const executionEnvironment: Field = {
  path: 'executionEnvironment',
  level: 'template',
  places: ['executionEnvironment'],
  parse: word(ENVIRONMENTS),
  read({ executionEnvironment: found }) {
    if (found === null || found === 'EXECUTION_ENVIRONMENT_UNSPECIFIED') return undefined;
    return Object.entries(ENVIRONMENTS).find(([, value]) => value === found)?.[0] ?? found;
  },
  write: (template, value) =>
    value === undefined
      ? without(template, 'executionEnvironment')
      : { ...template, executionEnvironment: ENVIRONMENTS[value as keyof typeof ENVIRONMENTS] },
  source: 'docs.cloud.google.com/run/docs/configuring/execution-environments: Cloud Run chooses',
  leaves: 'default',
};

const sessionAffinity: Field = {
  path: 'sessionAffinity',
  level: 'template',
  places: ['sessionAffinity'],
  parse: flag,
  read: template => template.sessionAffinity === true,
  write: (template, value) =>
    value === true ? { ...template, sessionAffinity: true } : without(template, 'sessionAffinity'),
  standard: false,
  source: 'docs.cloud.google.com/run/docs/configuring/session-affinity: off',
  leaves: 'default',
};

/** The port stands before the probes, which name it. */
export const TEMPLATE_FIELDS: readonly Field[] = [
  words('command'),
  words('args'),
  workingDir,
  port,
  protocol,
  probe('startup', 'startupProbe', 'k8s.min.proto, Probe: a TCP probe of the port for 240 s'),
  probe('liveness', 'livenessProbe', 'docs.cloud.google.com/run/docs/configuring/healthchecks: none'),
  cpuAlways,
  startupBoost,
  gpu,
  executionEnvironment,
  sessionAffinity,
  encryptionKey,
  network,
];
