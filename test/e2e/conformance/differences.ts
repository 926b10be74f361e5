/** A difference that stays: where, and why it may. One that matches nothing any more fails the test. */
export interface Known {
  at: RegExp;
  reason: string;
  /** Only where the sandbox has nothing to show; what it does show must be right. */
  absent?: true;
}

export const KNOWN: Known[] = [
  {
    at: /^discovery › version: \.body\.goVersion$/,
    reason: 'It is not written in Go.',
  },
  {
    at: /^discovery › (core resources|groups|aggregated|aggregated core): /,
    absent: true,
    reason: 'Only what a user of the operator meets is served: no pods, no deployments, no RBAC.',
  },
  {
    at: /^discovery › (core resources|aggregated core): .*\.services\.verbs$/,
    reason: 'Services are served for `kubectl get all` and `cluster-info`, which ask for them, and none can be made.',
  },
  {
    at: /^create › other kind: \.body\.(message|details\.causes)$/,
    reason: 'Of an object of another kind, refused for that, kube-apiserver also checks the rules, without defaults.',
  },
  {
    at: /^create › other group: \.warning$/,
    absent: true,
    reason:
      'Of an object of another version, refused for that, kube-apiserver also says that it knows none of its fields.',
  },
  {
    at: /\.storageVersionHash$/,
    absent: true,
    reason: 'A hint for those who migrate stored objects; there is nothing to migrate in memory.',
  },
];
