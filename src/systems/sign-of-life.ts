import { connect } from 'node:net';
import type { Endpoint } from '../cluster/topology';

/** What a process is asked to show that it lives: the bytes that are sent, and where to. */
export interface LifeQuestion {
  at: Endpoint;
  says: string;
}

/** The limit is counted in so many parts: a worker that stands still for long loses one of them. */
const PARTS = 20;

/**
 * Whether anybody there says anything: one byte is enough, whatever it means. That a connection is taken says nothing: the kernel does so
 * for a process that hangs, and Docker's proxy for one that is not there. A connection that is refused, or closed without a byte, is no
 * answer either. Never throws.
 * @param limitMs how long it may take, in milliseconds in which this process itself runs
 */
export function saysAnything({ at, says }: LifeQuestion, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at);
    let left = PARTS;
    const end = (answered: boolean) => {
      clearInterval(timer);
      socket.destroy();
      resolve(answered);
    };
    // Each part lets what has arrived be read: after a pause of the worker the limit alone would be over before that.
    const timer = setInterval(() => {
      left -= 1;
      if (left <= 0) end(false);
    }, limitMs / PARTS);
    socket.on('connect', () => socket.write(says));
    socket.on('data', () => end(true));
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
  });
}

/** Whether one of them is answered, asked all at the same time. Never throws. */
export async function anyAnswers(questions: readonly LifeQuestion[], limitMs: number): Promise<boolean> {
  const asked = questions.map(async (question) => {
    if (!(await saysAnything(question, limitMs))) throw new Error('silence');
  });
  return Promise.any(asked).then(
    () => true,
    () => false,
  );
}
