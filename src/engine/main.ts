import pino from 'pino';
import { startEngine } from './engine';
import { readSettings } from './settings';

/** The engine's entry: everything comes from the environment (docs/engine.md). */
async function main(): Promise<void> {
  const level = process.env.VELOZ_LOG_LEVEL ?? 'info';
  const log = pino({ level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime });
  const engine = await startEngine(readSettings(process.env), log);
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info(`${signal}: stops`);
    engine.stop().then(
      () => process.exit(0),
      (error: Error) => {
        log.error(error.message);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

main().catch((error: Error) => {
  process.stderr.write(`Error: the engine did not start. Why: ${error.message}\n`);
  process.exit(2);
});
