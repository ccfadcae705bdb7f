import { Writable } from 'node:stream';
import { makeCli } from '../../src/cli/io';
import { fakeIo } from './fake-io';

const colours = (env: NodeJS.ProcessEnv, tty: boolean, color?: boolean) =>
  makeCli(fakeIo({ env, tty }), { color }).style.colour.isColorSupported;

test('colour: on a terminal, unless NO_COLOR; the option decides above all', () => {
  expect(colours({}, true)).toBe(true);
  expect(colours({}, false)).toBe(false);
  expect(colours({ NO_COLOR: '1' }, true)).toBe(false);
  expect(colours({ TERM: 'dumb' }, true)).toBe(false);
  expect(colours({ FORCE_COLOR: '1' }, false)).toBe(true);
  expect(colours({ NO_COLOR: '1' }, false, true)).toBe(true);
  expect(colours({}, true, false)).toBe(false);
});

test('signs are ASCII where the locale is not UTF-8', () => {
  const sign = (env: NodeJS.ProcessEnv) => makeCli(fakeIo({ env }), {}).style.glyphs.done;
  expect(sign({ LANG: 'C.UTF-8' })).toBe('✔');
  expect(sign({ LANG: 'de_DE.utf8' })).toBe('✔');
  expect(sign({ LANG: 'C.UTF-8', LC_ALL: 'C' })).toBe('+');
  expect(sign({ LANG: '' })).toBe('+');
});

test('each stream has its own style', () => {
  const io = fakeIo({ tty: true });
  io.stderr = Object.assign(new Writable(), { isTTY: false });
  const cli = makeCli(io, {});
  expect([cli.style.colour.isColorSupported, cli.errStyle.colour.isColorSupported]).toEqual([true, false]);
  expect([cli.style.width, cli.errStyle.width]).toEqual([100, 120]);
});
