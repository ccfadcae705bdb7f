import { setTimeout as sleep } from 'node:timers/promises';
import type { Cli } from '../cli/io';
import { appendScreen, terminalScreen, type Screen } from '../cli/screen';
import type { Endpoint } from '../cluster/topology';
import { hang } from '../report/text';
import { flowLine } from './demo-orders';
import { OrderLoad } from './order-load';

/** Orders a second. */
const RATE = 200;
/** Orders flow for this long before anything happens. */
const CALM_MS = 2000;
/** How often a log is told of the orders; a terminal has them on its last line. */
const TELL_EVERY_MS = 3000;

/** The orders of a demo. */
export const ordersTo = (door: Endpoint): OrderLoad =>
  new OrderLoad(door, `demo-${process.pid}-${Date.now().toString(36)}`, RATE);

/** Starts them, says so, and lets them flow for a moment. */
export async function startOrders(cli: Cli, load: OrderLoad): Promise<void> {
  const route = "client, HAProxy, engine, PgBouncer, PostgreSQL; the engine's lock is in Redis";
  const how = 'Each is sent once, with a key of its own, and looked up in PostgreSQL at the end.';
  process.stdout.write(`\n${hang('', `Orders now flow, ${RATE} a second: ${route}. ${how}`, cli.style)}\n`);
  load.start();
  await sleep(CALM_MS);
}

/** A screen with one more line at its end: what becomes of the orders right now. */
export function screenWithOrders(cli: Cli, load: OrderLoad): { screen: Screen; close: () => void } {
  const { stdout, env } = cli.io;
  const redraws = stdout.isTTY === true && env.TERM !== 'dumb';
  const screen = redraws ? terminalScreen(stdout) : appendScreen(stdout);
  const line = () => flowLine(load, Date.now(), cli.style);
  if (redraws)
    return {
      screen: { ...screen, live: (text) => screen.live(`${text}${text === '' ? '' : '\n\n'}${line()}`) },
      close: () => screen.close(),
    };
  const timer = setInterval(() => screen.keep([line()]), TELL_EVERY_MS);
  return { screen, close: () => clearInterval(timer) };
}
