import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import { permissionFor } from '../../sandbox/gcp/permissions.ts';

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Asked for beside a method's own: who deploys a service that runs as an account acts as that account. */
const BESIDE: Partial<Record<keyof typeof rpc, string>> = {
  createService: 'iam.serviceAccounts.actAs',
  updateService: 'iam.serviceAccounts.actAs',
};

/** What names a method without calling it: the table itself, what its errors mean, how it is put on the wire; and the tools of people. */
const NO_CALL = /^(gcp\/(methods|errors|iamStub|restStub|client)\.ts|cli\/)/;

/** The methods that the operator's sources call. */
function called(): (keyof typeof rpc)[] {
  const sources = readdirSync(new URL('../../operator/', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts') && !NO_CALL.test(path))
    .map(path => file(`operator/${path}`));
  const names = Object.keys(rpc) as (keyof typeof rpc)[];
  return names.filter(name => sources.some(text => new RegExp(`\\brpc\\.${name}\\b`).test(text)));
}

describe('the custom role', () => {
  const { includedPermissions } = parse(file('manifests/gcp/role.yaml')) as { includedPermissions: string[] };

  test('holds the permissions of the calls that the operator makes, and no other', () => {
    const needed = called().flatMap(name =>
      [permissionFor(rpc[name]) ?? `none known for ${name}`, BESIDE[name] ?? []].flat(),
    );
    expect(includedPermissions).toEqual([...new Set(needed)].sort());
  });

  test('lets nobody read a key, make a secret or a service account’s key, or become an account', () => {
    const never =
      /versions\.access|secrets\.(create|delete)|serviceAccountKeys|getAccessToken|signBlob|signJwt|setIamPolicy$/;
    expect(includedPermissions.filter(name => never.test(name))).toEqual([
      // Rule 1 of the contract holds what these write to one member; IAM can't be asked for less.
      'run.services.setIamPolicy',
      'secretmanager.secrets.setIamPolicy',
    ]);
  });

  test('is the same in Terraform', () => {
    const [, list = ''] = /permissions = \[([^\]]*)\]/.exec(file('manifests/gcp/terraform/main.tf')) ?? [];
    expect([...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name)).toEqual(includedPermissions);
  });

  test('every method that may leave the process is one of the three APIs that setup.sh enables', () => {
    const enabled = /services enable ([^-]*)--/.exec(file('manifests/gcp/setup.sh'))?.[1]?.trim().split(/\s+/);
    const used = new Set([...METHODS.values()].map(({ api }) => `${api}.googleapis.com`));
    expect(new Set(enabled)).toEqual(used);
  });
});
