/** What the console shows of the tenants. Its server sends this to its page, which knows nothing else of the sandbox. */

/** The faults that a user of the console can cause. `outage` concerns all of Google Cloud, every other one a single tenant. */
export const BREAKERS = ['key', 'consent', 'permission', 'drift', 'deletion', 'image', 'outage'] as const;
export type Breaker = (typeof BREAKERS)[number];

/** `NAMESPACE/NAME` of a tenant. */
export type TenantKey = string;

/** What a user of the console did. `end`: the outage ended by itself. */
export type Press = { what: Breaker; how: 'break' | 'mend' | 'end' } | { what: 'check'; how: 'ask' };

/** A line of the timeline. `at` is the wall clock in milliseconds. */
export type Moment = { at: number; id: string } & (
  | ({ from: 'user' } & Press)
  | { from: 'event'; warning: boolean; reason: string; message: string; count: number }
  | { from: 'ready'; status: string; reason: string }
);

export interface ConditionPicture {
  type: string;
  status: string;
  reason: string;
  message: string;
}

/** A key of the tenant and its secret, as they are in Google Cloud now. */
export interface KeyPicture {
  name: string;
  /** The variable of the service that holds it. Undefined: a standby key. */
  env?: string;
  /** The secret's full name, and its last part. */
  path: string;
  secret: string;
  exists: boolean;
  /** Newest first; `state` is ENABLED, DISABLED or DESTROYED. */
  versions: { number: string; state: string }[];
  /** The version that the operator has pinned. */
  live?: string;
  consents: boolean;
  granted: boolean;
}

export interface RevisionPicture {
  name: string;
  image: string;
  state: 'ready' | 'starting' | 'failed';
  /** The share of the traffic that it gets, 0 to 100. */
  percent: number;
}

export interface ServicePicture {
  path: string;
  name: string;
  region: string;
  url: string;
  isPublic: boolean;
  minInstances: number;
  maxInstances: number;
  /** Newest first. */
  revisions: RevisionPicture[];
}

/** One tenant: what it should be (spec), what the operator says (conditions) and what Google Cloud has. */
export interface TenantPicture {
  key: TenantKey;
  wanted: { minInstances: number; maxInstances: number; image?: string };
  conditions: ConditionPicture[];
  account: { email: string; exists: boolean };
  keys: KeyPicture[];
  service?: ServicePicture;
  /** True if the status names a URL: a service that is missing was there before. */
  hasServed: boolean;
  /** The faults that are in force now. */
  broken: Breaker[];
  /** Newest first. */
  moments: Moment[];
  /** The last lines that the operator and the tenant's newest revision have logged. */
  logs: { operator: string; service: string };
}

export interface ConsoleState {
  tenants: { key: TenantKey; status: string; reason: string }[];
  /** Why the tenants cannot be watched. Undefined while they are. */
  trouble?: string;
  /** Wall clock in milliseconds. Undefined: Google Cloud answers. */
  outageEndsAt?: number;
  /** The chosen tenant. Undefined if there is none of that key. */
  picture?: TenantPicture;
}

/** What a tenant answered to `POST /chat`. `status` is 0 if there was no answer. */
export interface ChatAnswer {
  status: number;
  text: string;
}
