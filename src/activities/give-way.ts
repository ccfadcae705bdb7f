import { cancelled, currentContext } from './context';

/**
 * What comes of the work, unless the run gives way meanwhile: then nobody waits for it any more. Whoever calls this closes the session
 * that the work has, so that nothing of it comes later.
 * @throws CancelledFailure when the run gave way
 */
export const unlessLeft = <T>(work: Promise<T>): Promise<T> => Promise.race([work, cancelled()]);

/**
 * A safe point: what follows must not come after what others do now.
 * @throws CancelledFailure when the run gave way, as far as the worker has heard: it hears with a heartbeat
 */
export const stillAsked = (): void => currentContext()?.cancellationSignal.throwIfAborted();
