import type { JsonObject } from '../../../ports/json.ts';
import { jsonObjects } from '../specValues.ts';
import { servingContainer } from '../template.ts';
import type { TenantSpec } from '../types.ts';
import { SIDECARS } from './sidecarSpec.ts';
import { sidecarMounting, VOLUMES } from './volumeFields.ts';

/**
 * Names of the spec that something else has on the service. Cloud Run accepts each name of a container and of a volume once, and the
 * operator renames nothing: whoever deploys it may know it by this name. The template stays as it is until the spec has another name.
 */

/** The message for the first such name. Undefined: there is none. */
export const takenName = (spec: TenantSpec, template: JsonObject): string | undefined =>
  takenSidecar(spec, template) ?? takenVolume(spec, template);

function takenSidecar({ fields = {} }: TenantSpec, template: JsonObject): string | undefined {
  const name = String(servingContainer(template).name ?? '');
  if (fields[`${SIDECARS}.${name}`] === undefined) return undefined;
  return (
    `spec.sidecars has ${name}, which is the name of the container that receives the requests. Choose another name for the ` +
    'sidecar. If another container should receive the requests, move `ports` there with `gcloud run services replace`.'
  );
}

/** A volume of another kind, such as a secret or a bucket, that a sidecar mounts. One that no sidecar mounts is replaced. */
function takenVolume({ fields = {} }: TenantSpec, template: JsonObject): string | undefined {
  const others = jsonObjects(template.volumes).filter(
    ({ name, emptyDir }) => emptyDir === undefined && fields[`${VOLUMES}.${name}`] !== undefined,
  );
  for (const { name } of others) {
    const user = sidecarMounting(template, name);
    if (user === undefined) continue;
    return (
      `spec.volumes has ${name}, which is the name of a volume of another kind that the container ${user.name} mounts. ` +
      'Choose another name for the volume.'
    );
  }
  return undefined;
}
