import { engineFindings } from '../../../src/cluster/engine/health';
import { engineMembers } from '../../../src/cluster/engine/members';
import { enginePicture, FIRST, PROXY, SECOND, stopped, type EnginePicture } from './picture';

const findings = (seen: EnginePicture): string[] =>
  engineFindings(seen.observed).map(({ id, result, refusal }) => `${result} ${id}: ${refusal}`);
const member = (seen: EnginePicture, name: string) => engineMembers(seen.observed).find((one) => one.name === name);

describe('what is wrong with the engines', () => {
  test('is nothing when one is active, the other can take over, and clients reach the first', () => {
    expect(findings(enginePicture())).toEqual([]);
  });

  test('is a dead engine', () => {
    const seen = enginePicture();
    seen.kill(SECOND);
    expect(findings(seen)).toEqual([`refuse E4: ${SECOND} does not answer`]);
  });

  test('is a drained engine, as a warning and once', () => {
    const seen = enginePicture();
    seen.drain(SECOND);
    expect(findings(seen)).toEqual([`warn L5: ${SECOND} is drained`]);
  });

  test('is an engine that HAProxy has drained alone', () => {
    const seen = enginePicture();
    seen.server(SECOND).admin = 'drain';
    const [finding] = engineFindings(seen.observed);
    expect(finding).toMatchObject({ id: 'L5', refusal: `HAProxy has ${SECOND} drained, and the engine does not know` });
    expect(finding?.next).toBe(`docker exec ${PROXY} haproxy-runtime "set server veloz_engines/${SECOND} state ready"`);
  });

  test('is an engine to which HAProxy sends nothing by its weight, or that it does not check', () => {
    const seen = enginePicture();
    Object.assign(seen.server(SECOND), { weight: 0, checked: true });
    expect(findings(seen)).toEqual([`refuse L5: HAProxy gives ${SECOND} no requests, whatever its checks say`]);
    expect(engineFindings(seen.observed)[0]).toMatchObject({
      measured: 'its weight is 0 (DOWN)',
      next: `docker exec ${PROXY} haproxy-runtime "set server veloz_engines/${SECOND} weight 100%"`,
    });
    expect(member(seen, SECOND)).toMatchObject({ traffic: 'DRAIN' });
    Object.assign(seen.server(SECOND), { weight: 1, checked: false });
    expect(findings(seen)).toEqual([`refuse L5: HAProxy does not check ${SECOND}, and would not see it take over`]);
    expect(engineFindings(seen.observed)[0]?.next).toBe(
      `docker exec ${PROXY} haproxy-runtime "enable health veloz_engines/${SECOND}"`,
    );
  });

  test('is a front door that leads elsewhere', () => {
    const seen = enginePicture();
    seen.observed.door = { node: null, role: null, error: 'GET /health was answered 503' };
    expect(findings(seen)).toEqual([`refuse L5: the front door does not lead to ${FIRST}`]);
  });

  test('is a HAProxy that does not run, and not the front door too', () => {
    const seen = enginePicture();
    Object.assign(seen.observed.proxy, { servers: null, container: stopped, error: 'ECONNREFUSED' });
    seen.observed.door = { node: null, role: null, error: 'ECONNREFUSED' };
    expect(findings(seen)).toEqual([`refuse E4: ${PROXY} does not answer`]);
    expect(engineFindings(seen.observed)[0]).toMatchObject({
      measured: 'its container is exited',
      next: `docker start ${PROXY}`,
    });
  });

  test('is that none answers, and not that none is active too', () => {
    const seen = enginePicture();
    seen.kill(FIRST);
    seen.kill(SECOND);
    expect(findings(seen)).toEqual([`refuse E4: ${FIRST} and ${SECOND} do not answer`]);
  });

  test('is more than one active engine', () => {
    const seen = enginePicture();
    seen.engine(SECOND).health.role = 'active';
    expect(findings(seen)).toEqual(['refuse L4: 2 engines say that they are active']);
  });
});

describe('the engines in one line each', () => {
  test('are in the topology’s order, then HAProxy', () => {
    expect(engineMembers(enginePicture().observed)).toEqual([
      { name: FIRST, kind: 'engine', role: 'active', state: 'takes orders', epoch: 7, traffic: 'UP', sessions: 0 },
      { name: SECOND, kind: 'engine', role: 'standby', state: 'healthy', epoch: 7, traffic: 'DOWN', sessions: 0 },
      { name: PROXY, kind: 'haproxy', role: 'proxy', state: 'running', routesTo: FIRST },
    ]);
  });

  test('show what is drained, stopped, or without an answer', () => {
    const seen = enginePicture();
    seen.drain(SECOND);
    expect(member(seen, SECOND)).toMatchObject({ role: 'drained', traffic: 'DRAIN' });
    seen.kill(SECOND);
    expect(member(seen, SECOND)).toMatchObject({ role: 'stopped', state: 'exited' });
    Object.assign(seen.observed.proxy, { servers: null, error: 'it closed without an answer' });
    expect(member(seen, PROXY)).toMatchObject({ role: 'unreachable', note: 'it closed without an answer' });
    Object.assign(seen.observed.proxy, { container: stopped });
    expect(member(seen, PROXY)).toMatchObject({ role: 'stopped', state: 'exited' });
    expect(member(seen, PROXY)).not.toHaveProperty('note');
  });
});
