/**
 * A hand-over whose fastest sample takes longer than this, in milliseconds, belongs to a Temporal server with its defaults (100 ms:
 * two ticks of a queue reader that polls 20 times a second). The fastest and not the median: a busy machine slows every server.
 */
export const SLOW_HANDOVER_MS = 60;

/** The settings of the Temporal server that make a hand-over cheap (docs/temporal.md). */
export const fastHandoverSettings = {
  'history.transferProcessorMaxPollRPS': '2000',
  'history.timerProcessorMaxPollRPS': '2000',
  'history.timerProcessorMaxTimeShift': '"10ms"',
} as const;

/**
 * The settings with which a task queue is one (docs/temporal.md). A server as shipped has four partitions of each queue, and hands a
 * poll from one to another only one at a time, so that the poll of a worker that is frozen or gone may keep that of a living one from
 * the tasks. A failover's first task once lay for 51 s while a worker polled; this is the suspected cause, and was not proven.
 */
export const wholeQueueSettings = {
  'matching.numTaskqueueReadPartitions': '1',
  'matching.numTaskqueueWritePartitions': '1',
} as const;

/**
 * How long the server keeps a worker's poll open (docs/temporal.md). A worker that is frozen or cut off leaves its polls behind, and each
 * swallows a task that a living worker would have had: for the task's timeout, 2 s of a workflow's and 1 s of an activity's. With this
 * they are over before a watch's heartbeat is missed.
 */
export const shortPollSettings = {
  'matching.longPollExpirationInterval': '"500ms"',
} as const;

/** What `veloz-ha temporal` sets in its server's dynamic configuration. */
export const serverSettings = { ...fastHandoverSettings, ...wholeQueueSettings, ...shortPollSettings } as const;

/** What to change on a server whose hand-overs are slow, as one sentence. */
export const slowHandoverAdvice = `set ${Object.entries(fastHandoverSettings)
  .map(([key, value]) => `${key}=${value}`)
  .join(' ')} in the dynamic configuration of the Temporal server (veloz-ha temporal does)`;
