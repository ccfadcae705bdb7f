/**
 * Whole milliseconds on a clock that only goes forward: for durations, limits and pauses. The wall clock is set by people and by NTP,
 * and a step of it must neither stretch a limit nor end one.
 */
export const steadyMs = (): number => Math.round(performance.now());

/**
 * Times for people whose differences are durations: the wall clock as it was at the beginning, going on by the clock that only goes
 * forward. After a step of the wall clock it differs from it by that step, for as long as its owner lives.
 */
export class SteadyClock {
  private readonly offsetMs = Date.now() - performance.now();

  /** Milliseconds since the epoch. */
  now(): number {
    return Math.round(this.offsetMs + performance.now());
  }
}
