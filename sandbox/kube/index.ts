/** The sandbox's Kubernetes API: an in-process core, and a thin HTTP face over it. */
export { createKubeCore, type KubeCore, type KubeCoreOptions } from './core.ts';
export { type KubeServer, startKubeServer, writeKubeconfig } from './http/server.ts';
