import { maintenanceInputSchema } from '../../src/workflows/maintenance-input';
import { codeIn, rowsBelow } from './documents';
import { keysOf } from './schema-keys';

test('the table of input keys of maintenance has the keys of the schema and their defaults, in their order', () => {
  const told = rowsBelow('docs/maintenance.md', 'Input of the workflow').map((cells) => [
    codeIn(cells[0]),
    codeIn(cells[1]),
  ]);
  const presets = keysOf(maintenanceInputSchema);
  expect(told.map(([key]) => key)).toEqual(Object.keys(maintenanceInputSchema.shape));
  for (const [key = '', preset] of told) expect([key, preset]).toEqual([key, presets.get(key)]);
});
