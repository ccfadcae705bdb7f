import { SubStepRecorder, type MoveJournal } from '../../src/activities/move-journal';
import { sleep } from '../../src/activities/context';

const recorderOf = (journal: MoveJournal) =>
  new SubStepRecorder(
    journal,
    () => undefined,
    () => undefined,
  );

describe('for how long clients waited', () => {
  afterEach(() => jest.restoreAllMocks());
  /** The wall clock is set by so much. */
  const step = (ms: number) => {
    const now = Date.now.bind(Date);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + ms);
  };

  test.each([-300_000, 300_000])(
    'is what passed within one attempt, whatever the wall clock says (%d ms)',
    async (ms) => {
      const journal: MoveJournal = { subSteps: [] };
      const recorder = recorderOf(journal);
      recorder.holdBegins();
      const { heldSince } = journal;
      step(ms);
      await sleep(30);
      recorder.holdBegins();
      expect(journal.heldSince).toBe(heldSince);
      recorder.holdEnds();
      expect(journal.heldMs).toBeGreaterThanOrEqual(25);
      expect(journal.heldMs).toBeLessThan(10_000);
    },
  );

  test('over two attempts is what the wall clock says, once', () => {
    const journal: MoveJournal = { subSteps: [], heldSince: Date.now() - 700 };
    recorderOf(journal).holdEnds();
    expect(journal.heldMs).toBeGreaterThanOrEqual(700);
    const first = journal.heldMs;
    step(5000);
    recorderOf(journal).holdEnds();
    expect(journal.heldMs).toBe(first);
  });

  test('is not known where that clock was set back between them, nor where nobody was held', () => {
    const journal: MoveJournal = { subSteps: [], heldSince: Date.now() + 300_000 };
    recorderOf(journal).holdEnds();
    expect(journal.heldMs).toBeUndefined();
    const none: MoveJournal = { subSteps: [] };
    recorderOf(none).holdEnds();
    expect(none).toEqual({ subSteps: [] });
  });
});
