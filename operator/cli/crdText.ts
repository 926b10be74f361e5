import { readFileSync } from 'node:fs';

/** The CRD of AiTenant as YAML. In the bundle this module is replaced by one that contains the text (scripts/bundle.mjs). */
export const crdText = (): string => readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8');
