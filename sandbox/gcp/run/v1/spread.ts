import type { Json, JsonObject } from '../../../../ports/json.ts';
import { invalid } from '../../errors.ts';
import { ingressOf } from '../instanceEnv.ts';
import type { ContainerTemplate, EnvVar, Template } from '../messages.ts';
import { containerNames, flag, json } from './codecs.ts';
import { uidOf } from './metadata.ts';
import { type Codec, isObject } from './rows.ts';

/**
 * Annotations of a v1 template that speak of its containers and volumes, where v2 has fields of each container. What v2 can say of
 * one container only is said of all of them in v1.
 */
export interface Spread {
  annotation: string;
  /** The annotation's value for a v2 template, and the template without what the annotation says. */
  read(template: Template): { value?: string; rest?: Template };
  /** The v2 template with what the annotation says. `value` is undefined if v1 has no such annotation. Throws INVALID_ARGUMENT. */
  write(template: Template, value: string | undefined, at: string): Template;
}

type Container = ContainerTemplate & { baseImageUri?: string; sourceCode?: JsonObject };

const containersOf = (template: Template): Container[] => template.containers ?? [];

const withContainers = (template: Template, change: (container: Container) => Container): Template => ({
  ...template,
  ...(template.containers && { containers: template.containers.map(change) }),
});

const readFlag = (value: string, at: string): boolean => {
  const read = flag.toV2(value, at);
  if (typeof read !== 'boolean') throw invalid(`${at}: invalid value '${value}': must be true or false.`);
  return read;
};

/** The parts between commas, without the blanks around them. */
const listed = (value: string): string[] =>
  value
    .split(',')
    .map(part => part.trim())
    .filter(Boolean);

/** A map by the containers' names, which `codec` writes; the only container may have none. */
function byContainer<T extends Json>(
  annotation: string,
  get: (container: Container) => T | undefined,
  set: (container: Container, value: T, at: string) => Container,
  codec: Codec = json,
): Spread {
  return {
    annotation,
    read(template) {
      const entries = containersOf(template).flatMap(container => {
        const value = get(container);
        return value === undefined ? [] : [[container.name ?? '', value] as const];
      });
      return entries.length > 0 ? { value: JSON.stringify(Object.fromEntries(entries)) } : {};
    },
    write(template, value, at) {
      if (value === undefined) return template;
      const parsed = codec.toV2(value, at);
      if (!isObject(parsed)) throw invalid(`${at}: invalid value '${value}': must be a JSON map by container.`);
      const names = new Set(containersOf(template).map(({ name = '' }) => name));
      const unknown = Object.keys(parsed).find(name => !names.has(name));
      if (unknown !== undefined) throw invalid(`${at}: there is no container '${unknown}'.`);
      return withContainers(template, container => {
        const name = container.name ?? '';
        return Object.hasOwn(parsed, name) ? set(container, parsed[name] as T, at) : container;
      });
    },
  };
}

/** CPU is only allocated during requests unless the annotation says otherwise (gcloud run deploy, --cpu-throttling). */
const cpuThrottling: Spread = {
  annotation: 'run.googleapis.com/cpu-throttling',
  read(template) {
    const container = containersOf(template)[ingressOf(template)];
    return container?.resources && !container.resources.cpuIdle ? { value: 'false' } : {};
  },
  write(template, value, at) {
    const cpuIdle = value === undefined || readFlag(value, at);
    return withContainers(template, container => ({ ...container, resources: { ...container.resources, cpuIdle } }));
  },
};

const startupCpuBoost: Spread = {
  annotation: 'run.googleapis.com/startup-cpu-boost',
  read: template =>
    containersOf(template).some(({ resources }) => resources?.startupCpuBoost) ? { value: 'true' } : {},
  write(template, value, at) {
    if (value === undefined || !readFlag(value, at)) return template;
    return withContainers(template, container => ({
      ...container,
      resources: { ...container.resources, startupCpuBoost: true },
    }));
  },
};

/** In v2 a volume of the name `cloudsql`, mounted at /cloudsql. */
const cloudSql: Spread = {
  annotation: 'run.googleapis.com/cloudsql-instances',
  read(template) {
    const volume = template.volumes?.find(({ cloudSqlInstance }) => cloudSqlInstance);
    if (!volume) return {};
    const volumes = template.volumes?.filter(other => other !== volume) ?? [];
    const rest = withContainers({ ...template, volumes }, container => ({
      ...container,
      ...(container.volumeMounts && {
        volumeMounts: container.volumeMounts.filter(({ name }) => name !== volume.name),
      }),
    }));
    return { value: volume.cloudSqlInstance?.instances?.join(',') ?? '', rest };
  },
  write(template, value = '') {
    const instances = listed(value);
    if (instances.length === 0) return template;
    const volumes = [...(template.volumes ?? []), { name: 'cloudsql', cloudSqlInstance: { instances } }];
    return withContainers({ ...template, volumes }, container => ({
      ...container,
      volumeMounts: [...(container.volumeMounts ?? []), { name: 'cloudsql', mountPath: '/cloudsql' }],
    }));
  },
};

