import type { Json, JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handlers, LoggedLine } from '../contracts.ts';
import { denied, invalid } from '../errors.ts';
import { filtered } from '../filter.ts';
import { page } from '../paging.ts';

/**
 * Cloud Logging, as far as it lists entries: what the instances of Cloud Run have printed. `lines` answers those that are kept, the
 * oldest first.
 */
export function loggingHandlers(cloud: Cloud, lines: () => LoggedLine[]): Handlers {
  return {
    'logging.entries.list': (request, caller) => {
      const asked = (request.listLogEntriesRequest ?? {}) as JsonObject;
      const projects = projectsOf(cloud, asked);
      const permission = 'logging.logEntries.list';
      for (const project of projects) {
        const name = `projects/${project}`;
        if (!cloud.permitted(permission, name, caller)) throw denied(permission, name);
      }
      const own = lines().filter(({ service }) => projects.has(service.split('/')[1] ?? ''));
      const wanted = filtered(String(asked.filter ?? ''), own, entryOf);
      const isNewestFirst = /\bdesc$/.test(String(asked.orderBy ?? ''));
      const order = isNewestFirst ? 'newest first' : 'oldest first';
      const { items, nextPageToken } = page(isNewestFirst ? wanted.toReversed() : wanted, asked, {
        default: 50,
        max: 1000,
        order,
      });
      return { entries: items.map(entryOf), nextPageToken };
    },
  };
}

/** The ids of the projects that are asked about. Throws INVALID_ARGUMENT. */
function projectsOf(cloud: Cloud, { resourceNames, projectIds }: JsonObject): Set<string> {
  const names = [
    ...((resourceNames ?? []) as string[]),
    ...((projectIds ?? []) as string[]).map(id => `projects/${id}`),
  ];
  if (names.length === 0) throw invalid('At least one resource name is required: projects/PROJECT.');
  return new Set(
    names.map(name => {
      const [, project] = /^projects\/([^/]+)/.exec(name) ?? [];
      if (!project) throw invalid(`Resource '${name}' is not supported by the local Google Cloud: only projects are.`);
      return cloud.project(project).id;
    }),
  );
}

/**
 * google.logging.v2.LogEntry of a line. A line of JSON is a jsonPayload, with its time and severity (Cloud Run, "Logging and viewing
 * logs"). Unlike the real service this one answers its text as well, because `gcloud run services logs read` (528) fails on an entry
 * without textPayload.
 */
function entryOf({ sequence, service, revision, at, text }: LoggedLine): JsonObject {
  const [, project = '', , location = '', , id = ''] = service.split('/');
  const { time, timestamp, severity, ...jsonPayload } = structured(text) ?? {};
  const received = new Date(at).toISOString();
  return {
    insertId: String(sequence),
    logName: `projects/${project}/logs/run.googleapis.com%2Fstdout`,
    resource: {
      type: 'cloud_run_revision',
      labels: {
        project_id: project,
        location,
        service_name: id,
        revision_name: revision,
        configuration_name: id,
      },
    },
    timestamp: timeOf(time) ?? timeOf(timestamp) ?? received,
    receiveTimestamp: received,
    severity: typeof severity === 'string' ? severity.toUpperCase() : 'DEFAULT',
    ...(Object.keys(jsonPayload).length > 0 && { jsonPayload }),
    textPayload: text,
  };
}

/** A time as RFC 3339 writes it, with a year of four digits. */
function timeOf(value: Json | undefined): string | undefined {
  const at = typeof value === 'string' ? new Date(value) : undefined;
  if (at === undefined || Number.isNaN(at.getTime())) return undefined;
  const text = at.toISOString();
  return /^\d{4}-/.test(text) ? text : undefined;
}

function structured(text: string): JsonObject | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const parsed: Json = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
