import { refusalSentence } from '../../../src/cluster/check';
import { chooseAddition } from '../../../src/cluster/standbys/add';
import { chooseRemoval } from '../../../src/cluster/standbys/remove';
import { absent, picture, PRIMARY, ready, STANDBY, STANDBY_2, stopped, type Picture } from '../support/picture';

const add = (seen: Picture, node?: string) => ({
  alreadyDone: undefined,
  ...chooseAddition(seen.topology, seen.observed, { node }),
});
const remove = (seen: Picture, node?: string) => ({
  alreadyDone: undefined,
  ...chooseRemoval(seen.topology, seen.observed, { node }),
});

/** A cluster of two whose third node has a container that does not run. */
function two(): Picture {
  const seen = picture();
  stopped(seen.node(STANDBY_2));
  return seen;
}

/** The third node was removed: fenced, nothing of it is left on the primary. */
function removed(): Picture {
  const seen = picture({ three: true });
  const third = seen.node(STANDBY_2);
  Object.assign(third, { sql: null, sqlError: 'connect ECONNREFUSED' });
  if (third.agent !== null) Object.assign(third.agent, { desired: 'fenced', postgresState: 'stopped' });
  seen.node(PRIMARY).sql.replication.pop();
  seen.node(PRIMARY).sql.slots.pop();
  return seen;
}

describe('adding a standby', () => {
  test('without a name: the optional node that is not there yet', () => {
    expect(add(two())).toMatchObject({ primary: PRIMARY, node: STANDBY_2, others: [STANDBY] });
  });
  test('one that was removed may come back', () => {
    const choice = add(removed());
    expect(choice).toMatchObject({ node: STANDBY_2, alreadyDone: undefined });
    expect(refusalSentence(choice.checks)).toBeUndefined();
  });
  test('one that streams and confirms commits is there already', () => {
    expect(add(picture({ three: true }), STANDBY_2).alreadyDone).toBe(
      `${STANDBY_2} is a standby of ${PRIMARY} already, and quorum`,
    );
    expect(add(picture(), STANDBY).alreadyDone).toBe(`${STANDBY} is a standby of ${PRIMARY} already, and sync`);
  });
  test('one that streams under the names of two nodes is added to those who confirm', () => {
    const seen = picture({ three: true });
    seen.node(PRIMARY).sql.settings.synchronous_standby_names = 'veloz_standby';
    Object.assign(seen.node(PRIMARY).sql.replication[1] ?? {}, { syncState: 'potential' });
    expect(add(seen, STANDBY_2)).toMatchObject({ node: STANDBY_2, alreadyDone: undefined });
  });
  test('one without data copies the primary, and is refused where that copy would lack some', () => {
    const made = (empty: boolean) => {
      const seen = removed();
      const { agent } = seen.node(STANDBY_2);
      if (empty && agent !== null) Object.assign(agent, { desired: 'up', systemIdentifier: null });
      const links = [{ path: '/var/lib/postgresql/data/base/16400', target: '/cold' }];
      ready(seen.node(PRIMARY)).agent.leftOut = { links, more: 0 };
      return add(seen);
    };
    expect(refusalSentence(made(true).checks)).toContain(`M7: a copy of ${PRIMARY} would lack a part of its data`);
    // What has data may follow with it; a copy that turns out to be needed is refused then.
    expect(made(false).checks.find(({ id }) => id === 'M7')).toMatchObject({ result: 'warn' });
    expect(refusalSentence(made(false).checks)).toBeUndefined();
  });
  test.each<[what: string, make: () => Picture, node: string | undefined, says: string, next: string]>([
    ['no container', picture, undefined, `E4: ${STANDBY_2} has no container`, 'veloz-ha stack up --standbys 2'],
    ['the primary', two, PRIMARY, `A2: ${PRIMARY} is the primary`, 'veloz-ha postgres add-standby --cluster veloz'],
    ['nobody', two, 'x', 'A2: x is no node of this cluster', 'veloz-ha postgres add-standby --cluster veloz'],
  ])('is refused: %s', (_what, make, node, says, next) => {
    const sentence = refusalSentence(add(make(), node).checks) ?? '';
    expect(sentence).toContain(says);
    expect(sentence.split(' Next: ')[1]).toBe(next);
  });
});

describe('removing a standby', () => {
  test('one of two goes', () => {
    const choice = remove(picture({ three: true }), STANDBY_2);
    expect(choice).toMatchObject({ primary: PRIMARY, node: STANDBY_2, others: [STANDBY], alreadyDone: undefined });
    expect(refusalSentence(choice.checks)).toBeUndefined();
  });
  test('one that is gone, with its slot, is gone', () => {
    expect(remove(removed(), STANDBY_2).alreadyDone).toBe(`${STANDBY_2} is no standby of ${PRIMARY} any more`);
    const seen = removed();
    absent(seen.node(STANDBY_2));
    expect(remove(seen, STANDBY_2).alreadyDone).toBe(`${STANDBY_2} is no standby of ${PRIMARY} any more`);
  });
  test('one that is gone and left its slot has that dropped', () => {
    const seen = removed();
    seen
      .node(PRIMARY)
      .sql.slots.push({ name: 'veloz_postgres_standby_2', type: 'physical', active: false, retainedBytes: 9 });
    expect(remove(seen, STANDBY_2)).toMatchObject({ node: STANDBY_2, alreadyDone: undefined });
  });
  test.each<[what: string, make: () => Picture, node: string | undefined, says: string, next: string]>([
    [
      'the only standby',
      picture,
      STANDBY,
      `B2: without ${STANDBY} no standby would be left`,
      'veloz-ha postgres add-standby --cluster veloz',
    ],
    [
      'the primary',
      () => picture({ three: true }),
      PRIMARY,
      `A2: ${PRIMARY} is the primary`,
      'veloz-ha postgres switchover --cluster veloz',
    ],
    [
      'no name',
      () => picture({ three: true }),
      undefined,
      'A2: the request names no node',
      `veloz-ha postgres remove-standby --cluster veloz ${STANDBY_2}`,
    ],
    [
      'nobody',
      () => picture({ three: true }),
      'x',
      'A2: x is no node of this cluster',
      `veloz-ha postgres remove-standby --cluster veloz ${STANDBY_2}`,
    ],
  ])('is refused: %s', (_what, make, node, says, next) => {
    const sentence = refusalSentence(remove(make(), node).checks) ?? '';
    expect(sentence).toContain(says);
    expect(sentence.split(' Next: ')[1]).toBe(next);
  });
});
