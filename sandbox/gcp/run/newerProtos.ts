/**
 * What Cloud Run's discovery document (run v2, revision 20261031, as PyPI's google-api-python-client 2.202.0 carries it) has
 * and the protos of the npm package @google-cloud/run 4.2.0 lack, as far as services and revisions go; in the form of
 * those protos. Field numbers are not Google's: only JSON is spoken here.
 */

/** A field's type; `[T]` is a list, `{T}` a map with text as keys. */
type Fields = Record<string, string>;

let id = 1000;

function message(fields: Fields, more: object = {}): object {
  const described = Object.entries(fields).map(([name, type]) => {
    const [, list, map] = /^\[(.+)\]$|^\{(.+)\}$/.exec(type) ?? [];
    const plain = { type: list ?? map ?? type, id: ++id };
    return [name, { ...plain, ...(list && { rule: 'repeated' }), ...(map && { keyType: 'string' }) }];
  });
  return { fields: Object.fromEntries(described), ...more };
}

const values = (...names: string[]): object => ({
  values: Object.fromEntries(names.map((name, number) => [name, number])),
});

/** The settings that a template and its revisions share. */
const TEMPLATE: Fields = {
  ambientNetworking: 'AmbientNetworking',
  client: 'string',
  clientVersion: 'string',
  sandboxes: 'SandboxConfiguration',
  workloadIdentityConfig: 'WorkloadIdentityConfig',
};

export const newerRunProtos = {
  nested: {
    UpdateServiceRequest: message({ forceNewRevision: 'bool' }),
    Service: message(
      { functionalType: 'FunctionalType', sshEnabled: 'bool' },
      {
        nested: {
          FunctionalType: values('FUNCTIONAL_TYPE_UNSPECIFIED', 'FUNCTIONAL_TYPE_AGENT', 'FUNCTIONAL_TYPE_MCP_SERVER'),
        },
      },
    ),
    RevisionTemplate: message(TEMPLATE),
    Revision: message(TEMPLATE),
    RevisionScaling: message({ cpuUtilization: 'float', concurrencyUtilization: 'float' }),
    Container: message({ sandboxLauncher: 'bool', buildConfig: 'BuildConfiguration' }),
    // Of a readiness probe; not in the discovery document, but Google's Terraform provider sets it (terraform-google-modules/docs-examples,
    // cloudrunv2_service_readiness_probes).
    Probe: message({ successThreshold: 'int32' }),
    Volume: message({ filestore: 'FilestoreVolumeSource' }, { oneofs: { volumeType: { oneof: ['filestore'] } } }),
    EmptyDirVolumeSource: { nested: { Medium: { values: { DISK: 2 } } } },
    SourceCode: message({ inlinedSource: 'InlinedSource' }, { oneofs: { sourceType: { oneof: ['inlinedSource'] } } }),
    AmbientNetworking: message(
      { enabled: 'bool', ambientScope: 'AmbientScope' },
      {
        nested: { AmbientScope: values('AMBIENT_SCOPE_UNSPECIFIED', 'AMBIENT_SCOPE_REGIONAL', 'AMBIENT_SCOPE_GLOBAL') },
      },
    ),
    WorkloadIdentityConfig: message(
      { identity: 'string', identityCertificateEnabled: 'bool', identityType: 'IdentityType' },
      {
        nested: {
          IdentityType: values(
            'IDENTITY_TYPE_UNSPECIFIED',
            'IDENTITY_TYPE_SERVICE_ACCOUNT',
            'IDENTITY_TYPE_AGENT_IDENTITY',
          ),
        },
      },
    ),
    SandboxConfiguration: message({ templates: '[SandboxTemplate]' }),
    SandboxTemplate: message({
      name: 'string',
      image: 'string',
      command: '[string]',
      args: '[string]',
      env: '[EnvVar]',
      volumeMounts: '[VolumeMount]',
      workingDir: 'string',
    }),
    FilestoreVolumeSource: message({ volume: 'string' }),
    BuildConfiguration: message({
      buildpacksBuild: 'BuildpacksBuild',
      dockerBuild: 'DockerBuild',
      imageRepositoryUri: 'string',
      serviceAccount: 'string',
      tags: '[string]',
      workerConfiguration: 'WorkerConfiguration',
    }),
    BuildpacksBuild: message({
      buildBaseImageUri: 'string',
      cacheImageUri: 'string',
      environmentVariables: '{string}',
    }),
    DockerBuild: message({}),
    WorkerConfiguration: message({ cloudBuildWorkerConfiguration: 'CloudBuildWorkerConfiguration' }),
    CloudBuildWorkerConfiguration: message({ machineType: 'string', workerPool: 'string' }),
    InlinedSource: message({ sources: '[SourceFile]' }),
    SourceFile: message({ filename: 'string', content: 'string' }),
  },
};
