import { cancelled } from '../context';
import type { ActivityDeps } from '../deps';
import { steadyMs } from '../clock';

/** The end of a stretch of watching: its time, the end of the worker, or a cancellation, which means that the guard has news. */
export interface StretchEnd {
  readonly signal: AbortSignal;
  over(): boolean;
  close(): void;
}

/** @param forMs how long the stretch may last, in milliseconds */
export function endOfStretch(deps: Pick<ActivityDeps, 'ending'>, forMs: number): StretchEnd {
  const end = new AbortController();
  const until = steadyMs() + forMs;
  const timer = setTimeout(() => end.abort(), forMs);
  const onEnding = () => end.abort();
  deps.ending?.addEventListener('abort', onEnding, { once: true });
  cancelled().catch(() => end.abort());
  return {
    signal: end.signal,
    over: () => end.signal.aborted || steadyMs() >= until || deps.ending?.aborted === true,
    close: () => {
      clearTimeout(timer);
      deps.ending?.removeEventListener('abort', onEnding);
    },
  };
}
