import type { Check } from '../../../src/cluster/check';
import { decideEngines, isDrained, type EngineQuestion } from '../../../src/cluster/engine/decide';
import { enginePicture, FIRST, PROXY, SECOND, type EnginePicture } from './picture';

const refusals = (checks: readonly Check[]): Check[] => checks.filter(({ result }) => result === 'refuse');
const decide = (seen: EnginePicture, question: EngineQuestion = { kind: 'switchover' }) =>
  decideEngines(seen.observed, question);
/** What refuses, as "id: finding". */
const refused = (seen: EnginePicture, question?: EngineQuestion): string[] =>
  refusals(decide(seen, question).checks).map(({ id, refusal }) => `${id}: ${refusal}`);

describe('a switchover of the engines', () => {
  test('goes from the active engine to the other one', () => {
    const seen = enginePicture();
    expect(refused(seen)).toEqual([]);
    expect(decide(seen)).toMatchObject({ source: FIRST, target: SECOND, epoch: 7, alreadyDone: false });
  });

  test('goes to the engine that is named', () => {
    const seen = enginePicture();
    expect(decide(seen, { kind: 'switchover', node: SECOND })).toMatchObject({ source: FIRST, target: SECOND });
  });

  test('has nothing to do when the named engine is active already', () => {
    const seen = enginePicture();
    expect(refused(seen, { kind: 'switchover', node: FIRST })).toEqual([]);
    expect(decide(seen, { kind: 'switchover', node: FIRST })).toMatchObject({ target: FIRST, alreadyDone: true });
  });

  test('prefers an engine that is able to take over, whatever the order', () => {
    const seen = enginePicture();
    const third = structuredClone(seen.engine(SECOND));
    third.name = third.health.node = 'veloz-engine-3';
    seen.observed.engines.push(third);
    seen.observed.proxy.servers?.push({ ...seen.server(SECOND), name: 'veloz-engine-3' });
    seen.drain(SECOND);
    expect(decide(seen)).toMatchObject({ target: 'veloz-engine-3' });
    expect(refused(seen)).toEqual([]);
  });

  test('does not move the lock off an engine that the request does not expect', () => {
    expect(refused(enginePicture(), { kind: 'switchover', expectedActive: SECOND })).toEqual([
      `A1: ${SECOND} is not the active engine`,
    ]);
  });

  test('refuses an engine that the topology does not have, and looks no further', () => {
    const { checks, target } = decide(enginePicture(), { kind: 'switchover', node: 'nobody' });
    expect(checks.map(({ result }) => result)).toEqual(['refuse']);
    expect(target).toBeUndefined();
  });

  test('refuses when no engine is active, with what each of them says', () => {
    const seen = enginePicture();
    Object.assign(seen.engine(FIRST).health, { role: 'standby', able: false, status: 'unhealthy', why: 'no Redis' });
    const [check] = refusals(decide(seen).checks);
    expect(check).toMatchObject({ id: 'L4', refusal: 'no engine is active' });
    expect(check?.measured).toBe(`${FIRST}: standby, unhealthy (no Redis); ${SECOND}: standby, healthy`);
  });

  test('refuses when two engines say that they are active', () => {
    const seen = enginePicture();
    seen.engine(SECOND).health.role = 'active';
    expect(refused(seen)).toContain('L4: 2 engines say that they are active');
    expect(decide(seen).source).toBeUndefined();
  });

  test('refuses when another engine has seen a later epoch', () => {
    const seen = enginePicture();
    seen.engine(SECOND).health.epoch = 8;
    expect(refused(seen)).toEqual([`L4: ${FIRST} is active in an old epoch`]);
  });

  test('refuses when the target is dead', () => {
    const seen = enginePicture();
    seen.kill(SECOND);
    expect(refused(seen)).toEqual([`E4: ${SECOND} does not answer`]);
    expect(refusals(decide(seen).checks)[0]?.next).toBe(`docker start ${SECOND}`);
  });

  test('refuses a target that answers, and that HAProxy looks for at another address', () => {
    const seen = enginePicture();
    seen.server(SECOND).check = 'L4CON';
    expect(refused(seen)).toEqual([`L5: ${SECOND} answers, but HAProxy does not reach it`]);
    expect(refusals(decide(seen).checks)[0]?.measured).toBe('its check says L4CON at 172.19.0.3:8080');
  });

  test('refuses a drained target once, with how to ready it', () => {
    const seen = enginePicture();
    seen.drain(SECOND);
    expect(refused(seen)).toEqual([`L5: ${SECOND} is drained`]);
  });

  test('refuses a target that can not take over', () => {
    const seen = enginePicture();
    Object.assign(seen.engine(SECOND).health, { able: false, status: 'unhealthy', why: 'no PostgreSQL' });
    expect(refused(seen)).toEqual([`L5: ${SECOND} can not take over`]);
  });

  test('refuses when there is only one engine', () => {
    const seen = enginePicture();
    seen.observed.engines.pop();
    expect(refused(seen)).toContain('A2: there is no engine to hand over to');
  });

  test('refuses without HAProxy', () => {
    const seen = enginePicture();
    Object.assign(seen.observed.proxy, { servers: null, error: 'it closed without an answer' });
    expect(refused(seen)).toEqual([`E4: ${PROXY} does not answer`]);
  });

  test('refuses when HAProxy keeps an engine in maintenance, or does not know it', () => {
    const seen = enginePicture();
    seen.server(SECOND).admin = 'maint';
    expect(refused(seen)).toEqual([`L5: HAProxy keeps ${SECOND} in maintenance`]);
    seen.observed.proxy.servers?.pop();
    expect(refused(seen)).toEqual([`L5: HAProxy does not know ${SECOND}`]);
  });

  test('refuses when HAProxy would send the target nothing, by its weight or without checks', () => {
    const seen = enginePicture();
    seen.server(SECOND).weight = 0;
    expect(refused(seen)).toEqual([`L5: HAProxy gives ${SECOND} no requests, whatever its checks say`]);
    Object.assign(seen.server(SECOND), { weight: 1, checked: false });
    expect(refused(seen)).toEqual([`L5: HAProxy does not check ${SECOND}, and would not see it take over`]);
  });

  test('warns of what was set by hand at an engine that is not to take requests afterwards', () => {
    const byHand = (name: string, question: EngineQuestion) => {
      const seen = enginePicture();
      const third = structuredClone(seen.engine(SECOND));
      third.name = third.health.node = 'veloz-engine-3';
      seen.observed.engines.push(third);
      seen.observed.proxy.servers?.push({ ...seen.server(SECOND), name: 'veloz-engine-3' });
      const server = seen.observed.proxy.servers?.find((one) => one.name === name);
      for (const what of [{ weight: 0 }, { weight: 1, checked: false }]) {
        Object.assign(server ?? {}, what);
        const { checks } = decide(seen, question);
        expect(checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toEqual(
          refusals(checks).length === 0 ? ['L5'] : [],
        );
        expect(refusals(checks).map(({ id }) => id)).toEqual(
          name === SECOND && question.kind !== 'drain' ? ['L5'] : [],
        );
      }
    };
    for (const name of [FIRST, SECOND, 'veloz-engine-3']) byHand(name, { kind: 'switchover', node: SECOND });
    byHand(SECOND, { kind: 'drain', node: SECOND });
    byHand('veloz-engine-3', { kind: 'drain', node: SECOND });
  });

  test('refuses when clients reach another engine than the active one, or none', () => {
    const seen = enginePicture();
    seen.observed.door = { node: SECOND, role: 'standby' };
    expect(refused(seen)).toEqual([`L5: the front door does not lead to ${FIRST}`]);
    seen.observed.door = { node: null, role: null, error: 'GET /health was answered 503' };
    expect(refusals(decide(seen).checks)[0]?.measured).toBe('GET /health was answered 503');
  });
});

describe('taking an engine out of service', () => {
  test('hands over first when it is the active one', () => {
    expect(decide(enginePicture(), { kind: 'drain', node: FIRST })).toMatchObject({
      node: FIRST,
      source: FIRST,
      target: SECOND,
      alreadyDone: false,
    });
  });

  test('is not possible when the other one could not take over', () => {
    const seen = enginePicture();
    seen.drain(SECOND);
    expect(refused(seen, { kind: 'drain', node: FIRST })).toEqual([`L5: ${SECOND} is drained`]);
  });

  test('hands nothing over when it is a standby', () => {
    const seen = enginePicture();
    expect(decide(seen, { kind: 'drain', node: SECOND })).toMatchObject({ node: SECOND, target: FIRST });
    expect(refused(seen, { kind: 'drain', node: SECOND })).toEqual([]);
  });

  test('is done when both the engine and HAProxy say so, and not before', () => {
    const seen = enginePicture();
    seen.engine(SECOND).health.drained = true;
    expect(decide(seen, { kind: 'drain', node: SECOND }).alreadyDone).toBe(false);
    seen.drain(SECOND);
    expect(isDrained(seen.observed, seen.engine(SECOND))).toBe(true);
    expect(decide(seen, { kind: 'drain', node: SECOND }).alreadyDone).toBe(true);
  });

  test.each(['drain', 'ready'] as const)('%s needs the name of an engine', (kind) => {
    expect(refused(enginePicture(), { kind })).toEqual(['A1: the request names no engine']);
  });
});

describe('putting an engine back', () => {
  test('is done when it is drained nowhere', () => {
    const seen = enginePicture();
    expect(decide(seen, { kind: 'ready', node: SECOND })).toMatchObject({ node: SECOND, alreadyDone: true });
    for (const byHand of [{ admin: 'drain' }, { weight: 0 }, { checked: false }]) {
      const other = enginePicture();
      Object.assign(other.server(SECOND), byHand);
      expect(decide(other, { kind: 'ready', node: SECOND }).alreadyDone).toBe(false);
    }
  });

  test('is possible when no engine is active: that is when it is needed most', () => {
    const seen = enginePicture();
    seen.kill(FIRST);
    seen.drain(SECOND);
    expect(refused(seen, { kind: 'ready', node: SECOND })).toEqual([]);
    expect(decide(seen, { kind: 'ready', node: SECOND })).toMatchObject({ target: SECOND, alreadyDone: false });
  });
});
