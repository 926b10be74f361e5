import { partialMetadata } from '../resources/table.ts';
import type { Reads } from '../verbs/reads.ts';
import type { WatchOptions } from '../verbs/watch.ts';
import { goJson } from './goJson.ts';
import { tableOf, type View } from './render.ts';
import type { KubeResponse } from './request.ts';
import { integer, listOptions } from './requestOptions.ts';

/** A watch as lines of JSON. */
export function watchStream(reads: Reads, view: View): KubeResponse & object {
  const { target, query, wanted } = view;
  const options: WatchOptions = {
    ...listOptions(query, true),
    timeoutSeconds: integer(query.get('timeoutSeconds')),
    allowWatchBookmarks: query.get('allowWatchBookmarks') === 'true' || query.get('allowWatchBookmarks') === '1',
    sendInitialEvents: query.has('sendInitialEvents')
      ? /^(true|1)$/.test(query.get('sendInitialEvents') ?? '')
      : undefined,
  };
  // The watch is opened before the stream begins, so that a refusal becomes the answer. Until then its lines wait in `early`.
  let lines: ((text: string) => void) | undefined;
  let over: (() => void) | undefined;
  let early: string[] = [];
  let ended = false;
  let headers = true;
  const open = reads.watch(target, options, {
    event(event) {
      let object: object = event.object;
      if (event.type !== 'ERROR' && wanted.as) {
        if (wanted.as === 'Table') {
          const metadata = { resourceVersion: event.object.metadata.resourceVersion };
          object = tableOf(view, metadata, [event.object], headers);
          headers = false;
        } else object = partialMetadata(event.object, wanted.groupVersion);
      }
      const line = `${goJson({ type: event.type, object })}\n`;
      if (lines) lines(line);
      else early.push(line);
    },
    end() {
      ended = true;
      over?.();
    },
  });
  return {
    code: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache, private' },
    start(sink) {
      lines = text => sink.write(text);
      over = () => sink.end();
      for (const line of early) sink.write(line);
      early = [];
      if (ended) sink.end();
      return open.stop;
    },
  };
}
