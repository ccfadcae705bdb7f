import { Duplex } from 'node:stream';
import type { ActivityDeps } from '../../../src/activities/deps';
import type { AgentJob } from '../../../src/systems/agent';
import type { DockerClient } from '../../../src/systems/docker';
import { topology } from '../../cluster/support/picture';

/** A job as the agent tells of it. */
export function job(rest: Partial<AgentJob> = {}): AgentJob {
  return {
    kind: 'rewind',
    run: 'run 7',
    state: 'running',
    phase: 'pg_rewind',
    doneBytes: 1024,
    totalBytes: 4096,
    startedAtMs: 1_795_405_898_000,
    endedAtMs: null,
    error: null,
    quarantine: null,
    lost: null,
    ...rest,
  };
}

/** The end of a job. */
export const done = (rest: Partial<AgentJob> = {}): AgentJob =>
  job({ state: 'done', phase: 'finishing', doneBytes: 4096, endedAtMs: 1_795_405_899_000, ...rest });

/** A PostgreSQL node's agent behind a Docker engine: it takes commands down and answers `observe` with what is next. */
export class FakeAgent {
  /** Commands that change something, in the order in which they came. */
  readonly asked: string[] = [];
  /** Answers of `observe` for the job, one after the other; the last one stays. */
  jobs: (AgentJob | null)[] = [null];
  /** What `rewind` is answered with: a job, or the type of a refusal. */
  rewind: AgentJob | string = job();
  copy: AgentJob = job({ kind: 'copy', phase: 'pg_basebackup', startedAtMs: 1_795_405_910_000 });
  /** What `readiness` is answered with; undefined: it is no command of this agent. */
  readiness: object | undefined;
  /** What `checkCopy` is answered with; undefined: it is no command of this agent. */
  copyCheck: object | undefined;
  /** The rest of `observe`. */
  seen: Record<string, unknown> = {
    desired: 'fenced',
    postgres: { state: 'stopped', pid: null, sinceMs: 5 },
    control: {},
  };

  get deps(): ActivityDeps {
    const docker = {
      inspect: () =>
        Promise.resolve({ exists: true, status: 'running', running: true, restartPolicy: 'unless-stopped' }),
      open: () => Promise.resolve(this.session()),
      demux: (stream: Duplex, onStdout: (chunk: Buffer) => void) => void stream.on('data', onStdout),
    } as Partial<DockerClient> as DockerClient;
    return {
      topology: topology(),
      docker,
      identity: 'test',
      environment: {},
      handoverCost: () => undefined,
      lockHolder: () => Promise.resolve(undefined),
    };
  }

  private session(): Duplex {
    // Whoever opens a session asks first whether somebody is there.
    let greeted = false;
    const stream: Duplex = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, callback) => {
        const { id, do: command } = JSON.parse(chunk.toString()) as { id: number; do: string };
        stream.push(`${JSON.stringify({ id, ...this.answer(command, greeted) })}\n`);
        greeted = true;
        callback();
      },
    });
    return stream;
  }

  private answer(command: string, greeted: boolean): Record<string, unknown> {
    const ok = (result: unknown) => ({ ok: true, result });
    switch (command) {
      case 'observe': {
        const [next = null] = greeted && this.jobs.length > 1 ? this.jobs.splice(0, 1) : this.jobs;
        return ok({ ...this.seen, job: next });
      }
      case 'claim':
        return ok({});
      case 'readiness':
        return this.readiness === undefined
          ? { ok: false, error: { type: 'UnknownCommand', message: command } }
          : ok(this.readiness);
      case 'checkCopy':
        return this.copyCheck === undefined
          ? { ok: false, error: { type: 'UnknownCommand', message: command } }
          : ok(this.copyCheck);
      case 'rewind':
        this.asked.push(command);
        return typeof this.rewind === 'string'
          ? { ok: false, error: { type: this.rewind, message: 'no' } }
          : ok({ already: false, job: this.rewind });
      case 'copy':
        this.asked.push(command);
        return ok({ already: false, job: this.copy });
      default:
        return { ok: false, error: { type: 'UnknownCommand', message: command } };
    }
  }
}
