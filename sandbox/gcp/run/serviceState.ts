import type { JsonObject } from '../../../ports/json.ts';
import type { Project } from '../cloud.ts';
import type { Sight } from '../freshness.ts';
import type { Container } from './containers.ts';

/** The parts of google.cloud.run.v2 messages that the rules look at, as proto3 JSON; the rest is carried along. */
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
};

export type TrafficTarget = { type?: string; revision?: string; percent?: number; tag?: string };

export type TrafficStatus = TrafficTarget & { uri?: string };

export type ServiceScaling = {
  minInstanceCount?: number;
  maxInstanceCount?: number;
  scalingMode?: string;
  manualInstanceCount?: number;
};

/** What a client may set on a Service. */
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

export type Reason = { reason: string } | { revisionReason: string };

export type Condition = {
  type: string;
  state: string;
  message?: string;
  lastTransitionTime?: string;
  severity?: string;
  reason?: string;
  revisionReason?: string;
};

/** Why a revision is not ready: as the service's condition and its operation's error tell it. */
export interface Failure {
  /** Without "Revision 'R' is not ready …". */
  message: string;
  reason: Reason;
}

export interface RevisionState {
  /** Short name. */
  id: string;
  uid: string;
  sequence: number;
  template: Template;
  launchStage?: string;
  createTime: string;
  updateTime: string;
  creator?: string;
  /** `pending`: not started yet; `starting`: its first instance is coming up. */
  state: 'pending' | 'starting' | 'ready' | 'failed' | 'retired';
  failure?: Failure;
  conditions: Condition[];
  container?: Container;
}

export interface ServiceState {
  project: Project;
  location: string;
  id: string;
  uid: string;
  sequence: number;
  /** Whether one more read already sees it. */
  sight: () => Sight;
  desired: Desired;
  generation: number;
  observedGeneration: number;
  /** Microseconds since the epoch at the last change by a client; what the etag carries. */
  version: number;
  createTime: string;
  creator?: string;
  lastModifier?: string;
  uri: string;
  urls: string[];
  taggedUri: (tag: string) => string;
  /** In order of creation. */
  revisions: RevisionState[];
  /** Template changes so far: the number in the next revision's name. */
  templateGeneration: number;
  latestCreated?: RevisionState;
  latestReady?: RevisionState;
  /** The traffic in force, which a failed update leaves as it was. */
  serving: TrafficTarget[];
  reconciling: boolean;
  terminalCondition: Condition;
  conditions: Condition[];
  /** Operations that end when the service settles. */
  operations: string[];
  deleteTime?: string;
  cancelTimer?: () => void;
}
