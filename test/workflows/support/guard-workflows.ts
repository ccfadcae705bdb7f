import { ApplicationFailure, condition, defineQuery, defineSignal, setHandler } from '@temporalio/workflow';

export { guard } from '../../../src/workflows';

/** How a run that the guard started is to end. */
export interface RunEnd {
  says?: string;
  /** What its report tells beside that. */
  report?: { gaveWay?: boolean };
  /** It fails with this type. */
  type?: string;
}
export const inputQuery = defineQuery<unknown>('input');
export const endSignal = defineSignal<[RunEnd]>('end');

/** Stands for a runbook: shows its input, and ends when and how the test says. */
async function run(input: unknown): Promise<{ says: string }> {
  let end: RunEnd | undefined;
  setHandler(inputQuery, () => input);
  setHandler(endSignal, (given) => {
    end = given;
  });
  await condition(() => end !== undefined);
  if (end?.type !== undefined)
    throw ApplicationFailure.nonRetryable(end.says, end.type, ...(end.report === undefined ? [] : [end.report]));
  return { says: end?.says ?? 'done' };
}
export const failover = (input: unknown) => run(input);
export const rejoin = (input: unknown) => run(input);
export const redisFailover = (input: unknown) => run(input);
export const repair = (input: unknown) => run(input);
