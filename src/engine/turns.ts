/** One turn after the other, so that no two decisions overlap; whoever wants something else of it has the next one come at once. */
export class Turns {
  private wakeUp: (() => void) | undefined;
  private awake = false;
  private stopping = false;
  private loop: Promise<void> | undefined;

  /** @param turn never rejects; returns after how many milliseconds, from its beginning, the next one is due */
  start(turn: () => Promise<number>): void {
    this.loop = this.run(turn);
  }

  /** Ends after the turn that is under way. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.wake();
    await this.loop;
  }

  /** The next turn comes at once. */
  wake(): void {
    this.awake = true;
    this.wakeUp?.();
  }

  private async run(turn: () => Promise<number>): Promise<void> {
    while (!this.stopping) {
      const began = performance.now();
      this.awake = false;
      const everyMs = await turn();
      await this.pause(Math.max(10, everyMs - (performance.now() - began)));
    }
  }

  private async pause(ms: number): Promise<void> {
    if (this.awake || this.stopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wakeUp = undefined;
  }
}
