import pino, { type DestinationStream, type Logger } from 'pino';

/**
 * A worker's log. An error that the SDK hands over as `error` is told with its message and stack: of a failed activity pino would keep
 * the fields alone, and nobody who reads the log would know why.
 */
export function workerLogger(destination: DestinationStream): Logger {
  return pino({ name: 'veloz-ha worker', serializers: { error: whole } }, destination);
}

/** Its own fields last: the `type` of a failure says more than the name of its class. */
const whole = (error: unknown): unknown =>
  error instanceof Error ? { ...pino.stdSerializers.err(error), ...error } : error;
