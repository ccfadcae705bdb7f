import { setTimeout as sleep } from 'node:timers/promises';
import { makeCli, processIo, type Cli } from '../cli/io';
import { formatMs } from '../cluster/duration';
import { activeWord, tiersOf, type Tier } from '../cluster/maintenance/sides';
import { hang } from '../report/text';
import { connectTemporal } from '../systems/temporal';
import { TASK_QUEUE } from '../workflows/messages';
import { activeOf, rolesNow } from './active';
import { ordersTo, screenWithOrders, startOrders } from './demo-flow';
import { ordersReport, tierWord, type Happening } from './demo-orders';
import { bringUp, must, typed, yours } from './demo-parts';
import { Guarded } from './guarded';
import type { OrderLoad } from './order-load';
import { docker } from './shell';
import { loadTarget, type Target } from './target';

const LIMIT_MS = 120_000;
const LOOK_EVERY_MS = 250;
/** An engine that was killed is started again this long after the other one took over; the guard starts the others. */
const START_AFTER_MS = 1000;
/** Orders flow for this long after a tier is whole again. */
const CALM_MS = 1500;

/** What brings a killed node back. */
const helper: Readonly<Record<Tier, string>> = {
  engine: 'the other engine takes the lock; the killed one is started by this demo',
  redis: 'the guard makes the replica the master, and starts the killed node again',
  postgres: 'the guard fences the killed node, promotes the standby, and makes the old primary a standby again',
};

/** The active node of every tier is killed in turn, while orders flow. Leaves everything running, and the guard too. */
export async function demoKill(): Promise<number> {
  const began = Date.now();
  const target = loadTarget();
  const { haproxy } = target.cluster;
  if (haproxy === undefined) throw new Error('the topology has no engines behind a HAProxy: add the section haproxy');
  await bringUp();
  await must('guard', 'start');
  const cli = makeCli(processIo(), {});
  const temporal = await connectTemporal();
  const load = ordersTo(haproxy.address);
  try {
    const guarded = await Guarded.start(temporal.client, TASK_QUEUE, target.name);
    await guarded.calm();
    await startOrders(cli, load);
    const happenings: Happening[] = [];
    for (const tier of tiersOf(target.cluster)) {
      happenings.push(await killActive(cli, target, tier, load));
      if (tier !== 'engine') await guarded.calm();
      await sleep(CALM_MS);
    }
    await load.stop();
    const result = await load.result(target.door, target.login);
    const head = { what: 'KILLED', node: 'NODE', ended: true };
    const { good, lines } = ordersReport(happenings, load, result, head, cli.style);
    process.stdout.write(
      [
        '',
        ...lines,
        ...yours(began, [
          ['bin/veloz-ha guard status', 'what the guard saw, and what it did'],
          ['bin/veloz-ha runs', 'its runs; bin/veloz-ha show ID is the report of one'],
          ['npm run demo -- all', 'the same tiers, moved by plan'],
          ['bin/veloz-ha guard stop', 'nothing fails over by itself any more'],
          ['bin/veloz-ha stack down', 'take it down; also: worker stop, temporal stop'],
        ]),
      ].join('\n'),
    );
    return good ? 0 : 1;
  } finally {
    await load.stop();
    await temporal.connection.close();
  }
}

/** Kills the container of the active node of a tier, and waits until the tier is whole again. */
async function killActive(cli: Cli, target: Target, tier: Tier, load: OrderLoad): Promise<Happening> {
  const { colour, glyphs, clock } = cli.style;
  const node = activeOf(await rolesNow(target))[tier];
  if (node === undefined) throw new Error(`there is no ${activeWord[tier]} that could be killed`);
  process.stdout.write(`\n${hang('', `The ${activeWord[tier]} dies: ${helper[tier]}.`, cli.style)}\n`);
  typed(`docker kill ${node}`);
  const { screen, close } = screenWithOrders(cli, load);
  const frames = setInterval(() => screen.live(''), 100);
  const from = Date.now();
  try {
    await docker('kill', node);
    const next = await until(`another ${activeWord[tier]}`, async () => {
      const active = activeOf(await rolesNow(target))[tier];
      return active === node ? undefined : active;
    });
    const keep = (what: string) =>
      screen.keep([`${colour.dim(clock(Date.now()))} ${colour.green(glyphs.done)} ${what}`]);
    keep(`${next} is the ${activeWord[tier]} (seen ${formatMs(Date.now() - from)} after the kill)`);
    if (tier === 'engine') {
      await sleep(START_AFTER_MS);
      await docker('start', node);
    }
    await until(`${tierWord[tier]} being whole`, async () => {
      const nodes = (await rolesNow(target)).find((roles) => roles.tier === tier)?.nodes ?? [];
      return nodes.find((one) => one.name === node)?.standing === 'ready' ? node : undefined;
    });
    const to = Date.now();
    keep(`${node} is back, and could take over (${formatMs(to - from)} after the kill)`);
    return { tier, what: tierWord[tier], node, from, to };
  } finally {
    clearInterval(frames);
    close();
  }
}

/** Asks until there is an answer. @throws Error after two minutes */
async function until(what: string, ask: () => Promise<string | undefined>): Promise<string> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(LOOK_EVERY_MS)) {
    // What dies in the middle of a look is looked at again.
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${formatMs(LIMIT_MS)}`);
  }
}
