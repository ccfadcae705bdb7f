import { observeEngines } from '../../activities/engine/observe';
import { clusterStatus } from '../../cluster/commands';
import { engineFindings } from '../../cluster/engine/health';
import { engineMembers } from '../../cluster/engine/members';
import { selectCluster } from '../../cluster/topology';
import { exitCodes } from '../../failures';
import { enginesText } from '../../report/engine';
import { createDockerClient } from '../../systems/docker';
import { Problem } from '../../systems/problem';
import { loadTopology, topologyPath } from '../../systems/topology-file';
import {
  parseEngineDrainInput,
  parseEngineReadyInput,
  parseEngineSwitchoverInput,
  type EngineServiceInput,
  type EngineSwitchoverInput,
} from '../../workflows/engine-input';
import { clusterName } from '../context';
import { print, printDocument, type Cli } from '../io';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

const command = {
  switchover: 'veloz-ha engine switchover',
  drain: 'veloz-ha engine drain',
  ready: 'veloz-ha engine ready',
} as const;

/** Options of `engine switchover`. */
export interface EngineSwitchoverOptions extends LaunchOptions {
  to?: string;
  expectedActive?: string;
}

/** `engine status`: engines, their front door, and what is not as it should be. */
export async function engineStatus(cli: Cli, options: { cluster?: string }): Promise<number> {
  const name = clusterName(cli, options.cluster);
  const topology = loadTopology(cli.io.env);
  const selected = selectCluster(topology, name);
  if (!('cluster' in selected) || selected.cluster.engines === undefined || selected.cluster.haproxy === undefined)
    throw new Problem('BadInput', `cluster ${name} has no engines behind a HAProxy`, {
      why: `the topology ${topologyPath(cli.io.env)} has no sections engines and haproxy for it`,
      next: `${clusterStatus(name)}   # docs/topology.md says how engines are named`,
    });
  const observed = await observeEngines(
    {
      topology,
      docker: createDockerClient(topology.docker?.socketPath),
      identity: 'cli',
      environment: cli.io.env,
      handoverCost: () => undefined,
      lockHolder: () => Promise.resolve(undefined),
    },
    name,
  );
  const engines = { name, members: engineMembers(observed), findings: engineFindings(observed) };
  const healthy = !engines.findings.some((finding) => finding.result === 'refuse');
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, { version: 1, healthy, engines });
  else if (cli.quiet) print(cli, healthy ? 'healthy' : 'unhealthy');
  else print(cli, enginesText(engines, cli.style));
  return healthy ? exitCodes.ok : exitCodes.unhealthy;
}

/** `engine switchover`: another engine takes the orders, after a plan and a question, or `--yes`. */
export function engineSwitchover(cli: Cli, options: EngineSwitchoverOptions): Promise<number> {
  const given: EngineSwitchoverInput = {
    ...commonInput(cli, options),
    target: options.to,
    expectedActive: options.expectedActive,
  };
  const input = checkedInput(given, parseEngineSwitchoverInput, command.switchover);
  const what = { workflow: 'engineSwitchover', runbook: 'engine-switchover', command: command.switchover, input };
  return launch(cli, what, options);
}

/** `engine drain <engine>`: takes an engine out of service. */
export function engineDrain(cli: Cli, options: LaunchOptions, node: string): Promise<number> {
  const given: EngineServiceInput = { ...commonInput(cli, options), node };
  const input = checkedInput(given, parseEngineDrainInput, command.drain);
  const what = { workflow: 'engineDrain', runbook: 'engine-drain', command: `${command.drain} ${node}`, input };
  return launch(cli, what, options);
}

/** `engine ready <engine>`: puts an engine back into service. */
export function engineReady(cli: Cli, options: LaunchOptions, node: string): Promise<number> {
  const given: EngineServiceInput = { ...commonInput(cli, options), node };
  const input = checkedInput(given, parseEngineReadyInput, command.ready);
  const what = { workflow: 'engineReady', runbook: 'engine-ready', command: `${command.ready} ${node}`, input };
  return launch(cli, what, options);
}
