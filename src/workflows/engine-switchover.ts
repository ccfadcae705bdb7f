import { CancellationScope, setWorkflowOptions } from '@temporalio/workflow';
import { conductEngineRun } from './engine-conduct';
import {
  parseEngineDrainInput,
  parseEngineReadyInput,
  parseEngineSwitchoverInput,
  type EngineServiceInput,
  type EngineSwitchoverInput,
} from './engine-input';
import { requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import type { Report } from './run-state';

/**
 * Hands the engines' lock to another engine, planned: requests wait at HAProxy meanwhile, and none fails. Started with nothing (an
 * empty form of the Web UI) it plans for the default cluster and waits for approval.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function engineSwitchover(input: EngineSwitchoverInput = {}): Promise<Report> {
  const request = requestOf(parseEngineSwitchoverInput(input), 'veloz-ha engine switchover');
  const run = new Run('engine-switchover', request, 'engine');
  // Cancellation is an abort: asked for between steps, never in the middle of one.
  return CancellationScope.nonCancellable(() => conductEngineRun(run, 'switchover', request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, engineSwitchover);

/** Takes an engine out of service; where it is the active one, another one takes over first. Ends as {@link engineSwitchover}. */
export async function engineDrain(input: EngineServiceInput = {}): Promise<Report> {
  const request = requestOf(parseEngineDrainInput(input), 'veloz-ha engine drain');
  const run = new Run('engine-drain', request, 'engine');
  return CancellationScope.nonCancellable(() => conductEngineRun(run, 'drain', request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, engineDrain);

/** Puts an engine back into service, as a hot standby. Ends as {@link engineSwitchover}. */
export async function engineReady(input: EngineServiceInput = {}): Promise<Report> {
  const request = requestOf(parseEngineReadyInput(input), 'veloz-ha engine ready');
  const run = new Run('engine-ready', request, 'engine');
  return CancellationScope.nonCancellable(() => conductEngineRun(run, 'ready', request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, engineReady);
