import { z } from 'zod';
import { commonInput, parseInput, text } from './input';

/** What may be asked of `engineSwitchover`. Every key has a default. */
export const engineSwitchoverInputSchema = z.strictObject({
  ...commonInput,
  /** The engine to become active, by its container's name. Default: the first other one that is able to. */
  target: text.optional(),
  /** Refuse unless this engine is the active one (A1). */
  expectedActive: text.optional(),
});
/** What may be asked of `engineDrain` and `engineReady`. They have to be told which engine is meant. */
export const engineServiceInputSchema = z.strictObject({
  ...commonInput,
  /** The engine. */
  node: text.optional(),
});

export type EngineSwitchoverInput = z.input<typeof engineSwitchoverInputSchema>;
export type EngineSwitchoverRequest = z.output<typeof engineSwitchoverInputSchema>;
export type EngineServiceInput = z.input<typeof engineServiceInputSchema>;
export type EngineServiceRequest = z.output<typeof engineServiceInputSchema>;

export const parseEngineSwitchoverInput = (input: unknown) =>
  parseInput('engineSwitchover', engineSwitchoverInputSchema, input);
export const parseEngineDrainInput = (input: unknown) => parseInput('engineDrain', engineServiceInputSchema, input);
export const parseEngineReadyInput = (input: unknown) => parseInput('engineReady', engineServiceInputSchema, input);
