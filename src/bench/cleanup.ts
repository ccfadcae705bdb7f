/** What has to be undone at the end, in reverse order, also when the program is interrupted. */
export class Cleanup {
  private readonly undo: (() => Promise<unknown> | void)[] = [];
  private running: Promise<void> | undefined;
  private readonly onSignal = (signal: NodeJS.Signals) => {
    process.stderr.write(`\n${signal}: putting everything back …\n`);
    // What the interrupted program still waits for breaks now, and must not end it before everything is back.
    process.on('uncaughtException', () => undefined);
    process.on('unhandledRejection', () => undefined);
    void this.run().finally(() => process.exit(130));
  };

  constructor() {
    process.on('SIGINT', this.onSignal);
    process.on('SIGTERM', this.onSignal);
  }

  defer(undo: () => Promise<unknown> | void): void {
    this.undo.push(undo);
  }

  /** Undoes all; what fails is told and does not keep the rest from being undone. */
  run(): Promise<void> {
    this.running ??= (async () => {
      for (let undo = this.undo.pop(); undo !== undefined; undo = this.undo.pop()) {
        try {
          await undo();
        } catch (error) {
          process.stderr.write(`Putting back: ${(error as Error).message}\n`);
        }
      }
      process.off('SIGINT', this.onSignal);
      process.off('SIGTERM', this.onSignal);
    })();
    return this.running;
  }
}
