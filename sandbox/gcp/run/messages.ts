import type { JsonObject } from '../../../ports/json.ts';

/**
 * The parts of google.cloud.run.v2 messages that the rules read, as proto3 JSON. Fields without a type here are stored and
 * returned unchanged.
 */
export type EnvVar = {
  name?: string;
  value?: string;
  valueSource?: { secretKeyRef?: { secret?: string; version?: string } };
};

export type ContainerTemplate = {
  name?: string;
  image?: string;
  env?: EnvVar[];
  resources?: { limits?: Record<string, string>; cpuIdle?: boolean; startupCpuBoost?: boolean };
  ports?: { name?: string; containerPort?: number }[];
  startupProbe?: JsonObject;
  livenessProbe?: JsonObject;
  volumeMounts?: { name?: string; mountPath?: string; subPath?: string }[];
  dependsOn?: string[];
};

export type Volume = {
  name?: string;
  secret?: { secret?: string; items?: { path?: string; version?: string; mode?: number }[]; defaultMode?: number };
  emptyDir?: { medium?: string; sizeLimit?: string };
  gcs?: { bucket?: string; readOnly?: boolean };
  nfs?: { server?: string; path?: string; readOnly?: boolean };
  cloudSqlInstance?: { instances?: string[] };
};

export type Template = {
  revision?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  scaling?: { minInstanceCount?: number; maxInstanceCount?: number };
  timeout?: string;
  serviceAccount?: string;
  containers?: ContainerTemplate[];
  volumes?: Volume[];
  maxInstanceRequestConcurrency?: number;
  nodeSelector?: { accelerator?: string };
  vpcAccess?: { connector?: string; networkInterfaces?: { network?: string; subnetwork?: string }[] };
  encryptionKey?: string;
  executionEnvironment?: string;
};

export type TrafficTarget = { type?: string; revision?: string; percent?: number; tag?: string };

export type TrafficStatus = TrafficTarget & { uri?: string };

export type ServiceScaling = {
  minInstanceCount?: number;
  maxInstanceCount?: number;
  scalingMode?: string;
  manualInstanceCount?: number;
};

/** The fields of a Service that a client may set. */
export type Desired = {
  description?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ingress?: string;
  launchStage?: string;
  template?: Template;
  traffic?: TrafficTarget[];
  scaling?: ServiceScaling;
  invokerIamDisabled?: boolean;
  defaultUriDisabled?: boolean;
};

export type Condition = {
  type: string;
  state: string;
  message?: string;
  lastTransitionTime?: string;
  severity?: string;
  reason?: string;
  revisionReason?: string;
};
