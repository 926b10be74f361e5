import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handler, Policy } from '../contracts.ts';

/**
 * The three methods of google.iam.v1.IAMPolicy for one kind of resource. `resourceOf` checks that the named resource exists
 * and returns the name under which its policy is stored.
 */
export function iamMethods(
  cloud: Cloud,
  resourceOf: (name: string) => string,
): { GetIamPolicy: Handler; SetIamPolicy: Handler; TestIamPermissions: Handler } {
  return {
    GetIamPolicy: request => {
      const { requestedPolicyVersion = 0 } = (request.options ?? {}) as { requestedPolicyVersion?: number };
      return json(cloud.policies.get(resourceOf(String(request.resource)), requestedPolicyVersion));
    },
    SetIamPolicy: request => {
      const resource = resourceOf(String(request.resource));
      const { auditConfigs, ...policy } = request.policy as JsonObject;
      // google/iam/v1/iam_policy.proto: without a mask, "bindings, etag" are changed and nothing else.
      const withAudit = String(request.updateMask ?? '')
        .split(',')
        .includes('auditConfigs');
      return json(cloud.policies.set(resource, withAudit ? { ...policy, auditConfigs: auditConfigs ?? [] } : policy));
    },
    TestIamPermissions: (request, caller) => {
      const resource = String(request.resource);
      resourceOf(resource);
      const permissions = (request.permissions ?? []) as string[];
      return { permissions: permissions.filter(permission => cloud.permitted(permission, resource, caller)) };
    },
  };
}

const json = (policy: Policy): JsonObject => ({ ...policy }) as unknown as JsonObject;