/** The template with other names of secrets, in variables and volumes. */
function renameSecrets(template: Template, rename: (secret: string) => string): Template {
  const ofEnv = (entry: EnvVar): EnvVar => {
    const reference = entry.valueSource?.secretKeyRef;
    if (!reference?.secret) return entry;
    return { ...entry, valueSource: { secretKeyRef: { ...reference, secret: rename(reference.secret) } } };
  };
  return {
    ...withContainers(template, container => ({
      ...container,
      ...(container.env && { env: container.env.map(ofEnv) }),
    })),
    ...(template.volumes && {
      volumes: template.volumes.map(volume =>
        volume.secret?.secret
          ? { ...volume, secret: { ...volume.secret, secret: rename(volume.secret.secret) } }
          : volume,
      ),
    }),
  };
}

function secretsIn(template: Template): Set<string> {
  const names = new Set<string>();
  renameSecrets(template, secret => {
    names.add(secret);
    return secret;
  });
  return names;
}

/**
 * v1 names a secret of another project by an alias, which this annotation explains: `ALIAS:projects/P/secrets/S,…`. v2 does not keep
 * the alias, so it is made anew: of the form of gcloud's own (the beginning of the secret's id and a UUID), so that it
 * is no id of a secret by accident, and always the same for one secret.
 */
const secrets: Spread = {
  annotation: 'run.googleapis.com/secrets',
  read(template) {
    const foreign = [...secretsIn(template)].filter(secret => secret.includes('/'));
    const alias = (secret: string) => `${secret.split('/').at(-1)?.slice(0, 5)}-${uidOf(secret)}`;
    if (foreign.length === 0) return {};
    return {
      value: foreign.map(secret => `${alias(secret)}:${secret}`).join(','),
      rest: renameSecrets(template, secret => (secret.includes('/') ? alias(secret) : secret)),
    };
  },
  write(template, value, at) {
    const pairs = listed(value ?? '').map(pair => pair.split(':'));
    const wrong = pairs.find(
      pair => pair.length !== 2 || !pair[0] || !/^projects\/[^/]+\/secrets\/[^/]+$/.test(pair[1] ?? ''),
    );
    if (wrong) throw invalid(`${at}: invalid value '${value}': must have the form ALIAS:projects/P/secrets/S,…`);
    const names = new Map(pairs.map(([alias = '', name = '']) => [alias, name]));
    const twice = pairs.find(([alias = '', name]) => names.get(alias) !== name);
    if (twice) throw invalid(`${at}: the alias '${twice[0]}' has two meanings.`);
    return renameSecrets(template, secret => names.get(secret) ?? secret);
  },
};

interface StoredSource {
  bucket?: string;
  object?: string;
  generation?: string;
}

export const spread: readonly Spread[] = [
  cpuThrottling,
  startupCpuBoost,
  byContainer<string[]>(
    'run.googleapis.com/container-dependencies',
    ({ dependsOn }) => (dependsOn?.length ? dependsOn : undefined),
    (container, dependsOn) => ({ ...container, dependsOn }),
    // Google's samples write {nginx: [hello]}, which is no JSON.
    containerNames,
  ),
  byContainer<string>(
    'run.googleapis.com/base-images',
    ({ baseImageUri }) => baseImageUri,
    (container, baseImageUri) => ({ ...container, baseImageUri }),
  ),
  byContainer<string>(
    'run.googleapis.com/sources',
    ({ sourceCode }) => {
      const source = sourceCode?.cloudStorageSource as StoredSource | undefined;
      return source && `gs://${source.bucket}/${source.object}${source.generation ? `#${source.generation}` : ''}`;
    },
    (container, url, at) => {
      const [, bucket, object, generation] = /^gs:\/\/([^/]+)\/([^#]+)(?:#(\d+))?$/.exec(url) ?? [];
      if (!bucket) throw invalid(`${at}: invalid value '${url}': must have the form gs://BUCKET/OBJECT#GENERATION.`);
      return {
        ...container,
        sourceCode: { cloudStorageSource: { bucket, object, ...(generation && { generation }) } },
      };
    },
  ),
  cloudSql,
  secrets,
];
