/**
 * Values of `synchronous_commit` with which a commit waits for a synchronous standby, as PostgreSQL spells them, in lower case.
 * Whatever is none of these counts as one that waits for nobody.
 */
export const STANDBY_CONFIRMS = ['on', 'true', 'yes', '1', 'remote_apply', 'remote_write'] as const;

const confirms: ReadonlySet<string> = new Set(STANDBY_CONFIRMS);

/** Does a commit with this value wait for a synchronous standby? PostgreSQL reads capitals as small letters. */
export const waitsForStandby = (value: string): boolean => confirms.has(value.toLowerCase());
