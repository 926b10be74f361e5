import { commas, same, words } from './codecs.ts';
import { each, nested, type Row } from './rows.ts';

const field = (name: string, codec = same, v2 = name): Row => ({ v1: name.split('.'), v2: v2.split('.'), codec });

const item = nested([field('key', same, 'version'), field('path'), field('mode')]);

/** The volumes of a revision by their kinds. Cloud SQL's is an annotation in v1 (`spread.ts`). */
export const volumeRows: readonly Row[] = [
  field('name'),
  field('secret', nested([field('secretName', same, 'secret'), field('items', each(item)), field('defaultMode')])),
  field('emptyDir', nested([field('medium', words({ Memory: 'MEMORY', Disk: 'DISK' })), field('sizeLimit')])),
  field('nfs', nested([field('server'), field('path'), field('readOnly')])),
  field('filestore', nested([field('volume')])),
  field(
    'csi',
    nested(
      [
        field('readOnly'),
        field('volumeAttributes.bucketName', same, 'bucket'),
        field('volumeAttributes.mountOptions', commas, 'mountOptions'),
      ],
      { driver: 'gcsfuse.run.googleapis.com' },
    ),
    'gcs',
  ),
];
