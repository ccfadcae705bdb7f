import { sleep } from '@temporalio/workflow';
import { guard as today } from '../../../src/workflows';
import type { GuardInput } from '../../../src/workflows/guard-messages';

/** A version of the guard that goes another way than the recorded one from its first step on. */
export async function guard(input?: GuardInput): Promise<unknown> {
  await sleep(1);
  return today(input);
}
