import type { KubeObject, KubeResource } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createKubeCore, type KubeCoreOptions } from '../../sandbox/kube/index.ts';

/** A clock that only `tick` moves, and randomness from a small generator. */
function virtualRuntime(start = Date.parse('2030-01-01T00:00:00Z')) {
  let now = 0;
  let seed = 1;
  let timers: { at: number; fn: () => void }[] = [];
  const runtime: Runtime = {
    now: () => start + now,
    monotonic: () => now,
    random() {
      seed = (seed * 16807) % 2147483647;
      return seed / 2147483647;
    },
    after(ms, fn) {
      const timer = { at: now + ms, fn };
      timers.push(timer);
      return () => {
        timers = timers.filter(each => each !== timer);
      };
    },
  };
  /** Lets `ms` pass, timer by timer. */
  function tick(ms = 0) {
    const end = now + ms;
    for (;;) {
      const [next] = timers.filter(timer => timer.at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      timers = timers.filter(each => each !== next);
      now = Math.max(now, next.at);
      next.fn();
    }
    now = end;
  }
  return { runtime, tick };
}

export const WIDGETS: KubeResource = {
  group: 'shop.example',
  version: 'v1',
  plural: 'widgets',
  kind: 'Widget',
  namespaced: true,
};
export const WIDGET_PATH = '/apis/shop.example/v1/namespaces/default/widgets';
export const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
export const CRDS: KubeResource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

export const widgetCrd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.shop.example' },
  spec: {
    group: 'shop.example',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        selectableFields: [{ jsonPath: '.spec.colour' }],
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
          { name: 'Colour', type: 'string', jsonPath: '.spec.colour', priority: 1 },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description: 'A widget of the shop.',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                description: 'What the widget should be.',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 1, maximum: 9, description: 'How big.' },
                  colour: { type: 'string', default: 'red', maxLength: 20, description: 'Its colour.' },
                  parts: {
                    type: 'array',
                    maxItems: 5,
                    description: 'What it is made of.',
                    items: {
                      type: 'object',
                      required: ['name'],
                      properties: {
                        name: { type: 'string', maxLength: 10, description: "The part's name." },
                        count: { type: 'integer', default: 1, description: 'How many of it.' },
                      },
                    },
                  },
                },
                'x-kubernetes-validations': [
                  { rule: "self.colour != 'black'", message: 'black is sold out; choose another colour' },
                ],
              },
              status: {
                type: 'object',
                properties: {
                  observedGeneration: { type: 'integer' },
                  conditions: {
                    type: 'array',
                    items: {
                      type: 'object',
                      required: ['type', 'status'],
                      properties: { type: { type: 'string' }, status: { type: 'string' } },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

export const widget = (name: string, spec: object = { size: 3 }, metadata: object = {}) => ({
  apiVersion: 'shop.example/v1',
  kind: 'Widget',
  metadata: { name, ...metadata },
  spec,
});

export const MERGE = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const STRATEGIC = 'application/strategic-merge-patch+json';
export const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export interface Answer {
  code: number;
  headers: Record<string, string>;
  // The tests look into answers of every shape.
  body: KubeObject & {
    code?: number;
    message?: string;
    reason?: string;
    details?: { causes?: { field: string; message: string; reason: string }[]; [key: string]: unknown };
    items?: KubeObject[];
    rows?: { cells: unknown[]; object: KubeObject | null }[];
    columnDefinitions?: { name: string; type: string; priority: number }[] | null;
  };
  text: string;
}

/** A core with the widget CRD in it, and one function to ask it over its HTTP protocol. */
export async function shop(options: Partial<KubeCoreOptions> = {}, withCrd = true) {
  const clock = virtualRuntime();
  const core = createKubeCore({ runtime: clock.runtime, ...options });

  async function ask(
    method: string,
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const response = await core.handle({ method, url, headers, body: text });
    if (!('body' in response)) throw new Error(`${method} ${url} was not answered with a body`);
    const answer = response.body.toString();
    const isJson = answer.startsWith('{');
    return { code: response.code, headers: response.headers, body: isJson ? JSON.parse(answer) : {}, text: answer };
  }

  /** Opens a watch; `events` fills as time passes. */
  async function watch(url: string, headers: Record<string, string> = {}) {
    const response = await core.handle({ method: 'GET', url, headers });
    if (!('start' in response)) throw new Error(`no stream but ${JSON.stringify(response)}`);
    const events: { type: string; object: KubeObject & { [key: string]: unknown } }[] = [];
    const state = { ended: false };
    const stop = response.start({
      write: line => void events.push(JSON.parse(line)),
      end: () => {
        state.ended = true;
      },
    });
    return {
      events,
      stop,
      get ended() {
        return state.ended;
      },
      told: () => events.map(({ type, object }) => `${type} ${object.metadata?.name ?? ''}`.trim()),
    };
  }

  if (withCrd) {
    const { code, text } = await ask('POST', CRD_PATH, widgetCrd);
    if (code !== 201) throw new Error(text);
  }
  return { core, ask, watch, ...clock };
}
