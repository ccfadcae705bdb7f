/** A default as it stands in a schema, before it is parsed. */
export type Preset = string | number | boolean | undefined;

/** What is needed of zod's definitions to walk through a schema. */
interface Definition {
  type: string;
  shape?: Record<string, Schema>;
  innerType?: Schema;
  in?: Schema;
  element?: Schema;
  valueType?: Schema;
  defaultValue?: Preset;
}
interface Schema {
  _zod: { def: Definition };
}

/** The keys of a schema that hold values, each with its path and its default: `clusters.<name>.limits.hold` → `'5s'`. */
export function keysOf(schema: unknown, path = ''): Map<string, Preset> {
  return new Map(walk(schema as Schema, path, undefined));
}

function* walk(schema: Schema, path: string, preset: Preset): Generator<[string, Preset]> {
  const { def } = schema._zod;
  switch (def.type) {
    case 'object':
      for (const [key, value] of Object.entries(def.shape ?? {}))
        yield* walk(value, path === '' ? key : `${path}.${key}`, undefined);
      return;
    case 'record':
      if (def.valueType !== undefined) yield* walk(def.valueType, `${path}.<name>`, undefined);
      return;
    case 'array':
      if (def.element !== undefined) yield* walk(def.element, `${path}[]`, undefined);
      return;
    case 'default':
    case 'prefault':
      if (def.innerType !== undefined) yield* walk(def.innerType, path, def.defaultValue);
      return;
    case 'optional':
      if (def.innerType !== undefined) yield* walk(def.innerType, path, preset);
      return;
    case 'pipe':
      if (def.in !== undefined) yield* walk(def.in, path, preset);
      return;
    default:
      yield [path, preset];
  }
}
