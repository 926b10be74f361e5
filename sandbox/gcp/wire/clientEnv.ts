import { basename, join } from 'node:path';

/**
 * The text of `DIR/env`: exports that point gcloud and client libraries at the local Google Cloud, and at nothing else.
 * gcloud keeps its configuration below `stateDir`, so that the user's own stays untouched. `url` is GcpServer's.
 *
 * The server is gcloud's proxy too: `gcloud run` puts the region before the endpoint's host (connection_context.py,
 * DeriveRegionalEndpoint), a name that nobody can resolve, and would else say nothing about why it does not work; and what
 * is not here never reaches the real Google Cloud.
 */
export function envText(options: EnvOptions): string {
  return Object.entries(variablesOf(options))
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');
}

/** The text of `DIR/env.off`: a shell that has sourced `DIR/env` no longer points at the local Google Cloud, nor at its cluster. */
export function envOffText(options: EnvOptions): string {
  const kubeconfig = `*${quoted(`${basename(options.stateDir)}/kubeconfig`)}`;
  return [
    `unset ${Object.keys(variablesOf(options)).join(' ')}\n`,
    `case "\${KUBECONFIG-}" in ${kubeconfig}) unset KUBECONFIG ;; esac\n`,
  ].join('');
}

interface EnvOptions {
  url: string;
  project: string;
  stateDir: string;
}

/**
 * APIs that the local Google Cloud does not have and that people use beside Cloud Run. With an endpoint here gcloud prints the server's
 * message at once. Without one, gcloud meets the proxy's refusal of CONNECT, repeats it for 30 s and reports a crash of its own.
 */
const ABSENT = [
  ...[
    'accesscontextmanager',
    'aiplatform',
    'binaryauthorization',
    'cloudasset',
    'cloudbilling',
    'cloudkms',
    'cloudquotas',
  ],
  ...[
    'cloudscheduler',
    'container',
    'containeranalysis',
    'dns',
    'eventarc',
    'iap',
    'monitoring',
    'networkservices',
    'orgpolicy',
  ],
  ...['policytroubleshooter', 'pubsub', 'recommender', 'redis', 'sql', 'vpcaccess', 'workflows'],
];

function variablesOf(options: EnvOptions): Record<string, string> {
  const endpoint = `${options.url}/`;
  const { hostname, port } = new URL(endpoint);
  return {
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE: endpoint,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${endpoint}storage/v1/`,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: `${endpoint}compute/v1/`,
    ...Object.fromEntries(ABSENT.map(api => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api.toUpperCase()}`, endpoint])),
    CLOUDSDK_PROXY_TYPE: 'http',
    CLOUDSDK_PROXY_ADDRESS: hostname,
    CLOUDSDK_PROXY_PORT: port,
    CLOUDSDK_CORE_PROJECT: options.project,
    CLOUDSDK_CONFIG: join(options.stateDir, 'gcloud'),
    CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
    CLOUDSDK_CORE_DISABLE_PROMPTS: 'true',
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
    CLOUDSDK_CORE_CHECK_GCE_METADATA: 'false',
    CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API: 'false',
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
    CLOUDSDK_SURVEY_DISABLE_PROMPTS: 'true',
    GOOGLE_CLOUD_PROJECT: options.project,
  };
}

const quoted = (value: string) => (/^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);
