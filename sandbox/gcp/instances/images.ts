import { fileURLToPath } from 'node:url';

/** What stands in for a container image on this machine. */
export interface LocalImage {
  /**
   * The image's repository without tag or digest: whole (`gcr.io/cloudrun/hello`), or the beginning of its last part with a
   * `*` (`ai-backend*`).
   */
  name: string;
  /** Its entrypoint; what it is told, as in a container, is `PORT` and the rest of the environment. */
  command: [string, ...string[]];
  /** Variables of the image itself; the service's own win. */
  env?: Record<string, string>;
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/**
 * The images that the sandbox knows by itself: this repository's backend and Google's hello page. `backendEnv` are
 * defaults for the backend that its service need not name, such as `OPENAI_BASE_URL`.
 */
export function builtInImages(backendEnv: Record<string, string> = {}): LocalImage[] {
  const hello: LocalImage['command'] = [process.execPath, file('./hello.ts')];
  return [
    {
      name: 'ai-backend*',
      command: [process.execPath, file('../../../backend/main.ts')],
      env: { HOST: '127.0.0.1', ...backendEnv },
    },
    { name: 'gcr.io/cloudrun/hello', command: hello },
    { name: 'us-docker.pkg.dev/cloudrun/container/hello', command: hello },
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
