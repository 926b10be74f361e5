import { fileURLToPath } from 'node:url';
import { compileCache } from './supervisor.ts';

/** A program of this machine that runs in place of a container image. */
export interface LocalImage {
  /**
   * The image's repository without tag or digest: whole (`gcr.io/cloudrun/hello`), or the beginning of its last part with a
   * `*` (`ai-backend*`).
   */
  name: string;
  /** Its entrypoint; what it is told, as in a container, is `PORT` and the rest of the environment. */
  command: [string, ...string[]];
  /** Only takes the place of what this machine can't run: it is told the image, and the port of its startup probe. */
  isStandIn?: boolean;
  /** Variables of the image itself; the service's own win. */
  env?: Record<string, string>;
}

/** Images that services often have beside their own: OpenTelemetry's collector, Google's build of it, and the Cloud SQL proxy. */
const SIDECARS = ['opentelemetry-collector*', 'otelcol-google*', 'cloud-sql-proxy*'];

/** An image whose process runs and never listens on its port. The sandbox's console deploys it. */
export const NEVER_LISTENS = 'never-listens';
const NEVER_LISTENS_CODE = "console.log('This image never listens on its port.'); setInterval(() => {}, 3_600_000);";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/**
 * The images that the sandbox knows by itself: this repository's backend, Google's hello page, one that never listens, and
 * stand-ins for common sidecars. `backendEnv` are defaults for the backend that its service need not name, such as
 * `OPENAI_BASE_URL`.
 */
export function builtInImages(backendEnv: Record<string, string> = {}): LocalImage[] {
  const standIn: LocalImage['command'] = [process.execPath, file('./standIn.ts')];
  const hello: LocalImage['command'] = [process.execPath, file('./hello.ts')];
  // As the image of the backend has it.
  const env = compileCache();
  return [
    {
      name: 'ai-backend*',
      command: [process.execPath, file('../../../backend/main.ts')],
      env: { ...env, HOST: '127.0.0.1', ...backendEnv },
    },
    { name: 'gcr.io/cloudrun/hello', command: hello, env },
    { name: 'us-docker.pkg.dev/cloudrun/container/hello', command: hello, env },
    { name: NEVER_LISTENS, command: [process.execPath, '-e', NEVER_LISTENS_CODE] },
    // Its shell ends at once, because nobody writes to it.
    { name: 'busybox', command: [process.execPath, '-e', ''] },
    ...SIDECARS.map(name => ({ name, command: standIn, isStandIn: true, env })),
  ];
}

/** The first of `images` that stands for an image reference; undefined: nobody knows it, as a missing image. */
export function localImage(images: readonly LocalImage[], reference: string): LocalImage | undefined {
  const repository = reference.replace(/@sha256:[0-9a-f]+$/, '').replace(/:[^:/]+$/, '');
  const last = repository.split('/').pop() ?? '';
  return images.find(({ name }) =>
    name.endsWith('*') ? last.startsWith(name.slice(0, -1)) : repository === name || last === name,
  );
}

/**
 * Variables that decide which code a process of this machine runs, or what it loads: of Node.js, of the dynamic linker, of
 * the C library, of shells and other languages' runtimes, and every search path. In a container they reach only what is in it;
 * here they would reach this machine.
 */
const DECIDES_CODE =
  /^(NODE_.*|LD_.*|DYLD_.*|GLIBC_.*|MALLOC_.*|UV_.*|npm_.*|OPENSSL_.*|SSL_CERT_.*|PYTHON.*|PERL.*|RUBY.*|GEM_.*|JAVA_.*|_JAVA_.*|JDK_.*|CLASSPATH|GCONV_PATH|LOCPATH|BASH_.*|ENV|IFS|SHELL.*|PROMPT_COMMAND|ZDOTDIR|HOSTALIASES|(GIT|DOTNET|CORECLR|DENO|BUN|ERL|LUA|PHP)_.*|.*PATH)$/i;

/** A service's variables without those that a local process must not get, and the names of these. */
export function withoutCodeVariables(env: Record<string, string>): { env: Record<string, string>; left: string[] } {
  const left = Object.keys(env).filter(name => DECIDES_CODE.test(name));
  return { env: Object.fromEntries(Object.entries(env).filter(([name]) => !left.includes(name))), left };
}
