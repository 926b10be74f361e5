import type { Project } from '../contracts.ts';
import type { Sight } from '../freshness.ts';
import type { Container } from './containers.ts';
import type { Condition, Desired, Template, TrafficTarget } from './messages.ts';

/** A reason as the condition of a service, or of a revision, carries it. */
type Reason = { reason: string } | { revisionReason: string };

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
