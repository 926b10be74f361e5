import type { JsonObject } from '../../../../ports/json.ts';
import { invalid } from '../../errors.ts';
import { ingressOf } from '../instanceEnv.ts';
import type { Template } from '../messages.ts';
import { freeAnnotations, freeLabels, isEmpty, textMap } from './metadata.ts';
import { isObject, refuseUnknown, rowsToV1, rowsToV2 } from './rows.ts';
import { spread } from './spread.ts';
import { templateRows } from './templateRows.ts';

/** A v1 RevisionTemplate and the RevisionTemplate of v2. */

/** Says in v1 whether somebody asked for the startup probe that a template has (`Custom`) or nobody did (`Default`). */
const PROBE_TYPE = 'run.googleapis.com/startupProbeType';

const AT = 'spec.template';
const specRows = templateRows.filter(row => row.v1[0] === 'spec').map(row => ({ ...row, v1: row.v1.slice(1) }));
const selectorRows = specRows.filter(row => row.v1[0] === 'nodeSelector').map(row => ({ ...row, v1: row.v1.slice(1) }));
const KNOWN = new Set([
  ...templateRows.flatMap(({ v1 }) => (v1[1] === 'annotations' ? (v1[2] ?? []) : [])),
  ...spread.map(({ annotation }) => annotation),
]);

/** The v2 template that a v1 template asks for. Throws INVALID_ARGUMENT. */
export function templateToV2(v1: JsonObject): Template {
  const metadata = isObject(v1.metadata) ? v1.metadata : {};
  const annotations = textMap(metadata.annotations);
  const spec = isObject(v1.spec) ? v1.spec : {};
  refuseUnknown(specRows, spec, `${AT}.spec`, ['runtimeClassName', 'enableServiceLinks']);
  if (isObject(spec.nodeSelector)) refuseUnknown(selectorRows, spec.nodeSelector, `${AT}.spec.nodeSelector`);
  let template = rowsToV2(templateRows, v1, AT) as Template;
  for (const { annotation, write } of spread) {
    template = write(template, annotations[annotation], `${AT}.metadata.annotations[${annotation}]`);
  }
  const labels = freeLabels(textMap(metadata.labels));
  const free = freeAnnotations(annotations, KNOWN, `${AT}.metadata.annotations`);
  template = { ...template, ...(!isEmpty(labels) && { labels }), ...(!isEmpty(free) && { annotations: free }) };
  return textMap(metadata.labels)[PROBE_TYPE] === 'Default' ? withoutDefaultProbe(template) : template;
}

/** v1's template of a v2 template; v1 shows the same fields for a revision. */
export function templateToV1(v2: Template): JsonObject {
  let rest = v2;
  const said: Record<string, string> = {};
  for (const { annotation, read } of spread) {
    const found = read(rest);
    if (found.value !== undefined) said[annotation] = found.value;
    rest = found.rest ?? rest;
  }
  const v1 = rowsToV1(templateRows, rest as JsonObject);
  const metadata = isObject(v1.metadata) ? v1.metadata : {};
  return {
    ...v1,
    metadata: {
      ...metadata,
      labels: { ...v2.labels, ...probeType(v2) },
      annotations: { ...v2.annotations, ...textMap(metadata.annotations), ...said },
    },
  };
}

function probeType(template: Template): Record<string, string> {
  if (!template.containers?.[ingressOf(template)]?.startupProbe) return {};
  return { [PROBE_TYPE]: withoutDefaultProbe(template) === template ? 'Custom' : 'Default' };
}

/** The startup probe that Cloud Run gives to a container without one, but for its port. */
const DEFAULT_PROBE = { timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1 };

/** The template without the startup probe that it would get by itself. The same object if there is none. */
function withoutDefaultProbe(template: Template): Template {
  const ingress = ingressOf(template);
  const probe = template.containers?.[ingress]?.startupProbe;
  const { tcpSocket, ...numbers } = probe ?? {};
  const isDefault =
    tcpSocket !== undefined &&
    Object.keys(numbers).length === 3 &&
    Object.entries(DEFAULT_PROBE).every(([name, value]) => numbers[name] === value);
  if (!isDefault) return template;
  const containers = template.containers?.map((container, index) => {
    if (index !== ingress) return container;
    const { startupProbe: _, ...others } = container;
    return others;
  });
  return { ...template, containers };
}

/** v1's `apiVersion` and `kind`, as a client must send them. Throws INVALID_ARGUMENT. */
export function checkKind(given: JsonObject, kind: string): void {
  if (given.apiVersion === 'serving.knative.dev/v1' && given.kind === kind) return;
  throw invalid(
    `Expected apiVersion 'serving.knative.dev/v1' and kind '${kind}', got '${given.apiVersion ?? ''}' and '${given.kind ?? ''}'.`,
  );
}
