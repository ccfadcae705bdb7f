import { PassThrough } from 'node:stream';
import { makeCli, type Cli, type GlobalOptions, type Io } from '../../src/cli/io';

/** A process that nobody sees, and what it wrote. */
export interface FakeIo extends Io {
  out(): string;
  err(): string;
  interrupt(): void;
}

/** Streams that keep what is written, a UTF-8 locale, no terminal unless asked for. */
export function fakeIo(more: { env?: NodeJS.ProcessEnv; tty?: boolean } = {}): FakeIo {
  const written = { out: '', err: '' };
  const stream = (key: 'out' | 'err') => {
    const sink = new PassThrough();
    sink.on('data', (chunk: Buffer) => (written[key] += chunk.toString()));
    return Object.assign(sink, { isTTY: more.tty ?? false, columns: 100, rows: 40 });
  };
  const listeners = new Set<() => void>();
  return {
    stdin: Object.assign(new PassThrough(), { isTTY: more.tty ?? false }),
    stdout: stream('out'),
    stderr: stream('err'),
    env: { LANG: 'C.UTF-8', ...more.env },
    now: () => Date.now(),
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    out: () => written.out,
    err: () => written.err,
    interrupt: () => listeners.forEach((listener) => listener()),
  };
}

/** What a command is given, on streams that nobody sees. */
export function fakeCli(options: GlobalOptions = {}, io: FakeIo = fakeIo()): Cli & { io: FakeIo } {
  return { ...makeCli(io, options), io };
}
