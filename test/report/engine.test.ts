import { engineFindings } from '../../src/cluster/engine/health';
import { engineMembers } from '../../src/cluster/engine/members';
import { enginesText } from '../../src/report/engine';
import { enginePicture, FIRST, SECOND } from '../cluster/engine/picture';
import { plain } from './made-up';

const text = (seen: ReturnType<typeof enginePicture>, width = 110) =>
  enginesText(
    { name: 'veloz', members: engineMembers(seen.observed), findings: engineFindings(seen.observed) },
    plain({ width }),
  );

test('healthy engines are a table and nothing else', () => {
  const lines = text(enginePicture()).split('\n');
  expect(lines[0]).toBe('Engines of cluster veloz');
  expect(lines[1]).toMatch(/NODE +ROLE +STATE +EPOCH +HAPROXY +REQUESTS +NOTE/);
  expect(lines[2]).toMatch(/veloz-engine-1 +active +takes orders +7 +UP +0/);
  expect(lines[3]).toMatch(/veloz-engine-2 +standby +healthy +7 +not ready +0/);
  expect(lines[4]).toMatch(/veloz-haproxy +proxy +running +clients reach veloz-engine-1/);
  expect(lines).toHaveLength(5);
});

test('what is wrong stands below, with the command that mends it', () => {
  const seen = enginePicture();
  seen.kill(SECOND);
  expect(text(seen)).toMatch(/veloz-engine-2 +stopped +exited/);
  expect(text(seen)).toContain(`docker start ${SECOND}`);
});

test('on a narrow terminal notes stand below the table', () => {
  const narrow = text(enginePicture(), 72);
  expect(narrow).not.toContain('NOTE');
  expect(narrow).toContain(`veloz-haproxy: clients reach ${FIRST}`);
  expect(Math.max(...narrow.split('\n').map((line) => line.length))).toBeLessThanOrEqual(72);
});
