import { setTimeout as sleep } from 'node:timers/promises';
import { guardCommand, wholeStatus } from '../cluster/commands';
import { exitCodes } from '../failures';
import { documentOf, statusText, type StatusPart } from '../report/status';
import { fit } from '../report/text';
import { formatSeconds } from '../report/words';
import { Problem } from '../systems/problem';
import type { Cli } from './io';
import { wholeScreen } from './screen';

/** One look at a part of the picture. It never throws for what does not answer. */
export type StatusLook = () => Promise<StatusPart>;

/** A part is looked at again so long after its last answer, in milliseconds. */
const LOOK_EVERY_MS = 1_000;
const DRAW_EVERY_MS = 250;
/** An older part says how old it is, in milliseconds. */
const OLD_MS = 4_000;

/**
 * Draws the picture until Ctrl-C. Each part is looked at on its own: one that takes long to answer neither stops the drawing
 * nor holds up the others, and says how old it is.
 * @param cluster the one that is drawn
 * @throws Problem `BadInput` where there is no terminal to draw on
 */
export async function watchStatus(cli: Cli, looks: readonly StatusLook[], cluster: string): Promise<number> {
  const { io } = cli;
  if (cli.format !== 'text' || io.stdout.isTTY !== true || io.env.TERM === 'dumb')
    throw new Problem('BadInput', 'status --watch draws on a terminal', {
      why: cli.format === 'text' ? 'stdout is no terminal' : `-o ${cli.format} is asked for`,
      next: `${wholeStatus(cluster)}, or ${guardCommand('watch', cluster)} -o jsonl`,
    });
  const stopper = new AbortController();
  const { signal } = stopper;
  const offInterrupt = io.onInterrupt(() => stopper.abort());
  const screen = wholeScreen(io.stdout);
  const parts: ({ part: StatusPart; at: number } | undefined)[] = looks.map(() => undefined);
  let failed: unknown;
  const again = async (look: StatusLook, index: number) => {
    while (!signal.aborted) {
      parts[index] = { part: await look(), at: io.now() };
      await pause(LOOK_EVERY_MS, signal);
    }
  };
  looks.forEach((look, index) => {
    again(look, index).catch((error: unknown) => {
      failed = error;
      stopper.abort();
    });
  });
  try {
    screen.live('looking');
    while (!signal.aborted) {
      const seen = parts.filter((part) => part !== undefined);
      // Half a picture would say that something is missing which was not looked at yet.
      if (seen.length === looks.length) screen.live(frame(cli, seen));
      await pause(DRAW_EVERY_MS, signal);
    }
    if (failed !== undefined) throw failed as Error;
    return exitCodes.interrupted;
  } finally {
    offInterrupt();
    screen.close();
  }
}

function frame(cli: Cli, seen: readonly { part: StatusPart; at: number }[]): string {
  const { io } = cli;
  // A terminal may change its size.
  const { columns = cli.style.width, rows = 24 } = io.stdout;
  const style = { ...cli.style, width: Math.max(60, columns) };
  const now = io.now();
  const text = statusText(documentOf(seen.map(({ part }) => part)), now, style);
  const age = Math.max(...seen.map(({ at }) => now - at));
  const old = age > OLD_MS ? `, parts of it ${formatSeconds(age)} old` : '';
  const foot = style.colour.dim(`${style.clock(now)}${old}  Ctrl-C ends the watching`);
  return `${fit(text, columns, rows - 3, style)}\n\n${fit(foot, columns, 1, style)}`;
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
