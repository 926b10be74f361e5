import type { Project } from '../contracts.ts';
import type { Sight } from '../freshness.ts';
import type { Container } from './containers.ts';
import type { Condition, Desired, Template, TrafficTarget } from './messages.ts';

/** A reason as the condition of a service, or of a revision, carries it. */
type Reason = { reason: string } | { revisionReason: string };

/** The reason why a revision is not ready, for the service's condition and the operation's error. */
export interface Failure {
  /** Without "Revision 'R' is not ready …". */
  message: string;
  reason: Reason;
}

export interface RevisionState {
  /** The revision's short name. */
  id: string;
  uid: string;
  sequence: number;
  template: Template;
  launchStage?: string;
  createTime: string;
  updateTime: string;
  creator?: string;
  /**
   * `pending`: not started yet. `starting`: its first instances are starting. `retired`: a newer revision replaced it before it
   * was ready.
   */
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
  /** Returns what the next read of the service finds. */
  sight: () => Sight;
  desired: Desired;
  generation: number;
  observedGeneration: number;
  /** The time of the last change by a client, in microseconds since the epoch. The etag contains it. */
  version: number;
  createTime: string;
  creator?: string;
  lastModifier?: string;
  uri: string;
  urls: string[];
  taggedUri: (tag: string) => string;
  /** In order of creation. */
  revisions: RevisionState[];
  /** The number of template changes so far. It is part of the next revision's name. */
  templateGeneration: number;
  latestCreated?: RevisionState;
  latestReady?: RevisionState;
  /** The traffic in force. A failed update does not change it. */
  serving: TrafficTarget[];
  reconciling: boolean;
  terminalCondition: Condition;
  conditions: Condition[];
  /** Operations that end when the service settles. */
  operations: string[];
  deleteTime?: string;
  cancelTimer?: () => void;
}
