/** The sandbox's Kubernetes API: an in-process core, and a thin HTTP face over it. */
export { createKubeCore, type KubeCore, type KubeCoreOptions } from './core.ts';
export type { FaultRule, Faults, KubeVerb, RequestInfo } from './faults.ts';
export type { KubeRequest, KubeResponse } from './http/request.ts';
export { type KubeServer, startKubeServer, writeKubeconfig } from './http/server.ts';
