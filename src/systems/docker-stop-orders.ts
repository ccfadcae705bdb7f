import { constants } from 'node:os';
import type Docker from 'dockerode';
import type { ContainerInspectInfo } from 'dockerode';

/** How long the engine may take to tell what happened to a container, in milliseconds. It has that in its memory. */
const EVENTS_LIMIT_MS = 500;

/** The engine's words for a container in which nothing runs any more. */
const ended: ReadonlySet<string> = new Set(['exited', 'dead']);

/** What the engine tells of one event, as far as it matters here. */
interface EngineEvent {
  Action?: string;
  Actor?: { Attributes?: Record<string, string> };
}

/**
 * Who ended a container: somebody who told it to stop, or whatever killed it? A `docker stop` whose grace period runs out ends with the
 * same exit code as a kill, and the engine keeps nothing of the difference with the container. Its list of events does: `stop` stands there
 * in the first case only, and before it the container's own stop signal. That list is short (256 events) and lost with the engine's process,
 * so what was proven once is remembered here. What came before what is told by its order: the worker's clock and the engine's may differ,
 * and either may be set.
 */
export class StopOrders {
  /** When a container ended that was told to stop, by its id. */
  private readonly proven = new Map<string, string>();

  constructor(private readonly docker: Docker) {}

  /**
   * Whether somebody told a container to stop since it was started, by the engine's own list. False also where that reaches back no more:
   * then nobody can tell, and a node that was killed must not stay down because of it; its own start-up guard and its fence decide what
   * it may do when it runs.
   */
  async given({ Id, State, Config }: Pick<ContainerInspectInfo, 'Id' | 'State' | 'Config'>): Promise<boolean> {
    if (!ended.has(State.Status)) return false;
    if (this.proven.get(Id) === State.FinishedAt) return true;
    const happened = await this.happenedTo(Id, Date.parse(State.FinishedAt) / 1000);
    const inThisLife = happened.slice(happened.findLastIndex(({ Action }) => Action === 'start') + 1);
    const told = inThisLife.some((event) => isStopOrder(event, stopSignalOf(Config)));
    if (told) this.proven.set(Id, State.FinishedAt);
    return told;
  }

  /** What somebody did to it, as far as the list reaches back, oldest first. */
  private async happenedTo(id: string, endedAt: number): Promise<EngineEvent[]> {
    const stream = (await this.docker.getEvents({
      // All of the list: 0 would be none of it.
      since: 1,
      // An engine whose clock is behind goes on until then: what it has told by the limit is all that it knows.
      until: Math.max(endedAt, Date.now() / 1000),
      filters: { type: ['container'], container: [id], event: ['start', 'stop', 'kill'] },
    })) as NodeJS.ReadableStream & { destroy(): void };
    let text = '';
    try {
      await new Promise<void>((resolve, reject) => {
        const limit = setTimeout(resolve, EVENTS_LIMIT_MS);
        const end = () => (clearTimeout(limit), resolve());
        stream.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
        stream.once('end', end);
        stream.once('close', end);
        stream.once('error', (error: Error) => (clearTimeout(limit), reject(error)));
      });
    } finally {
      stream.destroy();
    }
    return eventsIn(text);
  }
}

function eventsIn(text: string): EngineEvent[] {
  // What follows the last line break was cut off by the limit.
  const lines = text.split('\n').slice(0, -1);
  return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as EngineEvent);
}

/** The number of the signal by which this container is told to stop. */
function stopSignalOf(config: object): number {
  const word = (config as { StopSignal?: string }).StopSignal ?? '';
  const name = (word.startsWith('SIG') ? word : `SIG${word}`) as NodeJS.Signals;
  return /^\d+$/.test(word) ? Number(word) : (constants.signals[name] ?? constants.signals.SIGTERM);
}

/** `stop` comes when it has ended. Until then only the signal stands there; SIGKILL is no order to stop. */
const isStopOrder = ({ Action, Actor }: EngineEvent, stopSignal: number): boolean =>
  Action === 'stop' ||
  (Action === 'kill' &&
    stopSignal !== constants.signals.SIGKILL &&
    Number(Actor?.Attributes?.signal ?? Number.NaN) === stopSignal);
