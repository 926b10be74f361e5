import { type Document, parseAllDocuments } from 'yaml';
import { AS_KUBECTL, contentOf, yamlProblem } from './kubectlYaml.ts';

/**
 * Parses one kubeconfig as client-go does (tools/clientcmd/api/v1): unknown fields are ignored; a value of the wrong type is an error,
 * and so are two entries of the same name. A string field that is missing is ''.
 */

export interface NamedCluster {
  name: string;
  server: string;
  tlsServerName: string;
  skipTlsVerify: boolean;
  caFile: string;
  /** PEM. */
  caData: string;
  proxyUrl: string;
  disableCompression: boolean;
  /** The extension of the cluster that exec plug-ins are given. */
  execConfig: unknown;
}

export interface NamedUser {
  name: string;
  certFile: string;
  certData: string;
  keyFile: string;
  keyData: string;
  token: string;
  tokenFile: string;
  as: string;
  asUid: string;
  asGroups: string[];
  asExtra: [string, string[]][];
  username: string;
  password: string;
  authProvider: string | undefined;
  exec: NamedExec | undefined;
}

interface NamedExec {
  command: string;
  args: string[];
  env: { name: string; value: string }[];
  apiVersion: string;
  installHint: string;
  provideClusterInfo: boolean;
  interactiveMode: string;
}

export interface KubeconfigFile {
  clusters: Map<string, NamedCluster>;
  users: Map<string, NamedUser>;
  contexts: Map<string, { cluster: string; user: string; namespace: string }>;
  currentContext: string;
}

const EXEC_EXTENSION = 'client.authentication.k8s.io/exec';

class WrongType extends Error {}

/** The file's entries by their names. If the file has a mistake, the answer is a text that describes it. */
export function parseKubeconfig(text: string): KubeconfigFile | string {
  const empty: KubeconfigFile = { clusters: new Map(), users: new Map(), contexts: new Map(), currentContext: '' };
  const [document] = parseAllDocuments(text, AS_KUBECTL);
  if (!document || !('errors' in document)) return empty;
  const [error] = document.errors;
  if (error) return `line ${yamlProblem(error).line}: ${yamlProblem(error).message}`;
  try {
    const value = contentOf(document as Document);
    return value === null || value === undefined ? empty : readFile(new Fields(value, ''));
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

function readFile(file: Fields): KubeconfigFile {
  const [apiVersion, kind] = [file.text('apiVersion') || 'v1', file.text('kind') || 'Config'];
  if (apiVersion !== 'v1' || kind !== 'Config')
    throw new WrongType(`it is a ${kind} of ${apiVersion}, not a Config of v1`);
  return {
    clusters: named(file, 'clusters', 'cluster', readCluster),
    users: named(file, 'users', 'user', readUser),
    contexts: named(file, 'contexts', 'context', (_, context) => ({
      cluster: context.text('cluster'),
      user: context.text('user'),
      namespace: context.text('namespace'),
    })),
    currentContext: file.text('current-context'),
  };
}

function named<T>(file: Fields, list: string, key: string, read: (name: string, fields: Fields) => T): Map<string, T> {
  const out = new Map<string, T>();
  for (const entry of file.list(list)) {
    const name = entry.text('name');
    if (out.has(name)) throw new WrongType(`${list} has ${JSON.stringify(name)} twice`);
    out.set(name, read(name, entry.object(key) ?? new Fields({}, '')));
  }
  return out;
}

function readCluster(name: string, fields: Fields): NamedCluster {
  return {
    name,
    server: fields.text('server'),
    tlsServerName: fields.text('tls-server-name'),
    skipTlsVerify: fields.boolean('insecure-skip-tls-verify'),
    caFile: fields.text('certificate-authority'),
    caData: fields.base64('certificate-authority-data'),
    proxyUrl: fields.text('proxy-url'),
    disableCompression: fields.boolean('disable-compression'),
    execConfig: fields.list('extensions').find(one => one.text('name') === EXEC_EXTENSION)?.values.extension,
  };
}

function readUser(name: string, fields: Fields): NamedUser {
  return {
    name,
    certFile: fields.text('client-certificate'),
    certData: fields.base64('client-certificate-data'),
    keyFile: fields.text('client-key'),
    keyData: fields.base64('client-key-data'),
    token: fields.text('token'),
    tokenFile: fields.text('tokenFile'),
    as: fields.text('as'),
    asUid: fields.text('as-uid'),
    asGroups: fields.texts('as-groups'),
    asExtra: readExtra(fields.object('as-user-extra')),
    username: fields.text('username'),
    password: fields.text('password'),
    authProvider: fields.object('auth-provider')?.text('name'),
    exec: readExec(fields.object('exec')),
  };
}

function readExtra(extra: Fields | undefined): [string, string[]][] {
  return extra ? Object.keys(extra.values).map(key => [key, extra.texts(key)]) : [];
}

function readExec(exec: Fields | undefined): NamedExec | undefined {
  return (
    exec && {
      command: exec.text('command'),
      args: exec.texts('args'),
      env: exec.list('env').map(one => ({ name: one.text('name'), value: one.text('value') })),
      apiVersion: exec.text('apiVersion'),
      installHint: exec.text('installHint'),
      provideClusterInfo: exec.boolean('provideClusterInfo'),
      interactiveMode: exec.text('interactiveMode'),
    }
  );
}

/** Reads the fields of one object, each with its expected type. Null counts as missing. */
class Fields {
  readonly values: Record<string, unknown>;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new WrongType(`${path || 'it'} must be an object`);
    }
    this.values = value as Record<string, unknown>;
    this.#path = path;
  }

  text(key: string): string {
    return this.#get(key, 'a text', '', (value): value is string => typeof value === 'string');
  }

  boolean(key: string): boolean {
    return this.#get(key, 'true or false', false, (value): value is boolean => typeof value === 'boolean');
  }

  texts(key: string): string[] {
    const isText = (one: unknown) => typeof one === 'string';
    return this.#get(
      key,
      'a list of texts',
      [],
      (value): value is string[] => Array.isArray(value) && value.every(isText),
    );
  }

  list(key: string): Fields[] {
    const values = this.#get(key, 'a list', [], (value): value is unknown[] => Array.isArray(value));
    return values.map((value, index) => new Fields(value ?? {}, `${this.#at(key)}[${index}]`));
  }

  object(key: string): Fields | undefined {
    const value = this.values[key];
    return value === undefined || value === null ? undefined : new Fields(value, this.#at(key));
  }

  /** The text that base64 stands for. */
  base64(key: string): string {
    const text = this.text(key).replace(/[\r\n]/g, '');
    if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
      throw new WrongType(`${this.#at(key)} must be base64`);
    }
    return Buffer.from(text, 'base64').toString();
  }

  #get<T>(key: string, what: string, missing: T, is: (value: unknown) => value is T): T {
    const value = this.values[key];
    if (value === undefined || value === null) return missing;
    if (!is(value)) throw new WrongType(`${this.#at(key)} must be ${what}`);
    return value;
  }

  #at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }
}
